"""Leaving by an operator's order: the server hears of it, if that is possible at all.

Shows gcks/member/leaving.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.events import (
    LeftGroup,
    MemberLeft,
    MemberRegistered,
    RegistrationAttemptFailed,
    RekeySent,
    SaCreated,
    ServerNotTold,
)
from gcks.journal import SenderIdsReserved
from gcks.keyserver.commands import Exclude
from gcks.keyserver.groups.policy import LKH, GroupPolicy
from gcks.wire.identification import Identity
from tests.support.network import MemberNode, Weather
from tests.support.world import World, group_policy, inband, state

LONG = 30.0
"""By then the server has closed the IKE SA."""
PATIENCE = 5.0
"""What the daemon gives an order to leave."""


def world_of(*groups: GroupPolicy, **options: object) -> World:
    return World(groups=groups or (group_policy(),), **options)  # type: ignore[arg-type]


def leave(world: World, member: MemberNode, seconds: float = PATIENCE) -> None:
    world.network.leave(member, insist=True)
    world.run(world.network.now + seconds)


def members(world: World, group: str = "keyid:demo") -> tuple[str, ...]:
    return world.server.groups[group].state.members.identities()


def left(world: World) -> list[tuple[str, str]]:
    assert world.network.server is not None
    return [(one.group, one.cause) for one in world.network.server.all(MemberLeft)]


def test_the_server_is_told_over_a_new_ike_sa() -> None:
    """RFC 9838 section 2.3.2; GSA_AUTH names a group, so that it registers for a moment."""
    world = world_of()
    member = world.member("gm1")
    world.run(LONG)
    assert member.engine.status(LONG).ike_sa == "none"
    leave(world, member)
    assert left(world) == [("keyid:demo", "REGISTRATION_FAILED")]
    assert members(world) == ()
    assert (member.engine.departing, member.engine.untold) == (False, "")
    assert member.engine.status(LONG).ike_sa == "none"
    assert member.plane.installed == {} and member.plane.joined == set()
    assert [one.cause for one in member.all(LeftGroup)] == ["the test's wish"]
    assert world.server.ike_sas.established == 0
    sent = member.sent
    world.run(1000.0)
    assert member.sent == sent and state(member) == "left"


def test_a_sender_takes_no_sender_ids_with_it() -> None:
    world = world_of()
    member = world.member("sender1")
    world.run(LONG)
    server = world.network.server
    assert server is not None
    before = len(server.journal), len(server.all(SaCreated))
    leave(world, member)
    assert left(world)
    assert not any(isinstance(one, SenderIdsReserved) for one in server.journal[before[0] :])
    assert len(server.all(SaCreated)) == before[1], "its SAs are not made anew for it"


def test_every_group_is_left() -> None:
    world = world_of(group_policy("demo"), group_policy("audio", number=9))
    member = world.member("gm1", groups=("demo", "audio"))
    world.run(LONG)
    leave(world, member)
    assert sorted(left(world)) == [
        ("keyid:audio", "REGISTRATION_FAILED"),
        ("keyid:demo", "REGISTRATION_FAILED"),
    ]
    assert members(world) == members(world, "keyid:audio") == ()


@pytest.mark.parametrize("seed", range(4))
def test_a_bad_network_only_delays_it(seed: int) -> None:
    world = world_of(seed=seed)
    member = world.member("gm1")
    world.run(LONG)
    world.network.weather = Weather(loss=0.3, duplication=0.2)
    leave(world, member, 60.0)
    assert members(world) == () and member.engine.untold == ""


@pytest.mark.parametrize("management", ["key tree", "in-band"])
def test_with_forward_access_it_is_shut_out(management: str) -> None:
    """RFC 9838 section 3.2.1: it reads nothing that is sent after the others have new keys."""
    policy = inband() if management == "in-band" else replace(group_policy(), key_management=LKH)
    world = world_of(replace(policy, forward_access=True))
    leaver, other = world.member("gm1"), world.member("gm2")
    world.run(LONG)
    held = set(leaver.plane.installed)
    leave(world, leaver, 60.0)
    assert members(world) == ("fqdn:gm2.dev",)
    assert other.plane.installed and not held & set(other.plane.installed)


def test_a_restart_costs_the_group_no_rekey() -> None:
    """SIGTERM: what was given up here may still be counted there."""
    policy = replace(group_policy(), key_management=LKH, forward_access=True)
    world = world_of(policy)
    member = world.member("gm1")
    world.member("gm2")
    world.run(100.0)
    server = world.network.server
    assert server is not None
    rekeys, sent = len(server.all(RekeySent)), member.sent
    world.network.leave(member)
    world.run(130.0)
    assert (len(server.all(RekeySent)), member.sent) == (rekeys, sent)
    assert "fqdn:gm1.dev" in members(world)


def test_an_ike_sa_that_the_server_has_forgotten_is_found_out_in_time() -> None:
    world = world_of(inband())
    member = world.member("gm1")
    world.run(10.0)
    assert member.engine.status(10.0).ike_sa == "established"
    world.start_server()
    leave(world, member)
    assert members(world) == () and member.engine.untold == ""
    assert not member.all(RegistrationAttemptFailed)


def test_an_absent_server_is_said_not_to_know() -> None:
    world = world_of()
    member = world.member("gm1")
    world.run(LONG)
    server = world.network.server
    assert server is not None
    server.down = True
    leave(world, member)
    assert member.engine.departing
    assert member.plane.installed == {}, "here it has left at once"
    world.network.member_did(member, member.engine.give_up("no answer within 5 s", 35.0))
    assert (member.engine.departing, member.engine.untold) == (False, "no answer within 5 s")
    (event,) = member.all(ServerNotTold)
    assert (event.groups, event.server) == (("keyid:demo",), "192.0.2.1:500")
    sent = member.sent
    world.run(200.0)
    assert member.sent == sent


def test_a_server_that_is_not_believed_is_said_not_to_know() -> None:
    world = world_of()
    member = world.member("gm1")
    world.run(LONG)
    world.settings = replace(world.settings, identity=Identity.parse("fqdn:other.dev"))
    world.start_server()
    leave(world, member)
    assert "the server is fqdn:other.dev" in member.engine.untold
    (event,) = member.all(ServerNotTold)
    assert event.cause == member.engine.untold
    assert not member.all(RegistrationAttemptFailed)


def test_who_may_not_register_any_more_can_leave() -> None:
    """Ruling 24: the refusal of GSA_AUTH leaves the IKE SA usable."""
    world = world_of()
    member = world.member("gm1")
    world.run(LONG)
    command = Exclude("keyid:demo", "identity", ("fqdn:gm1.dev",), "uid 0")
    member.deaf = True  # it doesn't hear that all keys are deleted
    world.network.server_did(world.server.command(command, LONG))
    world.run(LONG + 20.0)
    member.deaf = False
    leave(world, member)
    assert (member.engine.departing, member.engine.untold) == (False, "")


def test_who_never_got_in_leaves_nothing_and_tells_nobody() -> None:
    world = world_of()
    member = world.member("gm1", groups=("nope",))
    world.run(LONG)
    assert member.all(RegistrationAttemptFailed)
    sent = member.sent
    leave(world, member)
    assert member.sent == sent and member.all(LeftGroup) == []
    assert (member.engine.departing, member.engine.untold) == (False, "")


def test_an_answer_under_way_leaves_no_ghost() -> None:
    """The server may have taken it in already when the order comes."""
    world = world_of(weather=Weather(least_delay=0.1, most_delay=0.1))
    member = world.member("gm1")
    world.run(0.35)
    assert members(world) == ("fqdn:gm1.dev",) and state(member) == "registering"
    leave(world, member)
    assert members(world) == ()
    assert world.network.server is not None
    assert len(world.network.server.all(MemberRegistered)) == 2
    assert member.plane.installed == {}
