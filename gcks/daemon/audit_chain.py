"""Whether an audit log is whole: the chain of its lines, followed from file to file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from gcks.daemon.audit_notes import AuditTorn
from gcks.daemon.config.problems import unreadable

BEGINNING: Final = "0" * 64
"""The `prev` of the very first line."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a chain of files; `problem` is "" where it is unbroken."""

    entries: int
    first_at: str
    last_at: str
    number: int
    hash: str
    problem: str = ""


def verify(
    files: Sequence[Path], checkpoint: tuple[int, str] | None = None, first: int = 1
) -> Verdict:
    """Follow the chain through the files, the oldest first.

    It must begin with the entry of number `first`: earlier ones are in files that were
    put away.  With a checkpoint (number and hash, from the ordinary log) the line of
    that number must be there, too.  Raises `LocalError` for a file that can't be read.
    """
    state = _Chain(checkpoint, first)
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

    def __init__(self, checkpoint: tuple[int, str] | None, first: int) -> None:
        self._checkpoint, self._begins = checkpoint, first
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
        if self._torn and entry.get("event") != AuditTorn.name:
            yield f"{self._torn}: not an entry"
        if self._prev is None:
            if entry["n"] != self._begins:
                yield f"{place}: begins with entry {entry['n']}, not {self._begins}: {_OLDER}"
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
        if not problem and not self._entries:
            problem = "there is no entry at all"
        if not problem and not self._confirmed and self._checkpoint is not None:
            problem = f"no entry {self._checkpoint[0]} with that hash: the end is cut off"
        return Verdict(
            self._entries, self._first, self._last, self._number, self._prev or "", problem
        )


_OLDER: Final = "give the older files, too, or say --from NUMBER if they were put away"


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("n"), int):
        return None
    return entry if isinstance(entry.get("prev"), str) else None
