"""The audit log: a chain in which nothing can be changed unseen."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gcks import events as e
from gcks.daemon.audit import AuditLog
from gcks.daemon.audit_chain import verify
from gcks.daemon.audit_notes import AuditLost
from gcks.daemon.audit_trail import AuditTrail
from gcks.errors import LocalError, RefusalReason
from gcks.iana import NotifyType
from tests.support.event_samples import sample

REFUSED = e.RegistrationRefused(
    "keyid:a",
    "fqdn:x",
    "192.0.2.1:500",
    NotifyType.AUTHENTICATION_FAILED,
    RefusalReason.PSK_MISMATCH,
    "no",
    "hint",
)
RATE = e.Limit("reason").audit
SHARE = RATE.of_a_host
RECORDED = {
    "member_registered", "member_left", "member_certificate_ended", "members_locked_out",
    "registration_refused", "peer_authenticated", "sender_ids_exhausted",
    "group_started", "group_started_over", "group_read_again", "group_removed",
    "reloaded", "reload_refused",
    "operator_excluded", "operator_readmitted", "operator_ordered", "order_refused",
}  # fmt: skip
"""What an auditor may rely on."""
ORDERED = e.OperatorOrdered("rekey", "keyid:a", "root (uid 0)")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def opened(path: Path) -> AuditLog:
    return AuditLog(path, lambda: 1_800_000_000.0)


def filled(path: Path, entries: int = 5) -> AuditLog:
    log = opened(path)
    for number in range(entries):
        log.write([e.OperatorOrdered("rekey", f"keyid:{number}", "root")], 1.0)
    return log


def test_what_is_recorded_and_what_not(path: Path) -> None:
    log = opened(path)
    log.write([sample(kind) for kind in e.KINDS], 1.0)
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["n"] for line in lines] == list(range(1, len(lines) + 1))
    assert {line["event"] for line in lines} == RECORDED | {"audit_opened"}
    assert lines[0]["at"] == "2027-01-15T08:00:00.000+00:00"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_chain_goes_on_over_restarts_and_rotations(path: Path) -> None:
    filled(path).close()
    log = filled(path)
    rotated = path.with_suffix(".1")
    path.rename(rotated)
    log.reopen()
    log.write([ORDERED], 1.0)
    number, digest = log.checkpoint
    log.close()
    verdict = verify([rotated, path], (number, digest))
    assert (verdict.problem, verdict.entries, verdict.number) == ("", 13, 13)
    assert "begins with entry 13, not 1" in verify([path]).problem
    assert verify([path], first=13).problem == ""
    log = opened(path)
    log.reopen()  # nothing was rotated
    log.write([ORDERED], 1.0)
    log.close()
    assert verify([rotated, path]).problem == ""


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda lines: [*lines[:2], lines[2].replace(b"root", b"toor"), *lines[3:]], ":4: doesn't"),
        (lambda lines: [*lines[:2], *lines[3:]], ":3: doesn't"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], ":2: doesn't"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], ":4: doesn't"),
        (lambda lines: [*lines[:3], b"{}", *lines[3:]], ":4: not an entry"),
        (lambda lines: lines[:-1], "the end is cut off"),
        (lambda lines: lines[1:], ":1: begins with entry 2, not 1"),
        (lambda lines: [], "not an entry"),
    ],
)
def test_every_change_is_seen(path: Path, harm, said: str) -> None:  # type: ignore[no-untyped-def]
    log = filled(path)
    checkpoint = log.checkpoint
    log.close()
    assert verify([path], checkpoint).problem == ""
    path.write_bytes(b"\n".join(harm(path.read_bytes().splitlines())) + b"\n")
    problem = verify([path], checkpoint).problem
    assert said in problem
    path.write_bytes(b"")
    assert verify([path]).problem == "there is no entry at all"


def test_a_torn_line_is_accounted_for(path: Path) -> None:
    filled(path).close()
    os.truncate(path, path.stat().st_size - 20)  # a crash in the middle of a write
    filled(path).close()
    verdict = verify([path])
    assert verdict.problem == "" and '"audit_torn"' in path.read_text()
    with path.open("ab") as file:
        file.write(b'{"n":')
    assert "not an entry" in verify([path]).problem


def refusals(path: Path) -> tuple[list[str], list[int]]:
    """Return the peers of the refusals that were recorded, and how many were not."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    remotes = [line["remote"] for line in lines if line["event"] == "registration_refused"]
    counts = [line["count"] for line in lines if line["event"] == "refusals_not_recorded"]
    return remotes, counts


def test_strangers_can_not_fill_the_disk(path: Path) -> None:
    log = opened(path)
    strangers = [replace(REFUSED, remote=f"[2001:db8::{number:x}]:500") for number in range(1000)]
    log.write(strangers, 1.0)
    assert refusals(path) == ([one.remote for one in strangers[: RATE.lines]], [])
    log.write([ORDERED], 2.0)
    assert refusals(path)[1] == [1000 - RATE.lines]
    log.write([REFUSED] * 2, 2.0)
    log.close()
    assert len(refusals(path)[0]) == RATE.lines + 2
    assert verify([path]).problem == ""


