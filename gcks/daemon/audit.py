"""The audit log: who was admitted, refused, excluded, and which operator did what.

JSON lines, appended only.  Each holds the SHA-256 of the line before it (`prev`), so
that none can be changed, taken out or put in without breaking the chain; what is cut
off at the end shows against the checkpoints in the ordinary log.

    {"n":7,"at":"2026-11-24T05:20:01.123+00:00","event":"member_registered",...,"prev":"9f0c..."}
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from gcks import __version__
from gcks import events as e
from gcks.daemon.config.problems import unreadable
from gcks.daemon.logs import fields_of
from gcks.errors import LocalError

RECORDED: Final = frozenset({
    e.MemberRegistered, e.RegistrationRefused, e.MemberLeft, e.MemberCertificateEnded,
    e.PeerAuthenticated, e.OperatorExcluded, e.OperatorOrdered, e.MembersLockedOut,
    e.GroupStarted, e.GroupRemovedEvent, e.GroupStartedOver, e.SenderIdsExhausted,
})  # fmt: skip
REFUSALS_PER_SECOND: Final = 20
"""Strangers cause them: whoever can send datagrams must not be able to fill a disk."""
MAX_LINE_OCTETS: Final = 1 << 16
BEGINNING: Final = "0" * 64
"""The `prev` of the very first line."""
TORN: Final = "audit_torn"
"""Follows a line that a crash has cut off."""
_MODE: Final = 0o600


class AuditLog:
    """Appends; never fails once it is open, but says so: the keys go on."""

    def __init__(self, path: Path, wall: Callable[[], float]) -> None:
        """Open, and go on where the file ends.  Raises `LocalError`."""
        self._path, self._wall = path, wall
        self.number, self._prev = 0, BEGINNING
        self.failed = ""
        """Why the last lines could not be written; "" if they were."""
        self._second, self._refusals = -1, 0
        self._torn_octets = 0
        self._descriptor = self._open()
        self._append({"event": "audit_opened", "version": __version__})

    def _open(self) -> int:
        try:
            descriptor = os.open(
                self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE
            )
            size = os.fstat(descriptor).st_size
            if size:
                self._go_on(descriptor, size)
        except OSError as error:
            raise LocalError(
                f"audit log {self._path}: {error.strerror or error}; "
                "make its directory writable for the server, or change audit.path"
            ) from None
        return descriptor

    def _go_on(self, descriptor: int, size: int) -> None:
        """Take number and hash from the last line of a file."""
        start = max(0, size - 2 * MAX_LINE_OCTETS)
        tail = os.pread(descriptor, size - start, start)
        whole = tail.endswith(b"\n")
        lines = tail.splitlines()
        self.number = next((n for n in map(_number, reversed(lines)) if n is not None), 0)
        self._prev = sha256(lines[-1]).hexdigest()
        if not whole:
            os.write(descriptor, b"\n")
            self._append({"event": TORN, "octets": len(lines[-1])}, descriptor)

    @property
    def checkpoint(self) -> tuple[int, str]:
        """The number and the hash of the newest line."""
        return self.number, self._prev

    def write(self, events: Iterable[e.Event], now: float) -> None:
        """Record what is to be recorded."""
        for event in events:
            if type(event) in RECORDED and self._has_room(event, now):
                self._append({"event": event.name, **fields_of(event)})

    def _has_room(self, event: e.Event, now: float) -> bool:
        if not isinstance(event, e.RegistrationRefused):
            return True
        if int(now) != self._second:
            left_out = self._refusals - REFUSALS_PER_SECOND
            self._second, self._refusals = int(now), 0
            if left_out > 0:
                self._append({"event": "refusals_not_recorded", "count": left_out})
        self._refusals += 1
        return self._refusals <= REFUSALS_PER_SECOND

    def _append(self, content: dict[str, Any], descriptor: int | None = None) -> None:
        if self._torn_octets:
            torn, self._torn_octets = self._torn_octets, 0
            self._append({"event": TORN, "octets": torn}, descriptor)
        at = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds")
        entry = {"n": self.number + 1, "at": at, **content, "prev": self._prev}
        line = json.dumps(entry, separators=(",", ":")).encode()
        self._write(line, self._descriptor if descriptor is None else descriptor)

    def _write(self, line: bytes, descriptor: int) -> None:
        """Write a line; one that a full disk cuts off is accounted for by the next."""
        try:
            written = os.write(descriptor, line + b"\n")
            if written <= len(line):
                os.write(descriptor, b"\n")
        except OSError as error:
            self.failed = error.strerror or str(error)
            return
        self.failed = ""
        if written <= len(line):
            self._torn_octets, line = written, line[:written]
        else:
            self.number += 1
        self._prev = sha256(line).hexdigest()

    def sync(self) -> None:
        """Wait until the lines are on the disk."""
        os.fdatasync(self._descriptor)

    def reopen(self) -> None:
        """Go on in a new file after a rotation; the chain goes on.  Raises `LocalError`."""
        number, prev = self.number, self._prev
        fresh = self._open()
        os.close(self._descriptor)
        self._descriptor = fresh
        if not os.fstat(fresh).st_size:
            self.number, self._prev = number, prev

    def close(self) -> None:
        os.close(self._descriptor)


def _number(line: bytes) -> int | None:
    try:
        found = json.loads(line)["n"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) else None


# --- verification -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a chain of files; `problem` is "" where it is unbroken."""

    entries: int
    first_at: str
    last_at: str
    number: int
    hash: str
    problem: str = ""


