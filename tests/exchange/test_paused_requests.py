"""Requests that wait while a group can't decide, and what becomes of them when it can.

Shows gcks/keyserver/paused.py, and Exchanges.resume and Peers.follow beside it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.errors import LocalError
from gcks.events import GroupReadAgain, IkeSaClosed, MemberRegistered
from gcks.keyserver.commands import RekeyGroup
from gcks.keyserver.groups import admitting
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.groups import Groups
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.registration import AdmissionRequest, Admitted
from gcks.keyserver.paused import LONGEST_PAUSE_SECONDS
from tests.support import network
from tests.support.group_pictures import model_picture, picture
from tests.support.memory_store import replay
from tests.support.network import Weather
from tests.support.world import World, group_policy, state

FAST = Weather(least_delay=0.01, most_delay=0.01)


def slow(name: str = "demo") -> GroupPolicy:
    """Return the policy of a group that waits for its first key."""
    policy = group_policy(name)
    assert policy.rekey is not None
    return replace(policy, rekey=replace(policy.rekey, authentication="rsa-pss"))


def hold_memory_against_journal(world: World) -> None:
    assert world.network.server is not None
    (stored,) = replay(world.network.server.journal)
    assert picture(world.server.groups[stored.group].state) == model_picture(stored)


def test_a_fault_in_a_request_that_goes_on_loses_nothing_that_was_decided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The group's first SAs are in the same change as the request that breaks down."""
    world = World(groups=(slow(),), weather=FAST)
    right, calls = admitting.admit, 0

    def admit(decision: Decision, request: AdmissionRequest) -> Admitted:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError("a fault of the test's")
        return right(decision, request)

    monkeypatch.setattr(admitting, "admit", admit)
    first, second = world.member("gm1"), world.member("gm2")
    world.run(0.25)
    assert len(world.server.exchanges.paused) == 2
    world.run(200.0)
    assert world.network.server is not None
    assert len(world.network.server.all(GroupReadAgain)) == 1
    assert state(first) == state(second) == "registered"
    hold_memory_against_journal(world)


def lose_its_certificate(decision: Decision) -> None:
    """A member can't authenticate any more, and somebody else's request goes on."""
    decision.change.unproved.append("fqdn:gm1.dev")
    decision.change.resumed.append(99)


def test_what_follows_a_decision_follows_once_where_requests_go_on_too() -> None:
    """The IKE SA is deleted (RFC 7296 section 1.4.1), not forgotten while the peer has it."""
    world = World(groups=(group_policy(),), weather=FAST)
    world.member("gm1")
    world.run(5.0)
    world.decide(lose_its_certificate)
    assert world.network.server is not None
    assert world.network.server.all(IkeSaClosed) == []
    world.run(10.0)
    (closed,) = world.network.server.all(IkeSaClosed)
    assert closed.cause == "registration is over"


def test_an_error_after_a_decision_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes it for one drops the change, and goes on with SAs that the store doesn't know."""

    def push(*_: object, **__: object) -> None:
        raise LocalError("a fault of the test's")

    world = World(groups=(replace(group_policy(), inband_senders=True),), weather=FAST)
    world.member("sender1")
    world.run(5.0)
    monkeypatch.setattr(Groups, "push", push)
    with pytest.raises(LocalError, match="a fault"):
        world.server.command(RekeyGroup("keyid:demo"), world.network.now)


def test_a_request_whose_ike_sa_is_gone_meanwhile_is_not_answered() -> None:
    """The member was restarted, and says that it has no other IKE SA."""
    world = World(groups=(slow(),), weather=FAST)
    world.member("gm1")
    again = world.member("gm1", at=0.1)
    world.run(5.0)
    assert world.network.server is not None
    assert len(world.network.server.all(MemberRegistered)) == 1
    assert state(again) == "registered"


def test_a_request_that_waits_too_long_is_given_up_with_its_ike_sa(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The peer has given up, too; it comes again."""
    monkeypatch.setattr(network, "MEETING_SECONDS", LONGEST_PAUSE_SECONDS + 5.0)
    world = World(groups=(slow(),), weather=FAST)
    member = world.member("gm1")
    world.run(LONGEST_PAUSE_SECONDS + 6.0)
    assert world.network.server is not None
    causes = [event.cause for event in world.network.server.all(IkeSaClosed)]
    assert "its request has waited too long" in causes
    world.run(200.0)
    assert state(member) == "registered"
