"""The phases of a group from the member's side: what a phase lacks can't be used in it.

    AwaitingTurn ──► AwaitingAnswer ◄──► AwaitingRekeys
         ▲                 │                   │
         └─────────────────┴───────────────────┘

A group registers again without giving up what it holds.  What makes it give up all leads
back to `AwaitingTurn`; `Left` can follow everything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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


def next_timeout(phase: Phase, *, free: bool) -> float:
    """Return when a phase has something due; `inf` for never.

    `free`: the IKE SA could be used now, so that an attempt is begun when it is time.
    """
    held, attempt = held_in(phase), attempt_of(phase)
    times = [held.next_change()]
    if free and attempt is not None and not isinstance(phase, AwaitingAnswer):
        times.append(attempt.at)
    if isinstance(phase, AwaitingRekeys) and attempt is None:
        times.append(held.next_soft_expiry())
    return min(times)


# --- from phase to phase ------------------------------------------------------------------


def begun(phase: Phase, now: float) -> AwaitingAnswer:
    """Ask the GCKS; what is held still works."""
    return AwaitingAnswer(_counting(phase), attempt_of(phase) or Attempt(now, "start"))


def planned(phase: Phase, attempt: Attempt) -> Phase:
    """End what is under way, and hold on to what still counts until that attempt."""
    if isinstance(phase, Left):
        return phase
    holding = _counting(phase)
    return AwaitingTurn(attempt) if holding is None else AwaitingRekeys(holding, attempt)


def _counting(phase: Phase) -> Holding | None:
    """Return what is held if a registration has given it and still counts."""
    if not isinstance(phase, AwaitingAnswer | AwaitingRekeys):
        return None
    holding = phase.holding
    return holding if holding is not None and holding.alive else None


def advanced(phase: Phase, now: float) -> Phase:
    """Let time do what is due; who holds nothing any more registers again."""
    match phase:
        case AwaitingRekeys(holding, again):
            holding = holding.advanced(now)
            if holding.alive:
                return AwaitingRekeys(holding, again)
            return AwaitingTurn(again or Attempt(now, "what was held is over"))
        case AwaitingAnswer(holding) if holding is not None:
            return replace(phase, holding=holding.advanced(now))
        case _:
            return phase


def with_holding(phase: Phase, holding: Holding) -> Phase:
    """Go on with another holding where a phase can have one."""
    if isinstance(phase, AwaitingAnswer | AwaitingRekeys):
        return replace(phase, holding=holding)
    return phase


def joined(phase: Phase, holding: Holding) -> AwaitingRekeys:
    """Hold what a registration gives; what was deleted while it was asked for is asked again."""
    again = phase.again if isinstance(phase, AwaitingAnswer) else attempt_of(phase)
    return AwaitingRekeys(holding, again)


def healed(phase: Phase) -> Phase:
    """A rekey has come: what it makes good needs no registration."""
    match phase:
        case AwaitingRekeys(holding, Attempt(recoverable=True)):
            return AwaitingRekeys(holding)
        case _:
            return phase


def with_loss(phase: Phase, attempt: Attempt) -> Phase:
    """Register again though what is held still works; one that is under way will do."""
    if isinstance(phase, AwaitingRekeys):
        return replace(phase, again=attempt)
    return phase


def emptied(phase: Phase, attempt: Attempt) -> Phase:
    """Give up all; what is under way goes on, and must be asked again."""
    match phase:
        case AwaitingAnswer():
            return replace(phase, holding=None, again=attempt)
        case Left():
            return phase
        case _:
            return AwaitingTurn(attempt)
