"""How often one peer may ask: token buckets, as many as memory allows.

A bucket that is full again is the same as none, so only peers that asked lately
have one.  Where there are too many the one used longest ago goes: who floods with
many addresses gains a full bucket for each, and loses nothing for others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

MAX_BUCKETS: Final = 16_384
BURST_SECONDS: Final = 10.0
"""A bucket holds what comes in so long: many members behind one address may start together."""


class Rates:
    """Buckets by peer; `rate` is tokens a second, 0 for no limit."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        """Peer -> tokens left, and when that was so."""

    def __len__(self) -> int:
        return len(self._buckets)

    def has(self, peer: Hashable, rate: float, now: float) -> bool:
        """Tell whether the peer has a token."""
        return not rate or self._left(peer, rate, now) >= 1.0

    def take(self, peer: Hashable, rate: float, now: float) -> bool:
        """Take a token; tell whether there was one."""
        if not rate:
            return True
        left = self._left(peer, rate, now)
        enough = left >= 1.0
        self._buckets[peer] = (left - 1.0 if enough else left), now
        self._buckets.move_to_end(peer)
        self._forget(now)
        return enough

    def _left(self, peer: Hashable, rate: float, now: float) -> float:
        most = max(1.0, rate * BURST_SECONDS)
        bucket = self._buckets.get(peer)
        return most if bucket is None else min(most, bucket[0] + (now - bucket[1]) * rate)

    def _forget(self, now: float) -> None:
        """Drop buckets that are full again, two for each new one, and what is too much."""
        for _ in range(2):
            peer, (_, at) = next(iter(self._buckets.items()))
            if now - at < BURST_SECONDS and len(self._buckets) <= MAX_BUCKETS:
                return
            del self._buckets[peer]
            if not self._buckets:
                return
