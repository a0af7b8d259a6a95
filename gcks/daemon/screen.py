"""One screen of what is going on: rich where a terminal is there, plain log lines elsewhere."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gcks.daemon.logs import fields_of
from gcks.events import Event, IkeSaClosed, IkeSaInitAnswered
from gcks.wire.printable import printable

_RECENT: Final = 14
_REFRESH_SECONDS: Final = 1.0
_QUIET: Final = (IkeSaInitAnswered, IkeSaClosed)

Lines = Callable[[], Sequence[tuple[str, str]]]


class Screen:
    """Shows state above and the newest events below."""

    def __init__(self, title: str, subtitle: str) -> None:
        self._title, self._subtitle = title, subtitle
        self._recent: deque[str] = deque(maxlen=_RECENT)
        self._live: Live | None = None
        self._lines: Lines = tuple

    @staticmethod
    def wanted() -> bool:
        return sys.stdout.isatty()

    def events(self, events: Sequence[Event]) -> None:
        stamp = time.strftime("%H:%M:%S")
        for event in events:
            if isinstance(event, _QUIET):
                continue
            shown = "  ".join(f"{name}={value}" for name, value in fields_of(event).items())
            self._recent.append(printable(f"{stamp}  {event.name:<22} {shown}"))

    def start(self, lines: Lines) -> None:
        """Begin to draw; without a terminal print the state once."""
        self._lines = lines
        if not self.wanted():
            rows = [("", self._title), ("", self._subtitle), *lines()]
            print("\n".join(f"{name:<10} {value}".strip() for name, value in rows), flush=True)
            return
        self._live = Live(self._draw(), console=Console(), screen=True, auto_refresh=False)
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
        table = Table.grid(padding=(0, 2))
        for name, value in self._lines():
            table.add_row(Text(name, style="bold"), value)
        events = Text("\n".join(self._recent), no_wrap=True, overflow="ellipsis")
        body = Group(table, Text(), Text("events", style="bold"), events)
        return Panel(body, title=self._title, subtitle=f"{self._subtitle}   Ctrl-C ends")
