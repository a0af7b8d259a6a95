"""When members are reminded of the group's state: those who were cut off meanwhile are keyed again.

Copies of a rekey go out within seconds (RFC 9838 section 2.4.1.3); who misses them
all would have to register again.  So the current SAs are told again, ever more
seldom, in messages of their own: a new Message ID, what is left of the lifetimes.
The first times a late copy of the message that brought the Rekey SA goes before:
without it the rest can't be read.  Not later, because lifetimes count from receipt.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Final


class Reminder(Enum):
    LATE_COPY = "of the message that brought the Rekey SA"
    STATE = "the current Data-Security SAs"


REMINDERS: Final = (
    (10.0, Reminder.LATE_COPY),
    (10.5, Reminder.STATE),  # who sees the new Rekey SA in use first takes the other for lost
    (40.0, Reminder.LATE_COPY),
    (40.5, Reminder.STATE),
    (160.0, Reminder.STATE),
    (640.0, Reminder.STATE),
)
"""Seconds after the last copy of a rekey."""


class Reminders:
    """The reminders of the newest rekey."""

    __slots__ = ("_begun_at", "_step")

    def __init__(self) -> None:
        self._begun_at = 0.0
        self._step = len(REMINDERS)

    @property
    def next_at(self) -> float:
        return self._begun_at + REMINDERS[self._step][0] if self._step < len(REMINDERS) else inf

    def begin(self, at: float) -> None:
        """Plan them; `at`: when the last copy is out."""
        self._begun_at, self._step = at, 0

    def end(self) -> None:
        """Plan none."""
        self._step = len(REMINDERS)

    def take(self) -> Reminder:
        """Return what is due, and go on."""
        self._step += 1
        return REMINDERS[self._step - 1][1]
