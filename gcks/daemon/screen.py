"""One screen of what is going on: rich where a terminal is there, plain log lines elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text

from gcks.daemon.logs import text_of
from gcks.events import Event, Level

_RECENT: Final = 40
"""Events that are kept; as many are shown as there is room for."""
_REFRESH_SECONDS: Final = 1.0
_FRAME_COLUMNS: Final = 4
_FRAME_ROWS: Final = 2
_NAME_COLUMNS: Final = 22

Lines = Callable[[], Sequence[tuple[str, str]]]


def has_screen(console: Console | None = None) -> bool:
    """Tell whether output goes to a terminal on which a cursor can be moved."""
    console = console or Console()
    return console.file.isatty() and not console.is_dumb_terminal


def beside(title: Text, columns: int, text: Text) -> Table:
    """Return a title that takes so many columns, and a text that has the rest of the screen."""
    row = Table.grid(Column(width=columns), Column(overflow="fold"), padding=(0, 2, 0, 0))
    row.add_row(title, text)
    return row


def framed(
    console: Console, title: str, above: Sequence[RenderableType], entries: Iterable[RenderableType]
) -> Panel:
    """Return a frame that fits the screen: what is above, and the newest of the entries."""
    room = console.height - _FRAME_ROWS - sum(_rows(console, part) for part in above)
    newest: deque[RenderableType] = deque()
    for entry in reversed([*entries]):
        room -= _rows(console, entry)
        if room < 0:
            break
        newest.appendleft(entry)
    return Panel(Group(*above, *newest), title=title, subtitle="Ctrl-C ends")


def _rows(console: Console, part: RenderableType) -> int:
    inside = console.options.update_width(max(1, console.width - _FRAME_COLUMNS))
    return len(console.render_lines(part, inside, pad=False))


class Screen:
    """Shows state above and the newest events below."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title = title
        self._recent: deque[tuple[str, Event]] = deque(maxlen=_RECENT)
        self._console = console or Console()
        self._live: Live | None = None
        self._lines: Lines = tuple

    def events(self, events: Sequence[Event]) -> None:
        stamp = time.strftime("%H:%M:%S")
        self._recent.extend((stamp, event) for event in events if event.level > Level.DEBUG)

    def start(self, lines: Lines) -> None:
        """Begin to draw; without a screen print the state once."""
        self._lines = lines
        if not has_screen(self._console):
            rows = [("", self._title), *lines()]
            print("\n".join(f"{name:<10} {value}".strip() for name, value in rows), flush=True)
            return
        self._live = Live(self._draw(), console=self._console, screen=True, auto_refresh=False)
        self._live.start()
        self._refresh()

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._draw(), refresh=True)
            asyncio.get_running_loop().call_later(_REFRESH_SECONDS, self._refresh)

    def _draw(self) -> Panel:
        table = Table.grid(Column(), Column(overflow="fold"), padding=(0, 2))
        for name, value in self._lines():
            table.add_row(Text(name, style="bold"), Text(value))
        above = (table, Text(), Text("events", style="bold"))
        return framed(self._console, self._title, above, map(_entry, self._recent))


def _entry(entry: tuple[str, Event]) -> RenderableType:
    stamp, event = entry
    name = Text(f"{event.name:<{_NAME_COLUMNS}} ", style="bold")
    return beside(Text(stamp), len(stamp), name.append(text_of(event), style="default"))