def test_a_noisy_host_does_not_hide_the_others(path: Path) -> None:
    log = opened(path)
    noise = [replace(REFUSED, remote=f"192.0.2.1:{port}") for port in range(1000, 2000)]
    other = replace(REFUSED, remote="192.0.2.2:500")
    log.write([*noise, other], 1.0)
    assert refusals(path)[0] == [*(one.remote for one in noise[:SHARE]), other.remote]
    log.write([], 2.0)
    assert refusals(path)[1] == [1000 - SHARE]


def test_who_may_not_order_fills_no_disk_either(path: Path) -> None:
    log = opened(path)
    log.write([e.OrderRefused("reload", "ann (uid 1000)")] * 1000, 1.0)
    log.write([], 2.0)
    log.close()
    names = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert names == ["audit_opened", *["order_refused"] * SHARE, "refusals_not_recorded"]


def test_what_was_not_recorded_is_said_at_the_end(path: Path) -> None:
    told: list[e.Event] = []

    async def second() -> None:
        trail = AuditTrail(path, told.extend)
        trail.write([REFUSED] * 1000, 1.0)
        trail.close()

    asyncio.run(second())
    assert refusals(path)[1] == [1000 - SHARE]
    begin, end = (event for event in told if isinstance(event, e.AuditCheckpoint))
    assert verify([path], (begin.number, begin.hash)).problem == ""
    assert verify([path], (end.number, end.hash)).problem == ""
    assert end.number == begin.number + SHARE + 1


def test_a_full_disk_is_said_and_the_chain_stays_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled(path)

    def full(descriptor: int, octets: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        log.write([ORDERED], 1.0)
    assert log.failed == "No space left on device"
    log.write([ORDERED], 1.0)
    assert log.failed == ""
    log.close()
    assert verify([path]).problem == ""


def test_a_line_that_was_cut_off_is_accounted_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, write = filled(path), os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda where, octets: write(where, octets[:30]))
        log.write([ORDERED], 1.0)
    log.write([ORDERED, ORDERED], 1.0)
    log.close()
    verdict = verify([path])
    assert (verdict.problem, verdict.entries) == ("", 10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_hides_nothing(tmp_path: Path) -> None:
    """A real one: lines are cut off, then lost; the log tells how many, and is unbroken."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], check=True)
    try:
        filler, path = disk / "filler", disk / "audit.log"
        filler.write_bytes(bytes(4096))
        log = filled(path, 100)  # until there is no room, and beyond
        assert log.failed
        kept = log.number
        filler.unlink()
        log.write([ORDERED], 1.0)
        log.close()
        assert verify([path]).problem == ""
        entries = [json.loads(line) for line in path.read_text().splitlines() if '"prev"' in line]
        (lost,) = (one["count"] for one in entries if one["event"] == AuditLost.name)
        assert kept + lost == 101
        assert entries[-1]["event"] == ORDERED.name
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_long_order_is_several_entries_and_the_chain_goes_on(path: Path) -> None:
    names = tuple(f"fqdn:gm{number}.{'x' * 200}.example" for number in range(10_000))
    long = e.OperatorExcluded("keyid:a", "identity", names, "y" * 100_000)
    log = opened(path)
    log.write([long], 1.0)
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    told = [name for line in lines if line["event"] == long.name for name in line["names"]]
    assert tuple(told) == names
    assert max(map(len, path.read_bytes().splitlines())) < 1 << 16
    opened(path).close()
    assert verify([path]).problem == ""


def test_a_log_of_long_lines_goes_on(path: Path) -> None:
    """As versions before wrote them."""
    log = filled(path)
    number, prev = log.checkpoint
    log.close()
    names = ["fqdn:gm.example"] * 50_000
    entry = {"n": number + 1, "event": "operator_excluded", "names": names, "prev": prev}
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")
    filled(path).close()
    assert verify([path]).problem == ""


async def test_a_disk_that_fails_later_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    told: list[e.Event] = []
    trail = AuditTrail(path, told.extend)
    monkeypatch.setattr(os, "fdatasync", broken)
    trail.close()
    assert isinstance(told[-1], e.AuditFailed) and "Input/output error" in told[-1].cause


def test_what_is_no_file_is_refused() -> None:
    with pytest.raises(LocalError, match="not a file"):
        opened(Path("/dev/null"))


def test_a_line_of_which_only_the_end_is_missing_is_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, write = filled(path), os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda where, octets: write(where, octets[:-1]))
        log.write([ORDERED], 1.0)
    log.write([ORDERED], 1.0)
    log.close()
    verdict = verify([path])
    assert (verdict.problem, verdict.entries) == ("", 8)


def test_a_path_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"audit\.path"):
        opened(tmp_path / "no" / "audit.log")
    with pytest.raises(LocalError):
        verify([tmp_path / "nothing"])
