"""What an engine hands back: plain data that the edge carries out.

Everything in `journal` is made durable *before* any of `transmits` leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

from gcks.change import Waiting
from gcks.datagrams import Transmit
from gcks.events import Event
from gcks.journal import JournalEntry


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one call into an engine."""

    journal: tuple[JournalEntry, ...] = ()
    transmits: tuple[Transmit, ...] = ()
    events: tuple[Event, ...] = ()
    next_timeout: float | None = None
    """Monotonic seconds at which `handle_timeout` wants to be called."""
    waits: tuple[Waiting, ...] = ()
    """Decisions that go on when what they need is there."""
