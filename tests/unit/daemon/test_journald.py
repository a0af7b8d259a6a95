"""Journal entries: what a socket in the journal's place receives, read by the protocol's own rules.

A real journal reads them in tests/kernel/test_systemd.py.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from logging_journald import JournaldTransport

from gcks import events as e
from gcks.daemon.config.loaded import LogOptions
from gcks.daemon.log_queue import LOG_QUEUE
from gcks.daemon.logs import EventLog, configure
from gcks.errors import RefusalReason
from gcks.iana import NotifyType
from tests.support.event_samples import sample


class Journal:
    """A journal, and a standard error that leads to it as systemd says."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path / "socket"))
        self.socket.settimeout(5)
        self.stderr = (path / "stderr").open("w")
        self._patch = monkeypatch
        monkeypatch.setattr(JournaldTransport, "SOCKET_PATH", path / "socket")
        status = os.fstat(self.stderr.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")

    def logger(self, level: str = "debug") -> Any:
        """Call it in the test itself: pytest takes standard error back between its phases."""
        self._patch.setattr(sys, "stderr", self.stderr)
        return configure(LogOptions("auto", level, "gcks-member"))

    def close(self) -> None:
        self.socket.close()
        assert LOG_QUEUE.flush()
        LOG_QUEUE.take_lost()
        self.stderr.close()


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    journal = Journal(tmp_path, monkeypatch)
    yield journal
    journal.close()


def entry(journal: Journal) -> dict[str, str]:
    """Read one entry as JOURNAL_NATIVE_PROTOCOL says."""
    rest, fields = journal.socket.recv(1 << 16), {}
    while rest:
        line, _, rest = rest.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", rest)
            value, rest = rest[8 : 8 + length], rest[8 + length + 1 :]
        fields[name.decode()] = value.decode()
    return fields


@pytest.mark.parametrize("kind", e.KINDS, ids=lambda kind: kind.name)
def test_one_event_is_one_entry_with_every_field(kind: type[e.Event], journal: Journal) -> None:
    EventLog(journal.logger()).write([sample(kind)], 1.0)
    fields = entry(journal)
    assert fields["GCKS_EVENT"] == kind.name
    assert fields["SYSLOG_IDENTIFIER"] == "gcks-member"
    assert fields["MESSAGE"].split()[0] == kind.name
    assert all(name.isupper() for name in fields)
    journal.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        journal.socket.recv(1)


def test_the_entry_of_a_refused_registration(journal: Journal) -> None:
    cause, hint = "no rule\nlets it in", "add it"
    EventLog(journal.logger()).write(
        [
            e.RegistrationRefused(
                "keyid:demo",
                "fqdn:gm1",
                "[::1]:5",
                NotifyType.AUTHORIZATION_FAILED,
                RefusalReason.NOT_A_MEMBER,
                cause,
                hint,
            )
        ],
        1.0,
    )
    assert entry(journal) == {
        "MESSAGE": "registration_refused group=keyid:demo identity=fqdn:gm1 remote=[::1]:5 "
        "notify=AUTHORIZATION_FAILED reason=not_a_member "
        'cause="\'no rule\\\\nlets it in\'" hint="add it"',
        "PRIORITY": "4",
        "GCKS_EVENT": "registration_refused",
        "GCKS_GROUP": "keyid:demo",
        "GCKS_IDENTITY": "fqdn:gm1",
        "GCKS_REMOTE": "[::1]:5",
        "GCKS_NOTIFY": "AUTHORIZATION_FAILED",
        "GCKS_REASON": "not_a_member",
        "GCKS_CAUSE": "'no rule\\nlets it in'",
        "GCKS_HINT": "add it",
        "SYSLOG_IDENTIFIER": "gcks-member",
    }


def test_lists_and_truths_are_words(journal: Journal) -> None:
    journal.logger().info("credentials_renewed", files=["a.pem", "b.pem"], again=True)
    fields = entry(journal)
    assert fields["GCKS_FILES"] == "a.pem b.pem" and fields["GCKS_AGAIN"] == "true"
    assert fields["MESSAGE"] == 'credentials_renewed files="a.pem b.pem" again=true'


def test_a_journal_that_is_gone_stops_nothing(journal: Journal) -> None:
    logger = journal.logger()
    events = EventLog(logger)
    Path(str(journal.socket.getsockname())).unlink()
    events.write([sample(e.MemberLeft)], 1.0)
    logger.info("reloaded")
    assert LOG_QUEUE.flush()
    assert LOG_QUEUE.take_lost() == 2


def test_a_journal_that_hangs_stops_nothing_and_has_it_all_later(journal: Journal) -> None:
    logger = journal.logger()
    before = time.monotonic()
    for number in range(2000):  # its queue holds far fewer
        logger.info("reloaded", groups=number)
    assert time.monotonic() - before < 10
    assert not LOG_QUEUE.flush(0.001)
    assert [entry(journal)["GCKS_GROUPS"] for _ in range(2000)] == [*map(str, range(2000))]


def test_the_gravest_line_has_a_priority(journal: Journal) -> None:
    """A service that logs keys begins with it."""
    journal.logger().critical("keys_are_logged", warning="WARNING")
    assert entry(journal)["PRIORITY"] == "2"


@pytest.mark.parametrize("stream", ["", "1:1", "nonsense"])
def test_elsewhere_lines_are_json(
    stream: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", stream)
    EventLog(journal.logger()).write([sample(e.MemberLeft)], 1.0)
    journal.stderr.flush()
    assert Path(journal.stderr.name).read_text().startswith("{")
