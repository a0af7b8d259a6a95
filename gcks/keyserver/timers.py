"""Timeouts of many IKE SAs: a heap with lazy deletion, O(log n) per change."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import Protocol


class Timed(Protocol):
    """Something with one deadline."""

    due: float
    """When it really wants attention."""
    timer_at: float
    """When its one live entry in the heap is over; `inf` without an entry."""

    @property
    def own_spi(self) -> bytes: ...


class Timers:
    """Deadlines by our own SPI.

    An entry whose time isn't the `timer_at` of its SA was superseded, one whose
    SA is gone was dropped; both leave the heap when their time comes.
    """

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, sa: Timed) -> None:
        """Note the SA's deadline; only an earlier one needs a new entry."""
        if sa.due < sa.timer_at:
            sa.timer_at = sa.due
            heappush(self._heap, (sa.due, sa.own_spi))

    @property
    def next(self) -> float:
        """When to look again: never too late, perhaps too early."""
        return self._heap[0][0] if self._heap else inf

    def pop_over(self, now: float) -> list[tuple[float, bytes]]:
        """Return the entries that are over, dropped and superseded ones too."""
        over: list[tuple[float, bytes]] = []
        while self._heap and self._heap[0][0] <= now:
            over.append(heappop(self._heap))
        return over
