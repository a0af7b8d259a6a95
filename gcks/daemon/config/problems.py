"""What is wrong with a configuration: where, which key, why, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gcks.errors import LocalError

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding; `line` counts from 1, 0 where there is none."""

    file: str
    line: int
    key: str
    reason: str
    warning: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        label = "warning: " if self.warning else ""
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {label}{key}{self.reason}"


class ConfigError(LocalError):
    """A configuration that can't be used; holds every problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def key_text(path: KeyPath) -> str:
    """Write a path as people do: groups[0].data_sas[1].suite."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(slots=True)
class Findings:
    """Collects problems of one file."""

    file: str
    lines: dict[KeyPath, int]
    found: list[tuple[KeyPath, str, bool]] = field(default_factory=list)
    """Path, reason, and whether it is a warning."""

    def add(self, path: KeyPath, reason: str, *, warning: bool = False) -> None:
        """Note a problem at the line of the key, or of the nearest one above it."""
        self.found.append((path, reason, warning))

    def _problem(self, path: KeyPath, reason: str, warning: bool) -> Problem:
        at = path
        while at and at not in self.lines:
            at = at[:-1]
        return Problem(self.file, self.lines.get(at, 0), key_text(path), reason, warning)

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.in_order() if not problem.warning]

    def in_order(self) -> tuple[Problem, ...]:
        """Return all problems in the order of the file's lines."""
        problems = (self._problem(*one) for one in self.found)
        return tuple(sorted(problems, key=lambda problem: problem.line))
