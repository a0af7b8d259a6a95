"""Requests that wait for their group, and groups that are read again after an error.

Shows gcks/keyserver/exchanges.py, gcks/keyserver/paused.py and gcks/keyserver/groups/groups.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gcks.change import Change, LoadGroup, Waiting
from gcks.errors import LocalError
from gcks.events import GroupDelayed, GroupReadAgain, IkeSaClosed
from gcks.keyserver.commands import RekeyGroup, Reload
from gcks.keyserver.groups import admitting, due, taking_over
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.registration import AdmissionRequest, Admitted
from gcks.keyserver.groups.waiting import RETRY_SECONDS
from gcks.keyserver.paused import LONGEST_PAUSE_SECONDS, MAX_PAUSED_OF_ONE
from gcks.wire.delete import Delete
from tests.support.group_stage import Stage
from tests.support.initiator import GSA_KD, Initiator, Server, kinds, only
from tests.support.needs import met
from tests.support.world import PSK, SERVER_SETTINGS, group_policy, inband

NAME = "keyid:demo"
POISON = "fqdn:gm1.dev"


class Fault(RuntimeError):
    """Nobody expects it."""


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the registrations of one member end in an error that nobody expects."""
    admit = admitting.admit

    def faulty(decision: Decision, request: AdmissionRequest) -> Admitted:
        if str(request.identity) == POISON:
            raise Fault
        return admit(decision, request)

    monkeypatch.setattr(admitting, "admit", faulty)


def fail(*_: object) -> None:
    raise Fault


class Waiter:
    """A server whose needs are met when the test says so; its journal is what is durable."""

    def __init__(self, *groups: GroupPolicy) -> None:
        self.server = Server(groups or ("demo",))
        self.journal = list(self.server.started.journal)
        self.waits: list[Waiting] = []

    def take(self, change: Change) -> Change:
        self.journal += change.journal
        self.waits += change.waits
        return change

    def ask(self, peer: Initiator) -> Change:
        """Have a peer ask to register."""
        peer.meet(self.server)
        return self.take(self.server.receive(peer.auth(), peer))

    def order(self, command: RekeyGroup | Reload) -> Change:
        return self.take(self.server.engine.command(command, self.server.now))

    def break_group(self) -> None:
        """Have the group fail, so that it is read again."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(due, "rekey", fail)
            assert self.order(RekeyGroup(NAME)).refusal is not None

    def meet(self) -> Change:
        """Meet the only need."""
        (waiting,), self.waits = self.waits, []
        result, now = met(waiting.need, self.journal), self.server.now
        return self.take(self.server.engine.resume(waiting.token, result, now))


def peers(count: int, name: str = "") -> Iterator[Initiator]:
    """Make peers of many names, or of one."""
    return (Initiator(name or f"gm{n + 2}", port=1000 + n) for n in range(count))


@pytest.mark.usefixtures("poison")
def test_a_request_that_fails_when_its_group_is_back_costs_the_others_nothing() -> None:
    """Its group is read again once more; the error must not get out of the engine."""
    waiter = Waiter()
    waiter.ask(Initiator("gm1"))
    for peer in (Initiator("gm1", port=501), *(others := list(peers(2)))):
        assert not waiter.ask(peer).transmits
    change = waiter.meet()
    assert only(change, GroupReadAgain) and only(change, IkeSaClosed)
    assert not change.transmits, "the group isn't there"
    waiter.take(waiter.server.wait(2.0))
    assert [type(waiting.need) for waiting in waiter.waits] == [LoadGroup]
    answers = {t.path.remote.port: t.octets for t in waiter.meet().transmits}
    for peer in others:
        assert kinds(peer.read(answers[peer.path.remote.port]))[2:] == GSA_KD


def test_an_answer_that_takes_longer_than_an_ike_sa_stays_idle_still_comes() -> None:
    waiter, peer = Waiter(), Initiator("gm1")
    waiter.break_group()
    waiter.ask(peer)
    assert not waiter.server.wait(LONGEST_PAUSE_SECONDS - 1.0).transmits
    (transmit,) = waiter.meet().transmits
    assert kinds(peer.read(transmit.octets))[2:] == GSA_KD
    assert waiter.server.wait(SERVER_SETTINGS.ike_sa_idle_seconds).transmits, "it is idle now"


def test_what_waits_too_long_is_given_up_with_its_ike_sa() -> None:
    waiter, peer = Waiter(), Initiator("gm1")
    waiter.break_group()
    waiter.ask(peer)
    (transmit,) = waiter.server.wait(LONGEST_PAUSE_SECONDS).transmits
    assert kinds(peer.read(transmit.octets)) == [Delete.__name__]


def test_one_identity_takes_only_some_of_the_room_for_requests_that_wait() -> None:
    waiter = Waiter()
    waiter.break_group()
    paused = waiter.server.engine.exchanges.paused
    changes = [waiter.ask(peer) for peer in peers(MAX_PAUSED_OF_ONE + 2, "gm1")]
    assert len(paused) == MAX_PAUSED_OF_ONE
    assert [bool(change.events) for change in changes[-3:]] == [False, True, True]
    (other,) = peers(1)
    assert not waiter.ask(other).events
    assert len(waiter.meet().transmits) == MAX_PAUSED_OF_ONE + 1
    assert not len(paused)


def test_requests_whose_ike_sas_are_gone_take_no_room() -> None:
    waiter = Waiter()
    waiter.break_group()
    for peer in peers(MAX_PAUSED_OF_ONE, "gm1"):
        waiter.ask(peer)
    table = waiter.server.engine.ike_sas
    for sa in table.of_peer("fqdn:gm1.dev"):
        table.drop(sa)
    assert not waiter.ask(Initiator("gm1")).events
    assert len(waiter.server.engine.exchanges.paused) == 1


def test_who_registers_again_in_the_change_that_parted_it_is_not_parted_again() -> None:
    """A decision's consequences are followed once."""
    waiter, peer = Waiter(inband()), Initiator("gm1")
    engine = waiter.server.engine
    waiter.ask(peer)
    change = Change(parted=[(NAME, "fqdn:gm2.dev")], unproved=["fqdn:gm3.dev"])
    change.deleted_inband.append((NAME, "fqdn:gm4.dev"))
    engine._peers.follow(change, 0.0)
    assert not (change.parted or change.deleted_inband or change.unproved)


