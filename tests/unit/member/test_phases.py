"""What becomes of a group, phase by phase."""

from __future__ import annotations

from math import inf

import pytest

from gcks.member.holding import NOTHING, Holding
from gcks.member.phases import (
    Attempt,
    AwaitingAnswer,
    AwaitingRekeys,
    AwaitingTurn,
    Left,
    Phase,
    advanced,
    attempt_of,
    begun,
    emptied,
    healed,
    held_in,
    joined,
    next_timeout,
    planned,
    with_holding,
    with_loss,
)
from gcks.member.verifier import Verifier
from tests.support.held import data_sa
from tests.support.little_gcks import LittleGcks

BY_MULTICAST = Verifier(LittleGcks(implicit=True).gcauth, None)
HELD = Holding(verifier=BY_MULTICAST, data_sas=(data_sa(1, hard_at=100.0),))
OVER = HELD.advanced(100.0)
FIRST, SECOND = Attempt(5.0, "first"), Attempt(50.0, "second")
MENDABLE = Attempt(7.0, "a rekey was lost", recoverable=True)
EVERY: tuple[Phase, ...] = (
    AwaitingTurn(None),
    AwaitingTurn(FIRST),
    AwaitingAnswer(None, FIRST),
    AwaitingAnswer(HELD, FIRST, SECOND),
    AwaitingRekeys(HELD),
    AwaitingRekeys(HELD, FIRST),
    Left(),
)


def test_a_new_attempt_keeps_what_still_counts() -> None:
    assert planned(AwaitingAnswer(HELD, FIRST), SECOND) == AwaitingRekeys(HELD, SECOND)
    assert planned(AwaitingAnswer(OVER, FIRST), SECOND) == AwaitingTurn(SECOND)
    assert planned(AwaitingAnswer(None, FIRST), SECOND) == AwaitingTurn(SECOND)
    assert planned(AwaitingTurn(FIRST), SECOND) == AwaitingTurn(SECOND)


def test_who_asks_goes_on_with_what_it_holds() -> None:
    assert begun(AwaitingRekeys(HELD, FIRST), 6.0) == AwaitingAnswer(HELD, FIRST)
    assert begun(AwaitingTurn(FIRST), 6.0) == AwaitingAnswer(None, FIRST)


def test_who_has_left_stays_away() -> None:
    """Nothing that comes late brings it back."""
    for phase in (planned(Left(), FIRST), emptied(Left(), FIRST), with_loss(Left(), FIRST)):
        assert phase == Left()


@pytest.mark.parametrize("phase", EVERY[:-1], ids=repr)
def test_an_exclusion_leaves_nothing_and_is_always_followed_by_an_attempt(phase: Phase) -> None:
    """RFC 9838 section 2.4.3."""
    after = emptied(phase, SECOND)
    assert held_in(after) is NOTHING and attempt_of(after) == SECOND


def test_an_exclusion_while_it_asks_outlives_the_answer() -> None:
    """The answer may be older than the exclusion."""
    asking = emptied(AwaitingAnswer(HELD, FIRST), SECOND)
    assert asking == AwaitingAnswer(None, FIRST, SECOND), "one request at a time"
    assert joined(asking, HELD) == AwaitingRekeys(HELD, SECOND)
    assert joined(AwaitingAnswer(HELD, FIRST), HELD) == AwaitingRekeys(HELD)


def test_a_rekey_heals_what_it_can() -> None:
    assert healed(AwaitingRekeys(HELD, MENDABLE)) == AwaitingRekeys(HELD)
    for phase in EVERY:
        assert healed(phase) == phase


def test_a_loss_is_for_those_who_have_something_to_lose() -> None:
    assert with_loss(AwaitingRekeys(HELD), SECOND) == AwaitingRekeys(HELD, SECOND)
    asking = AwaitingAnswer(HELD, FIRST)
    assert with_loss(asking, SECOND) == asking, "the answer will do"


def test_only_phases_that_hold_something_can_hold_something_else() -> None:
    for phase in (AwaitingTurn(FIRST), Left()):
        assert with_holding(phase, HELD) == phase
    assert held_in(with_holding(AwaitingAnswer(None, FIRST), HELD)) == HELD


def test_when_all_is_over_it_registers_again() -> None:
    """With what was planned, or at once: never in silence."""
    assert advanced(AwaitingRekeys(HELD), 99.0) == AwaitingRekeys(HELD)
    assert advanced(AwaitingRekeys(HELD, SECOND), 100.0) == AwaitingTurn(SECOND)
    at_once = advanced(AwaitingRekeys(HELD), 100.0)
    assert isinstance(at_once, AwaitingTurn) and attempt_of(at_once) is not None
    assert next_timeout(at_once, free=True) == 100.0
    assert held_in(advanced(AwaitingAnswer(HELD, FIRST), 100.0)) == OVER


@pytest.mark.parametrize(
    ("phase", "busy", "free"),
    [
        (AwaitingTurn(None), inf, inf),
        (AwaitingTurn(FIRST), inf, 5.0),
        (AwaitingAnswer(None, FIRST), inf, inf),
        (AwaitingAnswer(HELD, FIRST), 100.0, 100.0),
        (AwaitingRekeys(HELD), 90.0, 90.0),
        (AwaitingRekeys(HELD, FIRST), 100.0, 5.0),
        (Left(), inf, inf),
    ],
    ids=repr,
)
def test_when_something_is_due(phase: Phase, busy: float, free: float) -> None:
    """An attempt needs the IKE SA; a soft expiry is for those who don't register anyway."""
    assert next_timeout(phase, free=False) == busy
    assert next_timeout(phase, free=True) == free
