"""Logs: one event one line, no stranger can fill a disk or write lines of its own."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Any

import pytest

from gcks import events as e
from gcks.daemon.config.loaded import LogOptions
from gcks.daemon.logs import EventLog, configure
from gcks.errors import DropReason, RefusalReason
from gcks.iana import NotifyType
from tests.support.event_samples import sample


def event_log(format: str = "json", level: str = "debug") -> tuple[EventLog, io.StringIO]:
    stream = io.StringIO()
    return EventLog(configure(LogOptions(format, level), stream)), stream


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("kind", e.KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("format", ["json", "console"])
def test_one_event_is_one_line(kind: type[e.Event], format: str) -> None:
    log, stream = event_log(format)
    log.write([sample(kind)], 1.0)
    assert stream.getvalue().count("\n") == 1
    assert kind.name in stream.getvalue()


@pytest.mark.parametrize("kind", e.KINDS, ids=lambda kind: kind.name)
def test_a_line_holds_every_field_by_its_name(kind: type[e.Event]) -> None:
    log, stream = event_log()
    log.write([sample(kind)], 1.0)
    (line,) = lines_of(stream)
    assert line["event"] == kind.name
    assert set(line) == {f.name for f in dataclasses.fields(kind)} | {"event", "level", "timestamp"}


def test_empty_texts_are_left_out_and_enumerations_are_words() -> None:
    log, stream = event_log()
    refused = e.RegistrationRefused(
        "keyid:demo",
        "fqdn:gm1.dev",
        "192.0.2.1:500",
        NotifyType.INVALID_GROUP_ID,
        RefusalReason.UNKNOWN_GROUP,
        "no group",
        "",
    )
    log.write([refused], 1.0)
    (line,) = lines_of(stream)
    assert line["notify"] == "INVALID_GROUP_ID"
    assert line["reason"] == "unknown_group"
    assert line["level"] == "warning"
    assert "hint" not in line


def test_the_level_is_kept() -> None:
    log, stream = event_log(level="warning")
    log.write([sample(e.MemberLeft, hint=""), sample(e.PolicyRefused)], 1.0)
    assert [line["event"] for line in lines_of(stream)] == ["policy_refused"]


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (sample(e.MemberLeft, hint="mend it"), "warning"),
        (sample(e.MemberLeft, hint=""), "info"),
        (sample(e.DatagramDropped, reason=DropReason.LATE_COPY), "debug"),
        (sample(e.DatagramDropped, reason=DropReason.UNPROVED_REFUSAL), "debug"),
        (sample(e.DatagramDropped, reason=DropReason.STALE), "info"),
        (sample(e.DatagramDropped, reason=DropReason.INTERNAL_ERROR), "error"),
        (sample(e.RekeyReceived, reminder=True), "debug"),
        (sample(e.RekeyReceived, reminder=False), "info"),
        (sample(e.MemberStopping, failed=True), "error"),
        (sample(e.ServerStopping, failed=False), "info"),
    ],
)
def test_some_events_of_a_kind_have_a_level_of_their_own(event: e.Event, level: str) -> None:
    """It counts, also where the level that is kept lies between it and its kind's."""
    log, stream = event_log(level=level)
    log.write([event], 1.0)
    (line,) = lines_of(stream)
    assert line["level"] == level
    higher = {"debug": "info", "info": "warning", "warning": "error"}
    if level in higher:
        log, stream = event_log(level=higher[level])
        log.write([event], 1.0)
        assert lines_of(stream) == []


def test_what_is_not_shown_is_not_said_to_be_left_out() -> None:
    log, stream = event_log(level="info")
    copies = [sample(e.DatagramDropped, reason=DropReason.LATE_COPY)] * 100
    log.write(copies, 1.0)
    log.write([], 2.0)
    assert lines_of(stream) == []


OF_STRANGERS = {
    kind: kind.limit.log
    for kind in e.KINDS
    if kind.limit is not None and kind is not e.OrderRefused
}
NAMES = [kind.name for kind in OF_STRANGERS]


def test_who_may_not_order_fills_no_disk() -> None:
    log, stream = event_log()
    log.write([sample(e.OrderRefused, order="reload")] * 1000, 1.0)
    log.write([sample(e.OrderRefused, order="rekey")], 1.0)
    assert [line["order"] for line in lines_of(stream)] == ["reload", "reload", "rekey"]


@pytest.mark.parametrize(("kind", "rate"), OF_STRANGERS.items(), ids=NAMES)
def test_a_flood_gives_a_few_lines_a_second_and_says_what_it_left_out(
    kind: type[e.Event], rate: e.Rate
) -> None:
    log, stream = event_log()
    for number in range(10_000):
        stranger = sample(kind, remote=f"[2001:db8::{number:x}]:500")
        log.write([stranger], 7.0 + number / 10_001)
    assert len(lines_of(stream)) == rate.lines
    log.write([], 8.0)
    last = lines_of(stream)[-1]
    assert last["event"] == f"{kind.name}_not_logged"
    assert last["count"] == 10_000 - rate.lines
    log.write([sample(kind)], 8.0)
    assert lines_of(stream)[-1]["event"] == kind.name


def test_one_kind_of_drop_does_not_hide_another() -> None:
    log, stream = event_log()
    flood = [sample(e.DatagramDropped, reason=DropReason.MALFORMED)] * 1000
    log.write([*flood, sample(e.DatagramDropped, reason=DropReason.BAD_SIGNATURE)], 1.0)
    assert lines_of(stream)[-1]["reason"] == "bad_signature"


@pytest.mark.parametrize(("kind", "rate"), OF_STRANGERS.items(), ids=NAMES)
def test_a_noisy_host_does_not_hide_the_others(kind: type[e.Event], rate: e.Rate) -> None:
    log, stream = event_log()
    noise = [sample(kind, remote=f"192.0.2.1:{port}") for port in range(1000, 2000)]
    log.write([*noise, sample(kind, remote="192.0.2.2:500")], 1.0)
    lines = lines_of(stream)
    assert [line["remote"] for line in lines[rate.of_a_host :]] == ["192.0.2.2:500"]
    log.write([], 2.0)
    assert lines_of(stream)[-1]["count"] == len(noise) - rate.of_a_host


@pytest.mark.parametrize("evil", ["a\nb", "\x1b[2J", "\r", "\x9b31m", "\u202e", "a\u2028b", "\0"])
@pytest.mark.parametrize("format", ["json", "console"])
def test_peers_cant_write_lines_or_move_the_cursor(format: str, evil: str) -> None:
    log, stream = event_log(format)
    log.write([sample(e.DatagramDropped, detail=evil)], 1.0)
    log.write([sample(e.OperatorExcluded, names=(evil, "b"))], 1.0)
    assert stream.getvalue().count("\n") == 2
    assert stream.getvalue().replace("\n", "").isprintable()


class Broken(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_a_log_that_nobody_reads_stops_nothing() -> None:
    log = EventLog(configure(LogOptions("json", "info"), Broken()))
    log.write([sample(e.MemberLeft)], 1.0)
    stream = io.StringIO()
    log = EventLog(configure(LogOptions("json", "info"), stream))
    stream.close()
    log.write([sample(e.MemberLeft)], 1.0)
