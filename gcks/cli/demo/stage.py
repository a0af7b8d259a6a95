"""The live view: where a terminal is, a screen that fits it; elsewhere a line for each step."""

from __future__ import annotations

import sys
from collections import deque
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gcks.cli.demo.site import GROUP, SiteState

_KEPT_LINES: Final = 30
_OTHER_ROWS: Final = 16
"""What the screen shows besides the story."""
_ROWS_PER_LINE: Final = 2
"""On a narrow terminal."""
_MARKS: Final = {True: Text("current", style="green"), False: Text("old or none", style="yellow")}


class Stage:
    """Shows the newest state and what has happened so far."""

    def __init__(self, *, plain: bool = False) -> None:
        self._plain = plain or not sys.stdout.isatty()
        self._told: deque[Text] = deque(maxlen=_KEPT_LINES)
        self._console = Console()
        self._live: Live | None = None
        self._state = SiteState()

    def __enter__(self) -> Stage:
        if not self._plain:
            self._live = Live(self._draw(), console=self._console, screen=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def tell(self, title: str, text: str, style: str = "") -> None:
        """Add what happens to the story."""
        if self._plain:
            print(f"{title}: {text}" if text else title, flush=True)
            return
        line = Text(title, style=style or "bold")
        if text:
            line.append(f"  {text}", style="default")
        self._told.append(line)
        self.show(self._state)

    def show(self, state: SiteState) -> None:
        """Draw the newest state."""
        self._state = state
        if self._live is not None:
            self._live.update(self._draw(), refresh=True)

    def _draw(self) -> RenderableType:
        state = self._state
        head = Table.grid(padding=(0, 2))
        head.add_row(Text("group", style="bold"), GROUP)
        head.add_row(Text("Rekey SA", style="bold"), state.rekey_spi[:16] or "-")
        head.add_row(Text("data SA", style="bold"), state.data_spi or "-")
        head.add_row(Text("next Message ID", style="bold"), str(state.next_message_id))
        room = max(2, (self._console.height - _OTHER_ROWS) // _ROWS_PER_LINE)
        body = Group(head, Text(), _members(state), Text(), *list(self._told)[-room:])
        return Panel(body, title="gcks demo", subtitle="a real server, real members; Ctrl-C ends")


def _members(state: SiteState) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("member", "state", "keys", "rekeys", "registrations", "last error"):
        table.add_column(title, overflow="fold", no_wrap=title != "last error")
    for name, member in state.members.items():
        keys = _MARKS[state.in_step(name)]
        counts = (str(member.rekeys), str(member.registrations))
        table.add_row(name, member.state, keys, *counts, Text(member.last_error, style="dim"))
    return table
