"""Allocation of Sender-IDs (RFC 9838 section 2.5.1): sequential from zero, never twice."""

from __future__ import annotations

from typing import Final, NamedTuple

from gcks.errors import RefusalReason, RegistrationFailed

RESERVED_SHARE: Final = 16
"""One of so many Sender-IDs is kept for who registers between the warning and the new beginning."""


class SenderIds(NamedTuple):
    """The next Sender-ID of a group and the first that no longer fits its bits."""

    next: int
    limit: int

    @property
    def left(self) -> int:
        return max(0, self.limit - self.next)

    @property
    def is_low(self) -> bool:
        """Tell whether only the reserve is left."""
        return self.left <= self.limit // RESERVED_SHARE

    def allocated(self, requested: int, at_most: int) -> tuple[int, ...]:
        """Return fresh Sender-IDs: as many as asked for, bounded by policy and supply.

        0 and 1 both ask for one (ruling 17); never more than requested (section
        4.5.3.3).  Raises `RegistrationFailed` where none is left: new ones need
        new keys and everybody's exclusion first (section 2.5.1).
        """
        count = min(max(requested, 1), at_most, self.left)
        if count < 1:
            raise RegistrationFailed(
                "no Sender-ID is left in this group",
                RefusalReason.NO_SENDER_ID,
                hint="the group starts over at once; raise sender_id_bits if that happens often",
            )
        return tuple(range(self.next, self.next + count))
