"""The phases of a group from the member's side: what a phase lacks can't be used in it.

    AwaitingTurn ──► AwaitingAnswer ◄──► AwaitingRekeys
         ▲                 │                   │
         └─────────────────┴───────────────────┘

A group registers again without giving up what it holds.  What makes it give up all leads
back to `AwaitingTurn`; `Left` can follow everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from gcks.member.holding import NOTHING, Holding


class MembershipState(Enum):
    """What the group waits for."""

    WAITING = "waiting"
    """For the time of the next attempt, or for the IKE SA."""
    REGISTERING = "registering"
    """For the server's response."""
    REGISTERED = "registered"
    """For rekeys; what was given still works."""
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A registration that is to come."""

    at: float
    """Monotonic seconds."""
    cause: str
    recoverable: bool = False
    """Whether a rekey that comes before makes it needless."""


@dataclass(frozen=True, slots=True)
class AwaitingTurn:
    """Holds nothing; expects the time of its attempt, and that the IKE SA is free."""

    attempt: Attempt | None
    """None: before the member starts."""


@dataclass(frozen=True, slots=True)
class AwaitingAnswer:
    """Expects the server's response; what an earlier registration gave still works."""

    holding: Holding | None
    asked: Attempt
    """Why it asks."""
    again: Attempt | None = None
    """All keys were deleted after it asked: the answer may be older than that."""


@dataclass(frozen=True, slots=True)
class AwaitingRekeys:
    """Expects rekeys, and the time to register again, if it has to."""

    holding: Holding
    again: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """Expects nothing: this member has left the group."""


Phase = AwaitingTurn | AwaitingAnswer | AwaitingRekeys | Left

STATES: Final = {
    AwaitingTurn: MembershipState.WAITING,
    AwaitingAnswer: MembershipState.REGISTERING,
    AwaitingRekeys: MembershipState.REGISTERED,
    Left: MembershipState.LEFT,
}


def held_in(phase: Phase) -> Holding:
    """Return what is held in a phase, which may be nothing."""
    if isinstance(phase, AwaitingAnswer | AwaitingRekeys):
        return NOTHING if phase.holding is None else phase.holding
    return NOTHING


def attempt_of(phase: Phase) -> Attempt | None:
    """Return the registration that is to come in a phase, or under way."""
    match phase:
        case AwaitingTurn(attempt):
            return attempt
        case AwaitingAnswer(_, asked, again):
            return again or asked
        case AwaitingRekeys(_, again):
            return again
        case Left():
            return None