def verify(files: Sequence[Path], checkpoint: tuple[int, str] | None = None) -> Verdict:
    """Follow the chain through the files, the oldest first.

    With a checkpoint (number and hash, from the ordinary log) the line of that number
    must be there, too.  Raises `LocalError` for a file that can't be read.
    """
    state = _Chain(checkpoint)
    for file in files:
        try:
            with file.open("rb") as lines:
                for place, line in enumerate(lines, 1):
                    state.follow(f"{file}:{place}", line.rstrip(b"\n"))
        except OSError as error:
            raise unreadable(file, error) from None
    return state.verdict()


class _Chain:
    """A chain that is being followed."""

    def __init__(self, checkpoint: tuple[int, str] | None) -> None:
        self._checkpoint = checkpoint
        self._confirmed = checkpoint is None
        self._prev: str | None = None
        self._torn = ""
        self._number = self._entries = 0
        self._first = self._last = ""
        self._problem = ""

    def follow(self, place: str, line: bytes) -> None:
        if self._problem:
            return
        entry = _entry(line)
        if entry is None:
            self._torn = place
        else:
            self._problem = next(self._faults(place, entry), "")
            self._note(entry)
        self._prev = sha256(line).hexdigest()
        if self._checkpoint == (self._number, self._prev):
            self._confirmed = True

    def _faults(self, place: str, entry: dict[str, Any]) -> Iterator[str]:
        if self._torn and entry.get("event") != TORN:
            yield f"{self._torn}: not an entry"
        if self._prev is None:
            if entry["n"] == 1 and entry["prev"] != BEGINNING:
                yield f"{place}: the first entry doesn't begin the chain"
            return
        if entry["prev"] != self._prev:
            yield f"{place}: doesn't follow the line before it, which was changed, or is gone"
        if entry["n"] != self._number + 1 and self._entries:
            yield f"{place}: number {entry['n']} after {self._number}"

    def _note(self, entry: dict[str, Any]) -> None:
        self._torn = ""
        self._entries += 1
        self._number, self._last = entry["n"], str(entry.get("at"))
        self._first = self._first or self._last

    def verdict(self) -> Verdict:
        problem = self._problem or (f"{self._torn}: not an entry" if self._torn else "")
        if not problem and not self._confirmed and self._checkpoint is not None:
            problem = f"no entry {self._checkpoint[0]} with that hash: the end is cut off"
        return Verdict(
            self._entries, self._first, self._last, self._number, self._prev or "", problem
        )


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("n"), int):
        return None
    return entry if isinstance(entry.get("prev"), str) else None
