"""The audit log: who was admitted, refused, excluded, and which operator did what.

JSON lines, appended only.  Each holds the SHA-256 of the line before it (`prev`), so
that none can be changed, taken out or put in without breaking the chain; what is cut
off at the end shows against the checkpoints in the ordinary log.

    {"n":7,"at":"2026-11-24T05:20:01.123+00:00","event":"member_registered",...,"prev":"9f0c..."}

`audit_chain` follows it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from gcks import __version__
from gcks import events as e
from gcks.daemon.audit_chain import BEGINNING
from gcks.daemon.audit_notes import (
    AuditLost,
    AuditNote,
    AuditOpened,
    AuditTorn,
    RefusalsNotRecorded,
)
from gcks.daemon.log_quota import Shares
from gcks.daemon.logs import fields_of
from gcks.errors import LocalError

MAX_TEXT_CHARACTERS: Final = 1024
MAX_NAMES: Final = 100
"""In one entry; the names of a long order are in several."""
_TAIL_OCTETS: Final = 1 << 16
_MODE: Final = 0o600


class AuditLog:
    """Appends; never fails once it is open, but says so: the keys go on."""

    def __init__(self, path: Path, wall: Callable[[], float]) -> None:
        """Open, and go on where the file ends.  Raises `LocalError`."""
        self._path, self._wall = path, wall
        self.number, self._prev = 0, BEGINNING
        self.failed = ""
        """Why the last lines could not be written; "" if they were."""
        self._shares: Shares[type[e.Event]] = Shares()
        self._torn_octets = 0
        """Of a line that was cut off, until the log has said so."""
        self._unended = False
        """The file ends within that line."""
        self._lost = 0
        """Entries that could not be written, until the log has said so."""
        self._descriptor = self._open()
        self._append(_content(AuditOpened(__version__)))

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            descriptor = os.open(self._path, flags, _MODE)
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                os.close(descriptor)
                raise LocalError(f"audit log {self._path}: not a file; change audit.path")
            if status.st_size:
                self._go_on(descriptor, status.st_size)
        except OSError as error:
            raise LocalError(
                f"audit log {self._path}: {error.strerror or error}; "
                "make its directory writable for the server, or change audit.path"
            ) from None
        return descriptor

    def _go_on(self, descriptor: int, size: int) -> None:
        """Take number and hash from the last lines of a file."""
        tail = _last_lines(descriptor, size)
        lines = tail.splitlines()
        self.number = next((n for n in map(_number, reversed(lines)) if n is not None), 0)
        self._prev = sha256(lines[-1]).hexdigest()
        if not tail.endswith(b"\n"):
            self._torn_octets, self._unended = len(lines[-1]), True

    @property
    def checkpoint(self) -> tuple[int, str]:
        """The number and the hash of the newest line."""
        return self.number, self._prev

    def write(self, events: Iterable[e.Event], now: float) -> None:
        """Record what is to be recorded."""
        self._say(self._shares.begin(now))
        for event in events:
            if event.audited and self._has_room(event):
                for fields in _parts(fields_of(event)):
                    self._append({"event": event.name, **fields})

    def _has_room(self, event: e.Event) -> bool:
        if event.limit is None:
            return True
        remote = getattr(event, "remote", "")
        return self._shares.take(type(event), remote, event.limit.audit)

    def _say(self, left_out: Mapping[type[e.Event], int]) -> None:
        for count in left_out.values():
            self._append(_content(RefusalsNotRecorded(count)))

    # --- lines ----------------------------------------------------------------------

    def _append(self, content: dict[str, Any]) -> None:
        if not self._has_caught_up() or not self._write(content):
            self._lost += 1

    def _has_caught_up(self) -> bool:
        """Say what a full disk has cut off and lost; tell whether that could be written."""
        if self._unended and not self._end_line():
            return False
        if self._torn_octets and not self._write(_content(AuditTorn(self._torn_octets))):
            return False
        self._torn_octets = 0
        if self._lost and not self._write(_content(AuditLost(self._lost))):
            return False
        self._lost = 0
        return True

    def _end_line(self) -> bool:
        try:
            self._unended = os.write(self._descriptor, b"\n") == 0
        except OSError as error:
            self.failed = error.strerror or str(error)
        return not self._unended

    def _write(self, content: dict[str, Any]) -> bool:
        """Write one entry; tell whether all of it is there."""
        at = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds")
        entry = {"n": self.number + 1, "at": at, **content, "prev": self._prev}
        line = json.dumps(entry, separators=(",", ":")).encode()
        try:
            written = os.write(self._descriptor, line + b"\n")
        except OSError as error:
            self.failed = error.strerror or str(error)
            return False
        if written < len(line):  # the disk is full
            self.failed = "only a part of a line was written"
            self._torn_octets, self._unended = written, True
            self._prev = sha256(line[:written]).hexdigest()
            return False
        self.failed, self._unended = "", written == len(line)
        self.number, self._prev = self.number + 1, sha256(line).hexdigest()
        return True

    def duplicate(self) -> int:
        """Return a descriptor of its own, to wait for the disk with while a rotation goes on."""
        return os.dup(self._descriptor)

    def reopen(self) -> None:
        """Go on in a new file after a rotation; the chain goes on.  Raises `LocalError`."""
        number, prev = self.number, self._prev
        fresh = self._open()
        os.close(self._descriptor)
        self._descriptor = fresh
        if not os.fstat(fresh).st_size:
            self.number, self._prev, self._unended = number, prev, False

    def finish(self) -> None:
        """Record what is still to be said before the end."""
        self._say(self._shares.end())

    def close(self) -> None:
        os.close(self._descriptor)


def _content(note: AuditNote) -> dict[str, Any]:
    return {"event": note.name, **asdict(note)}


def _parts(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield fields with texts and lists that are not too long: of a long list part by part."""
    short = {
        name: value[:MAX_TEXT_CHARACTERS] if isinstance(value, str) else value
        for name, value in fields.items()
    }
    long = next((n for n, v in short.items() if isinstance(v, list) and len(v) > MAX_NAMES), None)
    if long is None:
        yield short
        return
    whole = short[long]
    for start in range(0, len(whole), MAX_NAMES):
        yield {**short, long: whole[start : start + MAX_NAMES]}


def _last_lines(descriptor: int, size: int) -> bytes:
    """Return the end of a file, with one whole line at least before what may be cut off."""
    length = _TAIL_OCTETS
    while True:
        start = max(0, size - length)
        tail = os.pread(descriptor, size - start, start)
        if not start or tail.count(b"\n") > 2:
            return tail
        length *= 2


def _number(line: bytes) -> int | None:
    try:
        number = json.loads(line)["n"]
    except (ValueError, KeyError, TypeError):
        return None
    return number if isinstance(number, int) else None
