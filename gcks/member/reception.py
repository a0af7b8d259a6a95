"""Whether the rekeys of a group reach this member, and what to look at where they don't.

Rekeys of SAs that this member doesn't have may be sent where its group's rekeys are sent:
the server has lost its store and began anew, this member was away for long, or another
group shares the address.  Nobody can tell who sent them, so that they cause nothing but
a word to the operator, and that seldom.
"""

from __future__ import annotations

from math import inf
from typing import Final

from gcks.datagrams import Path
from gcks.member.held_sas import RekeySa

PATIENCE_SECONDS: Final = 60.0
"""So long strange rekeys must have come without one of ours: a late copy is no trouble."""
SILENCE_SECONDS: Final = 3600.0
"""Between two words."""
MANY: Final = 3
"""Times that ours came in between: the address is shared.  Late copies account for two."""

STRANGE: Final = (
    "rekeys come over an SA that this member doesn't have: the server has lost its store, or this"
    " member was away for long, or another group shares the address; restart this member if the"
    " group's data doesn't reach it"
)


class Reception:
    """For one group."""

    __slots__ = ("_first_strange_at", "_heard", "_mixed", "_told_at", "hint", "last_at", "missed")

    def __init__(self) -> None:
        self.missed = 0
        """GSA_REKEY messages that never came, by the Message IDs of those that did."""
        self.last_at = -inf
        """Monotonic seconds of the last rekey."""
        self.hint = ""
        """What to look at because rekeys don't come, until one does."""
        self._heard = False
        """Whether one has come since the registration."""
        self._first_strange_at, self._mixed, self._told_at = inf, 0, -inf

    def registered(self) -> None:
        """Begin anew."""
        self._heard = False
        self._first_strange_at, self._mixed = inf, 0

    def came(self, now: float) -> None:
        """Note a rekey that could be followed."""
        self.last_at, self.hint, self._heard = now, "", True
        self._mixed += self._first_strange_at < inf
        self._first_strange_at = inf

    def strange_came(self, rekey: RekeySa, path: Path, now: float) -> bool:
        """Note a rekey that is not ours; tell whether to say so.

        `rekey`: ours.  What comes to elsewhere, or from elsewhere, isn't counted.
        """
        join, local = rekey.join, (path.local.host, path.local.port)
        if local != (join.address, join.port) or join.source not in (None, path.remote.host):
            return False
        self._first_strange_at = min(self._first_strange_at, now)
        lasts = now - self._first_strange_at >= PATIENCE_SECONDS
        if self._mixed >= MANY or not lasts or now - self._told_at < SILENCE_SECONDS:
            return False
        self._told_at, self.hint = now, STRANGE
        return True

    def blocked_hint(self, rekey: RekeySa | None) -> str:
        """Say what to look at where no rekey has come since the registration; "" elsewhere."""
        if rekey is None or self._heard:
            return ""
        at = f"{rekey.join.address} port {rekey.join.port}"
        on = rekey.join.interface or "the interface that the kernel chooses (local.interface)"
        return (
            f"no rekey has come since the registration: is multicast to {at} let through to {on}?"
        )
