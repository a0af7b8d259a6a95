"""How rows stand on a screen: as a table where it fits, else one after the other.

What goes into a pipe is a table of any width, for grep and awk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from gcks.wire.printable import printable

NOTHING = "-"
"""A cell without a value; where rows stand one after the other it is left out."""
_GAP = "  "
_INDENT = "    "
_LEAST_ROOM = 24
"""In which the last column of a table may be broken into lines."""


def print_rows(console: Console, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells below their titles."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    before_last = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
    room = console.width - before_last if console.is_terminal else widths[-1]
    if room < min(widths[-1], _LEAST_ROOM):
        for row in rows:
            _print_record(console, titles, row)
        return
    _print_line(console, titles, widths, style="bold")
    for *cells, last in rows:
        first, *more = _wrapped(last, room)
        _print_line(console, (*cells, first), widths)
        for line in more:
            _print(console, Text(" " * before_last + line))


def print_fields(console: Console, fields: Mapping[str, str]) -> None:
    """Print names and values, one below the other."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        room = max(console.width - width - len(_GAP), 20)
        lines = _wrapped(value, room) if console.is_terminal else [value]
        for place, line in enumerate(lines):
            _print(
                console, Text.assemble((f"{name if not place else '':<{width}}", "dim"), _GAP, line)
            )


def print_event(console: Console, when: str, name: str, told: str) -> None:
    """Print what happened in one line, of which a screen shows several if it must."""
    head = f"{when} {name:<20} " if told else f"{when} {name}"
    room = console.width - len(_INDENT)
    if not console.is_terminal or len(head + told) <= console.width:
        _print(
            console, Text.assemble((when, "dim"), f" {name:<20} "[: len(head) - len(when)], told)
        )
        return
    _print(console, Text.assemble((when, "dim"), f" {name}"))
    for line in _wrapped(told, room):
        _print(console, Text(_INDENT + line))


def print_points(console: Console, head: str, points: Sequence[str] = ()) -> None:
    """Print a line, and what there is to say about it below."""
    for begin, text in (("", head), *(("  - ", point) for point in points)):
        room = console.width - len(begin)
        for line in _wrapped(text, room) if console.is_terminal else [text]:
            _print(console, Text(begin + line))
            begin = " " * len(begin)


def _print_line(
    console: Console, cells: Sequence[str], widths: Sequence[int], style: str = ""
) -> None:
    line = _GAP.join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    _print(console, Text(line.rstrip(), style))


def _print_record(console: Console, titles: Sequence[str], row: Sequence[str]) -> None:
    """Print a row by itself: its first cell, and below it what each other cell is."""
    for part in _wrapped(row[0], console.width):
        _print(console, Text(part, "bold"))
    room, line = console.width - len(_INDENT), Text()
    for title, cell in zip(titles[1:], row[1:], strict=True):
        if cell == NOTHING:
            continue
        pair = Text.assemble((f"{title}:", "dim"), " ", cell)
        if line and len(line) + len(_GAP) + len(pair) > room:
            _print(console, Text(_INDENT) + line)
            line = Text()
        line = Text.assemble(line, _GAP, pair) if line else pair
        if len(line) > room:  # one pair alone is too long
            for part in _wrapped(line.plain, room):
                _print(console, Text(_INDENT + part))
            line = Text()
    if line:
        _print(console, Text(_INDENT) + line)


def _wrapped(text: str, room: int) -> list[str]:
    return wrap(text, room, break_on_hyphens=False) or [""]


def _print(console: Console, line: Text) -> None:
    if not line.plain.isprintable():
        line = Text(printable(line.plain))  # somebody's text: its escapes are not for the terminal
    console.print(line, soft_wrap=True, highlight=False)