# --- what must not be lost while a group is read again ---------------------------------------


NEXT = replace(group_policy(), expected_members=77)


def reload_to(policy: GroupPolicy) -> Reload:
    return Reload(SERVER_SETTINGS, PSK, {policy.name: policy})


def in_force(waiter: Waiter) -> GroupPolicy:
    return waiter.server.engine.groups[NAME].policy


def test_a_group_that_fails_in_taking_over_a_policy_goes_on_under_it() -> None:
    """It may be the one that a member is no longer in: the operator was told that it counts."""
    waiter = Waiter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taking_over, "take_over", fail)
        assert waiter.order(reload_to(NEXT)).refusal is None
    waiter.meet()
    assert in_force(waiter) == NEXT


def test_a_policy_that_waits_for_its_key_outlives_the_failure_of_its_group() -> None:
    waiter = Waiter()
    rekey = group_policy().rekey
    assert rekey is not None
    signed = replace(NEXT, rekey=replace(rekey, authentication="rsa-pss"))
    waiter.order(reload_to(signed))
    waiter.waits.clear()  # the key isn't made yet
    waiter.break_group()
    waiter.meet()  # the journal is there
    waiter.meet()  # the key is
    assert in_force(waiter) == signed


def test_a_policy_whose_key_could_not_be_made_is_not_forgotten() -> None:
    waiter = Waiter()
    rekey = group_policy().rekey
    assert rekey is not None
    signed = replace(NEXT, rekey=replace(rekey, authentication="rsa-pss"))
    waiter.order(reload_to(signed))
    (waiting,), waiter.waits = waiter.waits, []
    engine = waiter.server.engine
    change = waiter.take(engine.resume(waiting.token, LocalError("no key"), 0.0))
    assert only(change, GroupDelayed) and not waiter.waits
    waiter.take(waiter.server.wait(RETRY_SECONDS))
    waiter.meet()
    assert in_force(waiter) == signed


def test_an_in_band_group_that_ends_while_it_is_read_again_leaves_no_ike_sa() -> None:
    """Else the GMs would wait for ever for what changes."""
    waiter, peer = Waiter(inband()), Initiator("gm1")
    waiter.ask(peer)
    waiter.break_group()
    change = waiter.order(Reload(SERVER_SETTINGS, PSK, {}))
    (transmit,) = change.transmits
    assert kinds(peer.read(transmit.octets)) == [Delete.__name__]


def test_a_certificate_that_is_revoked_while_a_group_is_read_again_ends_there_too() -> None:
    leaf, stage = b"L" * 16, Stage(inband(forward_access=False))
    stage.register("gm1", certificates=leaf)
    stage.groups.removes_on_certificate_end = True
    change = Change()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(due, "rekey", fail)
        with pytest.raises(Exception, match="internal error"):
            stage.groups.command(RekeyGroup(stage.policy.name), stage.now, change)
    stage.groups.revoked = {leaf}
    stage.groups.revoke({leaf}, stage.now, change)
    stage.take(change)
    assert not stage.state.members.identities()


def test_an_error_after_a_decision_leaves_no_memory_that_the_journal_lacks() -> None:
    waiter = Waiter()
    before = len(waiter.journal)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gcks.keyserver.groups.groups.watch_certificates", fail)
        change = waiter.order(RekeyGroup(NAME))
    assert change.refusal is not None and len(waiter.journal) == before
    assert only(change, GroupReadAgain)
    assert NAME not in waiter.server.engine.groups
