"""Events as JSON: one object each, and the last ones kept for who comes later."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nlargest
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from gcks import events as e
from gcks.daemon.logs import fields_of

SCHEMA_VERSION: Final = 1
"""Of all answers and lines; fields may be added without changing it."""
KEPT_OF_A_KIND: Final = 200
"""Of each kind by itself: a flood of one doesn't wash away the others."""
MISSED: Final = "events_missed"
EVENT_NAMES: Final = frozenset(kind.name for kind in e.KINDS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are asked for: all, as far as nothing else is said."""

    level: int = 0
    """The least, as `logging` counts."""
    group: str | None = None
    names: frozenset[str] = frozenset()

    def __call__(self, event: e.Event) -> bool:
        return (
            event.level >= self.level
            and self.group in (None, getattr(event, "group", None))
            and (not self.names or event.name in self.names)
        )


class Recent:
    """The last events of each kind, with their times."""

    __slots__ = ("_count", "_kept")

    def __init__(self) -> None:
        self._kept: dict[type[e.Event], deque[tuple[int, float, e.Event]]] = {}
        self._count = 0

    def add(self, events: Sequence[e.Event], at: float) -> None:
        """Keep events; `at` is POSIX time."""
        for event in events:
            kept = self._kept.get(type(event))
            if kept is None:
                kept = self._kept[type(event)] = deque(maxlen=KEPT_OF_A_KIND)
            self._count += 1
            kept.append((self._count, at, event))

    def last(self, most: int, wanted: Wanted) -> list[dict[str, Any]]:
        """Return the last events as lines, the oldest first."""
        every = chain.from_iterable(self._kept.values())
        newest = nlargest(most, (entry for entry in every if wanted(entry[2])), key=itemgetter(0))
        return [event_line(event, at) for _, at, event in reversed(newest)]


def event_line(event: e.Event, at: float) -> dict[str, Any]:
    """Return an event's line; `at` is POSIX time."""
    return {
        "schema_version": SCHEMA_VERSION,
        "at": _time(at),
        "event": event.name,
        **fields_of(event),
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def missed_line(count: int, at: float) -> dict[str, Any]:
    """Return what a follower is told that was too slow."""
    return {"schema_version": SCHEMA_VERSION, "at": _time(at), "event": MISSED, "count": count}
