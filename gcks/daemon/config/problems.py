"""What is wrong with a configuration: where, which key, why, what to do."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from gcks.errors import LocalError, Unfit

KeyPath = tuple[str | int, ...]
KEEP_ONE: Final = "keep one"
"""The remedy for what is given twice."""
MAX_TOLD: Final = 200
"""Problems in the text of one error."""


class FilePlace(NamedTuple):
    """Where something stands; `line` counts from 1, 0 where there is none."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding; `line` counts from 1, 0 where there is none."""

    file: str
    line: int
    key: str
    reason: str
    remedy: str
    """What to do; "" where that can't be said."""
    warning: bool = False

    @property
    def text(self) -> str:
        """Reason and remedy."""
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason

    def __str__(self) -> str:
        place = FilePlace(self.file, self.line)
        label = "warning: " if self.warning else ""
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {label}{key}{self.text}"


class ConfigError(LocalError):
    """A configuration that can't be used; holds every problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        lines = [*map(str, problems[:MAX_TOLD])]
        if len(problems) > MAX_TOLD:
            lines.append(f"... and {len(problems) - MAX_TOLD} more")
        super().__init__("\n".join(lines))
        self.problems = tuple(problems)


_BY_ERROR: Final = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EACCES: "let the user that runs gcks read it, or run gcks as another",
    errno.EPERM: "let the user that runs gcks read it, or run gcks as another",
    errno.EISDIR: "name a file in it",
}


def reading_remedy(error: OSError) -> str:
    """Say what to do about a file that can't be read."""
    return _BY_ERROR.get(error.errno or 0, "name another file")


def unreadable(path: Path, error: OSError) -> LocalError:
    """Return the error of a command about a file that it was given."""
    return LocalError(f"can't read {path}: {error.strerror or error}; {reading_remedy(error)}")


def key_text(path: KeyPath) -> str:
    """Write a path as people do: groups[0].data_sas[1].suite."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class Finding(NamedTuple):
    """A problem before its place in the file is known."""

    path: KeyPath
    reason: str
    remedy: str
    warning: bool


@dataclass(slots=True)
class Findings:
    """Collects problems of one configuration, which may stand in several files."""

    file: str
    """The main one."""
    places: dict[KeyPath, FilePlace]
    """Of every key and list entry, in the order of the files."""
    files: list[Path] = field(default_factory=list)
    """Those that the main one includes."""
    entries: list[Finding] = field(default_factory=list)

    def add(self, path: KeyPath, reason: str, remedy: str, *, warning: bool = False) -> None:
        """Note a problem at the line of the key, or of the nearest one above it."""
        self.entries.append(Finding(path, reason, remedy, warning))

    def refuse(self, path: KeyPath, error: Unfit) -> None:
        """Note what is wrong with what a key says."""
        self.add(path, error.reason, error.remedy)

    def place(self, path: KeyPath) -> FilePlace:
        """Return where a key stands, or the nearest one above it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, FilePlace(self.file, 0))

    def again(self) -> Findings:
        """Return an empty collector for the same files."""
        return Findings(self.file, self.places)

    def _problem(self, finding: Finding) -> Problem:
        path, reason, remedy, warning = finding
        return Problem(*self.place(path), key_text(path), reason, remedy, warning)

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.in_order() if not problem.warning]

    def in_order(self) -> tuple[Problem, ...]:
        """Return all problems in the order of the files and their lines."""
        names = dict.fromkeys((self.file, *map(str, self.files)))
        order = {name: at for at, name in enumerate(names)}
        problems = map(self._problem, self.entries)
        return tuple(
            sorted(problems, key=lambda problem: (order.get(problem.file, 0), problem.line))
        )
