"""The live view: where a terminal is, a screen that fits it; elsewhere a line for each step."""

from __future__ import annotations

from collections import deque
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gcks.cli.demo.site import GROUP, MemberState, SiteState
from gcks.daemon.screen import beside, framed, has_screen

_KEPT_SCENES: Final = 30
_TITLE_COLUMNS: Final = {True: 34, False: 21}
"""On a screen that is not wide a title may take two rows."""
_WIDE_COLUMNS: Final = 100
_STYLES: Final = {"current": "green", "old": "yellow", "none": "yellow"}
_COLUMNS: Final = {
    "member": 0, "state": 11, "keys": 7, "rekeys": 0, "registrations": 0, "last error": 0,
}  # fmt: skip
"""With the least width of each, so that none moves when what is in it changes."""


class Stage:
    """Shows the newest state and what has happened so far."""

    def __init__(
        self, names: tuple[str, ...], *, plain: bool = False, console: Console | None = None
    ) -> None:
        self._console = console or Console()
        self._plain = plain or not has_screen(self._console)
        self._told: deque[tuple[str, Text]] = deque(maxlen=_KEPT_SCENES)
        self._live: Live | None = None
        self._state = SiteState(members={name: MemberState(name, "not started") for name in names})

    def __enter__(self) -> Stage:
        if not self._plain:
            self._live = Live(self._draw(), console=self._console, screen=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def tell(self, title: str, text: str) -> None:
        """Add what begins to the story."""
        self._say(f"{title}: {text}")
        self._told.append((title, Text(text)))
        self.show(self._state)

    def done(self, seconds: float) -> None:
        """Add to the story that the newest has come true."""
        text = f"after {seconds:.1f} s"
        self._say(f"  done: {text}")
        self._told[-1][1].append(f"  Done {text}.", style="green")
        self.show(self._state)

    def _say(self, line: str) -> None:
        if self._plain:
            print(line, flush=True)

    def show(self, state: SiteState) -> None:
        """Draw the newest state."""
        self._state = state
        if self._live is not None:
            self._live.update(self._draw(), refresh=True)

    def _draw(self) -> RenderableType:
        state = self._state
        head = Table.grid(padding=(0, 2))
        head.add_row(Text("group", style="bold"), GROUP)
        head.add_row(Text("Rekey SA", style="bold"), state.rekey_spi or "-")
        head.add_row(Text("data SA", style="bold"), state.data_spi or "-")
        head.add_row(Text("next Message ID", style="bold"), str(state.next_message_id))
        above = (head, Text(), _members(state), Text())
        return framed(self._console, "gcks demo", above, map(self._scene, self._told))

    def _scene(self, scene: tuple[str, Text]) -> RenderableType:
        title, text = scene
        columns = _TITLE_COLUMNS[self._console.width >= _WIDE_COLUMNS]
        return beside(Text(title, style="bold"), columns, text)


def _members(state: SiteState) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title, least in _COLUMNS.items():
        table.add_column(title, overflow="fold", no_wrap=title != "last error", min_width=least)
    for name, member in state.members.items():
        keys = "current" if state.in_step(name) else "old" if member.rekey_spi else "none"
        counts = (str(member.rekeys), str(member.registrations))
        error = Text(member.last_error)
        table.add_row(name, member.state, Text(keys, style=_STYLES[keys]), *counts, error)
    return table
