"""What a new peer has to prove, by load: nothing, its address, or that it is ready to work for it.

RFC 7296 section 2.6 (cookies), RFC 8019 sections 4 and 6 (puzzles).  A step is
left at half the load that leads to it, so that a flood doesn't make the server
go up and down; a flood that cookies keep out counts as load as long as it lasts.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from gcks.keyserver.ike_sa_table import IkeSaTable
from gcks.keyserver.settings import ServerSettings

HOLD_SECONDS: Final = 30.0
"""How long cookies outlast a flood of peers that don't give them back."""


class Step(IntEnum):
    OPEN = 0
    COOKIE = 1
    PUZZLE = 2


class Ladder:
    """The step that the server as a whole has reached; single networks may be further."""

    __slots__ = ("_cookies_from", "_counted_at", "_unreturned", "reached")

    def __init__(self, now: float) -> None:
        self.reached = Step.OPEN
        self._unreturned = 0.0
        """Cookies that did not come back, going down with time."""
        self._counted_at = now
        self._cookies_from = 0

    def step(
        self, host: str, ike_sas: IkeSaTable, settings: ServerSettings, limit: int, now: float
    ) -> Step:
        """Return what a peer at that host has to prove.

        From half of the `limit` on, beyond which peers are turned away, always its
        address, and so from half of the limit of its network: made-up addresses must
        not use up the room, and who is let in beyond it has proved that it is itself.
        """
        self._cookies_from = min(settings.cookie_threshold, limit // 2)
        self._go_down(now)
        self.reached = self._climb(ike_sas.half_open, settings)
        near = ike_sas.half_open_of(host)
        if settings.puzzle_difficulty and near >= settings.puzzle_threshold_per_prefix:
            return Step.PUZZLE
        crowded = settings.max_half_open_per_prefix // 2
        if near >= min(settings.cookie_threshold_per_prefix, crowded):
            return max(self.reached, Step.COOKIE)
        return self.reached

    def _climb(self, half_open: int, settings: ServerSettings) -> Step:
        puzzles, cookies = settings.puzzle_threshold, self._cookies_from
        if settings.puzzle_difficulty and self._is_over(half_open, puzzles, Step.PUZZLE):
            return Step.PUZZLE
        if self._is_over(max(half_open, self._unreturned), cookies, Step.COOKIE):
            return Step.COOKIE
        return Step.OPEN

    def _is_over(self, load: float, threshold: int, step: Step) -> bool:
        return load >= (threshold / 2 if self.reached >= step else threshold)

    def demanded(self) -> None:
        """Count a cookie that was asked for."""
        self._unreturned = min(self._unreturned + 1, 2.0 * max(1, self._cookies_from))

    def returned(self) -> None:
        """Count a cookie that came back."""
        self._unreturned = max(0.0, self._unreturned - 1)

    def _go_down(self, now: float) -> None:
        passed, self._counted_at = now - self._counted_at, now
        rate = max(1, self._cookies_from) / HOLD_SECONDS
        self._unreturned = max(0.0, self._unreturned - passed * rate)
