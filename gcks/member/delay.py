"""How long a member waits before it registers again (RFC 9838 section 2.4.3).

What the server told for the group counts, unless the operator has set a number.  It
is believed up to a limit: a server in the wrong hands must not be able to tell a
member to stay away.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

from gcks.group.spread import SPREAD_VENDOR, Spread, read_spread
from gcks.wire.payloads import Payload

UNTOLD_SECONDS: Final = 5.0
"""Where the server says nothing of its group's size: the order of seconds."""
LEAST_SECONDS: Final = 1.0


class Reach(Enum):
    """Whom the same cause makes register again, as a share of the group."""

    EVERYBODY = 1.0
    """The group started over, the Rekey SA was deleted, nothing is renewed any more."""
    SOME = 0.1
    """A rekey or an IKE SA was lost: others may have it, or share the network that lost it."""


class Delay:
    """For one group; `fixed_seconds` is what the operator has set."""

    __slots__ = ("_agreed", "_fixed_seconds", "_sender", "told")

    def __init__(self, fixed_seconds: float | None, *, sender: bool) -> None:
        self._fixed_seconds, self._sender = fixed_seconds, sender
        self._agreed = False
        self.told: Spread | None = None
        """What the server told last."""

    def registered(self, payloads: Sequence[Payload]) -> None:
        """Take what a registration response tells, if the server means by it what we do."""
        self._agreed, self.told = SPREAD_VENDOR in payloads, None
        self.heard(payloads)

    def heard(self, payloads: Sequence[Payload]) -> None:
        """Take what an authentic rekey tells; what is malformed changes nothing."""
        if self._agreed:
            self.told = read_spread(payloads) or self.told

    def most_seconds(self, reach: Reach) -> float:
        """Return the upper end of the random delay."""
        if self._fixed_seconds is not None:
            return self._fixed_seconds
        if self.told is None:
            return UNTOLD_SECONDS
        told = self.told.sender_seconds if self._sender else self.told.all_seconds
        return max(LEAST_SECONDS, told * reach.value)
