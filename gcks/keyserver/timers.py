"""Timeouts of many IKE SAs: a heap with lazy deletion, O(log n) per change."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import Protocol


class Timed(Protocol):
    """Something with one deadline; moving the deadline later needs no new entry."""

    due: float
    spi_r: bytes


class Timers:
    """Deadlines by responder SPI; entries of moved or dropped SAs go when their time comes."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[tuple[float, bytes]] = []

    def set(self, sa: Timed) -> None:
        heappush(self._heap, (sa.due, sa.spi_r))

    @property
    def next(self) -> float:
        """When to look again: never too late, perhaps too early."""
        return self._heap[0][0] if self._heap else inf

    def pop_due(self, now: float) -> list[bytes]:
        """Return the SPIs whose entry is over; the caller looks at their real deadline."""
        due: list[bytes] = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heappop(self._heap)[1])
        return due

    def compact(self, alive: dict[bytes, float]) -> None:
        """Rebuild from what is alive, where dropped entries outnumber it."""
        if len(self._heap) > 2 * len(alive) + 1024:
            self._heap = [(due, spi) for spi, due in alive.items()]
            heapify(self._heap)
