"""Groups that can't decide: what is decided about them meanwhile is done when they can again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.change import Change, LoadGroup, MakeKey, Waiting
from gcks.crypto.certificate_reading import REFERENCE_OCTETS
from gcks.errors import LocalError
from gcks.events import GroupDelayed, GroupReadAgain
from gcks.journal import JournalEntry
from gcks.keyserver.groups import due, taking_over
from gcks.keyserver.groups.signing_keys import AHEAD_SECONDS
from gcks.keyserver.groups.waiting import (
    CALM_SECONDS,
    LONGEST_DELAY_SECONDS,
    RETRY_SECONDS,
    Failures,
    GroupFailed,
    NotReady,
)
from tests.support.group_stage import Stage, group_policy, rekey_sa
from tests.support.needs import met

GROUP = "keyid:demo"
CERTIFICATE = b"\x07" * REFERENCE_OCTETS


class Broken(ZeroDivisionError):
    """Nobody expects it."""


def break_down(*_: object) -> None:
    raise Broken


class Watched(Stage):
    """A group whose needs are met when the test says so."""

    def __post_init__(self) -> None:
        self.waits: list[Waiting] = []
        super().__post_init__()

    def take(self, change: Change) -> Change:
        self.journal += change.journal
        self.events += change.events
        self.waits += change.waits
        return change

    def fail(self) -> Change:
        """Let a decision end in an error that nobody expects."""
        change = Change()
        with (
            pytest.raises(GroupFailed),
            self.groups.deciding(self.group, self.now, change) as decision,
        ):
            due.rekey(decision)
            break_down()
        return self.take(change)

    def meet(self, result: object = None) -> Change:
        """Meet the only need."""
        (waiting,), self.waits = self.waits, []
        result = met(waiting.need, self.journal) if result is None else result
        change = Change()
        self.groups.resume(waiting.token, result, self.now, change)
        return self.take(change)


@pytest.fixture
def stage() -> Watched:
    stage = Watched()
    stage.register("gm1", certificates=CERTIFICATE)
    stage.register("gm2")
    return stage


def test_nothing_of_a_decision_that_breaks_down_counts(stage: Watched) -> None:
    journal: list[JournalEntry] = list(stage.journal)
    before = {sa.spi for sa in stage.group.sas.data}
    change = stage.fail()
    assert stage.journal == journal and change.transmits == [] and not change.to_push
    assert [waiting.need for waiting in change.waits] == [LoadGroup(GROUP)]
    with pytest.raises(NotReady):
        stage.register("gm3")
    change = stage.meet()
    assert GROUP in change.to_push and len(change.resumed) == 1
    assert {sa.spi for sa in stage.group.sas.data} == before
    assert len(stage.state.members) == 2


def test_a_policy_that_comes_meanwhile_is_the_one_it_is_read_under(stage: Watched) -> None:
    stage.fail()
    stage.reload(replace(stage.policy, atd_seconds=9))
    stage.meet()
    assert stage.group.policy.atd_seconds == 9


def test_a_group_that_fails_to_take_over_a_policy_is_read_again_under_it(
    stage: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator was told that the reload is done."""
    with monkeypatch.context() as patch:
        patch.setattr(taking_over, "start_over_reasons", break_down)
        stage.reload(replace(stage.policy, atd_seconds=9))
    assert len([e for e in stage.events if isinstance(e, GroupReadAgain)]) == 1
    stage.meet()
    assert stage.group.policy.atd_seconds == 9


def test_a_group_that_ends_meanwhile_is_not_read_any_more(stage: Watched) -> None:
    stage.fail()
    change = Change()
    stage.groups.reload({}, stage.now, change)
    assert len(change.resumed) == 1, "whoever waits is told that there is no such group"
    stage.meet()
    assert stage.groups.by_name == {} and stage.groups.waiting == set()


def test_a_need_that_can_t_be_met_is_asked_for_again(stage: Watched) -> None:
    stage.fail()
    change = stage.meet(LocalError("the disk is gone"))
    assert [e.cause for e in change.events if isinstance(e, GroupDelayed)] == ["the disk is gone"]
    assert stage.groups.next_timeout == stage.now + RETRY_SECONDS
    stage.now += RETRY_SECONDS
    stage.timeout()
    stage.meet()
    assert len(stage.state.members) == 2


def test_a_group_that_fails_again_is_left_alone_for_a_while(stage: Watched) -> None:
    stage.fail()
    stage.meet()
    assert stage.fail().waits == []
    assert stage.groups.next_timeout == stage.now + 1.0
    stage.now += 1.0
    stage.timeout()
    stage.meet()
    assert len(stage.state.members) == 2


def test_it_is_left_alone_for_longer_each_time_until_it_has_been_well() -> None:
    failures = Failures()
    delays = [failures.delay(GROUP, 0.0) for _ in range(10)]
    assert delays == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0]
    assert failures.delay("keyid:other", 0.0) == 0.0
    assert failures.delay(GROUP, CALM_SECONDS + LONGEST_DELAY_SECONDS) == 0.0


# --- keys that take long to make --------------------------------------------------------------


@pytest.fixture
def slow() -> Watched:
    """Return a group whose first key is made, and whose second one is due at 100 s."""
    rekey = rekey_sa(authentication="rsa-pss", auth_key_seconds=100)
    stage = Watched(group_policy(rekey=rekey))
    stage.meet()
    stage.now += 100 - AHEAD_SECONDS
    return stage


def test_the_next_key_is_made_ahead_of_time(slow: Watched) -> None:
    first, signer = slow.state.auth_key, slow.group.signer
    slow.timeout()
    assert [waiting.need for waiting in slow.waits] == [MakeKey("rsa-pss")]
    slow.timeout()
    assert len(slow.waits) == 1, "it is asked for once"
    slow.meet()
    assert slow.state.auth_key is first and slow.group.signer is signer
    slow.now += AHEAD_SECONDS
    slow.rekey()
    assert slow.state.auth_key is not first and slow.waits == []


def test_the_old_key_goes_on_as_long_as_the_next_one_isn_t_there(slow: Watched) -> None:
    first = slow.state.auth_key
    slow.timeout()
    change = slow.meet(LocalError("no more threads"))
    assert [e.cause for e in change.events if isinstance(e, GroupDelayed)] == ["no more threads"]
    slow.now += AHEAD_SECONDS
    slow.rekey()
    assert slow.state.auth_key is first
    slow.timeout()
    slow.meet()
    slow.rekey()
    assert slow.state.auth_key is not first
