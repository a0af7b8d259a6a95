"""One decision of one group: what it reads, and the only way by which it changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from gcks.change import Change
from gcks.events import Event
from gcks.journal import JournalEntry, StepPlanned
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.spi import SpiPool
from gcks.keyserver.groups.state import GroupState


class Decision:
    """What the deciders of this package share while they decide.

    Recording and applying are one act: what has changed the state is in the change,
    whatever happens afterwards.
    """

    __slots__ = ("change", "entropy", "group", "now", "spis", "wall")

    def __init__(
        self,
        group: Group,
        change: Change,
        *,
        now: float,
        wall: float,
        entropy: Callable[[int], bytes],
        spis: SpiPool,
    ) -> None:
        """`now`: monotonic seconds, `wall`: POSIX seconds of the same moment."""
        self.group, self.change = group, change
        self.now, self.wall, self.entropy, self.spis = now, wall, entropy, spis

    @property
    def state(self) -> GroupState:
        return self.group.state

    @property
    def name(self) -> str:
        return self.group.name

    def posix(self, at: float) -> float:
        """Return the POSIX time of a moment in monotonic seconds."""
        return at - self.now + self.wall

    def record(self, *entries: JournalEntry) -> None:
        """Change the state by journal entries."""
        shift = self.now - self.wall
        for entry in entries:
            self.state.apply(entry, shift)
            self.change.journal.append(entry)

    def tell(self, *events: Event) -> None:
        """Add events."""
        self.change.events += events

    def plan(self, step: str, at: float) -> None:
        """Have a step done at that time (monotonic seconds), or never: infinite."""
        if at < inf or step in self.state.steps:
            self.record(StepPlanned(self.name, step, self.posix(at) if at < inf else inf))

    def plan_by(self, step: str, at: float) -> None:
        """Have a step done at that time, or earlier where it is planned so."""
        if at < self.state.steps.get(step, inf):
            self.plan(step, at)

    def cancel(self, steps: Iterable[str]) -> None:
        """Plan steps no longer."""
        for step in list(steps):
            self.plan(step, inf)
