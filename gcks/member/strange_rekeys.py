"""Rekeys of SAs that this member doesn't have, sent where its group's rekeys are sent.

The server has lost its store and began anew, this member was away for long, or another
group shares the address.  Nobody can tell who sent them, so that they cause nothing but
a word to the operator, and that seldom.
"""

from __future__ import annotations

from math import inf
from typing import Final

PATIENCE_SECONDS: Final = 60.0
"""So long they must have come without one of ours: a late copy is no trouble."""
SILENCE_SECONDS: Final = 3600.0
"""Between two words."""
MANY: Final = 3
"""Times that ours came in between: the address is shared.  Late copies account for two."""


class StrangeRekeys:
    """For one group, since its last registration."""

    __slots__ = ("_first_at", "_mixed", "_told_at")

    def __init__(self) -> None:
        self._told_at = -inf
        self.registered()

    def registered(self) -> None:
        """Begin anew."""
        self._first_at, self._mixed = inf, 0

    def own_came(self) -> None:
        """Note one that could be read."""
        self._mixed += self._first_at < inf
        self._first_at = inf

    def came(self, now: float) -> bool:
        """Note one that is not ours; tell whether to say so."""
        self._first_at = min(self._first_at, now)
        lasts = now - self._first_at >= PATIENCE_SECONDS
        if self._mixed >= MANY or not lasts or now - self._told_at < SILENCE_SECONDS:
            return False
        self._told_at = now
        return True
