"""When each of many groups is due: a heap, O(log n) for each change."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf


class DueTimes:
    """Times by the names of groups; an entry that was superseded leaves the heap in its time."""

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def set(self, name: str, at: float) -> None:
        """Note when a group is due (monotonic seconds); infinite: not at all."""
        if self._at.get(name, inf) == at:
            return
        if at == inf:
            self._at.pop(name, None)
            return
        self._at[name] = at
        heappush(self._heap, (at, name))

    @property
    def next(self) -> float:
        """When the first of them is due."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else inf

    def pop_due(self, now: float) -> list[str]:
        """Return the groups that are due, each once, the first due first."""
        due: list[str] = []
        while self.next <= now:
            name = heappop(self._heap)[1]
            del self._at[name]
            due.append(name)
        return due
