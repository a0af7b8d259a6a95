"""Rekeys over the virtual network: make before break, loss, restart of the server.

Shows gcks/member and gcks/keyserver/groups.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from gcks.errors import DropReason
from gcks.events import (
    DatagramDropped,
    MemberLeft,
    RegisterAgain,
    Registered,
    RekeyReceived,
    RekeySent,
    Reregistering,
)
from gcks.keyserver.commands import RekeyGroup, Reload
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.member.ceiling import Ceiling
from gcks.member.data_plane import Mode
from gcks.wire.traffic_selector import TrafficSelector
from tests.support.network import MemberNode, Weather
from tests.support.world import (
    ATD,
    DATA_LIFETIME,
    DTD,
    SERVER_SETTINGS,
    World,
    group_policy,
    keys_of,
    state,
)


def current_keys(node: MemberNode) -> set[tuple[bytes, bytes]]:
    """Return the newest SA's keys of each destination, ignoring those in their DTD."""
    newest: dict[bytes, tuple[bytes, bytes]] = {}
    for sa in node.plane.installed.values():
        newest[sa.destination.start_address] = (sa.spi, sa.key_e + sa.key_a)
    return set(newest.values())


@pytest.mark.parametrize("cbc", [False, True])
def test_a_rekey_under_traffic_loses_not_one_packet(cbc: bool) -> None:
    """RFC 9838 sections 2.4.1.4, 4.4.3.1.1: many rekeys, ATD and DTD."""
    world = World(groups=(group_policy(cbc=cbc),))
    nodes = [world.member(name) for name in ("sender1", "sender2", "gm1", "gm2", "gm3")]
    world.run(ATD + 2.0)
    for sender in nodes[:2]:
        world.network.start_traffic(sender, 0.25, 5000.0)
    world.run(5001.0)
    traffic = world.network.traffic
    assert traffic.sent > 30_000
    assert traffic.received == traffic.sent * 4
    assert (traffic.unreadable, traffic.unsendable) == (0, 0)
    for node in nodes:
        assert len(node.all(Registered)) == 1
        assert len(node.all(RekeyReceived)) >= 9
        assert node.all(Reregistering) == []
    assert len({frozenset(current_keys(node)) for node in nodes}) == 1


def test_the_operator_may_rekey_at_any_moment() -> None:
    world = World()
    sender, receiver = world.member("sender1"), world.member("gm1")
    world.run(ATD + 2.0)
    world.network.start_traffic(sender, 0.1, 200.0)
    for moment in (20.0, 23.0, 60.0, 61.0, 62.0, 100.0):
        world.run(moment)
        world.network.server_did(world.server.command(RekeyGroup("keyid:demo"), moment))
    world.run(201.0)
    assert world.network.traffic.unreadable == world.network.traffic.unsendable == 0
    assert sum(one.rekey_sa for one in receiver.all(RekeyReceived)) == 6  # the others remind
    assert keys_of(sender) == keys_of(receiver)


def test_a_member_that_registers_between_the_copies_has_the_content_already() -> None:
    """Ruling 36: GSA_INITIAL_MESSAGE_ID is that of the next GSA_REKEY."""
    world = World()
    world.member("gm1")
    world.run(5.0)
    world.network.server_did(world.server.command(RekeyGroup("keyid:demo"), 5.0))
    late = world.member("gm2", at=5.3)
    world.run(10.0)
    assert late.all(RekeyReceived) == []
    world.run(60.0)
    assert not any(one.rekey_sa for one in late.all(RekeyReceived))  # only reminders
    assert {event.reason for event in late.all(DatagramDropped)} <= {
        DropReason.REPLAY,
        DropReason.UNKNOWN_SPI,
    }  # late copies among them
    assert state(late) == "registered"


def test_a_lost_rekey_ends_in_a_registration_before_the_sas_expire() -> None:
    """RFC 9838 section 2.4.1.4: about to expire and not replaced."""
    world = World()
    member, other = world.member("gm1"), world.member("gm2")
    world.run(10.0)
    world.run(DATA_LIFETIME * 0.8)
    member.deaf = True  # it misses every copy of the first rekey
    world.run(DATA_LIFETIME * 0.8 + 100.0)
    member.deaf = False
    world.run(DATA_LIFETIME + 30.0)
    assert len(member.all(Registered)) == 2
    assert "about to expire" in member.all(Reregistering)[0].cause
    assert member.all(Reregistering)[0].reason is RegisterAgain.SA_EXPIRING
    assert current_keys(member) == current_keys(other)
    assert len(other.all(Registered)) == 1


def test_the_next_rekey_sa_in_use_betrays_a_lost_rekey() -> None:
    """RFC 9838 section 4.4.2.2.3: SHOULD re-register."""
    world = World()
    member, other = world.member("gm1"), world.member("gm2")
    world.run(20.0)
    member.deaf = True
    world.network.server_did(world.server.command(RekeyGroup("keyid:demo"), 20.0))
    world.run(40.0)
    member.deaf = False
    world.network.server_did(world.server.command(RekeyGroup("keyid:demo"), 40.0))
    world.run(60.0)
    causes = [(event.reason, event.cause) for event in member.all(Reregistering)]
    assert causes == [(RegisterAgain.REKEY_LOST, "a rekey message was lost")]
    assert current_keys(member) == current_keys(other)


@pytest.mark.parametrize("seed", range(8))
def test_registration_and_rekeys_survive_a_bad_network(seed: int) -> None:
    """Loss, reordering and duplication: everybody ends with the same keys."""
    weather = Weather(loss=0.25, duplication=0.2, least_delay=0.01, most_delay=1.5)
    world = World(seed=seed, weather=weather)
    nodes = [world.member(f"gm{number}", at=number / 7) for number in range(12)]
    nodes.append(world.member("sender1"))
    world.run(400.0)
    assert {state(node) for node in nodes} == {"registered"}
    world.run(2600.0)  # several rekeys, some of them lost for some
    weather.loss = weather.duplication = 0.0
    world.run(3400.0)
    assert {state(node) for node in nodes} == {"registered"}
    assert len({frozenset(current_keys(node)) for node in nodes}) == 1
    assert {node.plane.joined == {("239.255.84.8", 848)} for node in nodes} == {True}


@pytest.mark.parametrize("seed", range(4))
def test_the_same_seed_gives_the_same_run(seed: int) -> None:
    def story() -> list[tuple[str, ...]]:
        world = World(seed=seed, weather=Weather(loss=0.2, duplication=0.1, most_delay=0.5))
        nodes = [world.member(f"gm{number}") for number in range(4)]
        world.run(700.0)
        return [tuple(event.name for event in node.events) for node in nodes]

    assert story() == story()


def test_many_members_under_cookies_and_loss() -> None:
    world = World(
        seed=5,
        weather=Weather(loss=0.1, duplication=0.1, most_delay=0.3),
        settings=replace(SERVER_SETTINGS, cookie_threshold=0),
    )
    nodes = [world.member(f"gm{number}", at=number / 100) for number in range(60)]
    world.run(200.0)
    assert {state(node) for node in nodes} == {"registered"}


def reload(world: World, policy: GroupPolicy, now: float) -> None:
    """Let the server take over another policy for the group."""
    command = Reload(world.settings, world.server_credentials, {policy.name: policy})
    world.network.server_did(world.server.command(command, now))


def test_the_server_hears_of_a_rekey_that_a_member_refuses() -> None:
    """RFC 9838 section 2.3.2: the GM SHOULD notify the GCKS of an unacceptable policy."""
    world = World()
    member = world.member("gm1", ceiling=Ceiling(max_lifetime_seconds=DATA_LIFETIME))
    world.run(20.0)
    policy = group_policy()
    longer = replace(policy.data_sas[0], lifetime_seconds=2 * DATA_LIFETIME)
    reload(world, replace(policy, data_sas=(longer,)), 20.0)
    world.run(40.0)
    (again, *_) = member.all(Reregistering)
    assert again.cause.startswith("a rekey brought")
    assert again.reason is RegisterAgain.POLICY_REFUSED
    assert world.network.server is not None
    left = world.network.server.all(MemberLeft)
    assert {(one.identity, one.cause) for one in left} == {("fqdn:gm1.dev", "NO_PROPOSAL_CHOSEN")}


def test_transport_mode_stays_over_rekeys() -> None:
    """RFC 9838 sections 2.3.4, 2.4.1.3."""
    world = World(groups=(replace(group_policy(), mode="transport"),))
    member = world.member("gm1")
    world.run(20.0)
    world.network.server_did(world.server.command(RekeyGroup("keyid:demo"), 20.0))
    world.run(25.0)
    assert [sa.mode for sa in member.plane.installed.values()] == [Mode.TRANSPORT] * 2


# --- the server dies and comes back --------------------------------------------------------


@pytest.mark.parametrize("moment", [20.0, 541.0, 541.7, 545.0, 556.0])
def test_members_notice_nothing_of_a_server_restart(moment: float) -> None:
    """The journal continues the group: same keys, rising Message IDs, no registration."""
    world = World()
    sender, receiver = world.member("sender1"), world.member("gm1")
    world.run(ATD + 2.0)
    world.network.start_traffic(sender, 0.1, 3000.0)
    world.run(moment)
    world.start_server()
    world.run(3001.0)
    traffic = world.network.traffic
    assert (traffic.unreadable, traffic.unsendable) == (0, 0)
    for node in (sender, receiver):
        assert len(node.all(Registered)) == 1
        assert len(node.all(RekeyReceived)) >= 4
        assert node.all(Reregistering) == []
    assert world.network.server is not None
    first_copies = [e.message_id for e in world.network.server.all(RekeySent) if e.copy == 1]
    assert len(first_copies) >= 4


def test_a_restart_in_the_middle_of_a_registration_only_delays_it() -> None:
    world = World(weather=Weather(least_delay=0.2, most_delay=0.2))
    member = world.member("gm1")
    world.run(0.5)  # IKE_SA_INIT is answered, GSA_AUTH on its way
    world.start_server()
    world.run(120.0)
    assert state(member) == "registered"


def test_a_server_that_stays_away_for_long_is_joined_again() -> None:
    """The SAs expire, the member keeps trying."""
    world = World()
    member = world.member("gm1")
    world.run(10.0)
    assert world.network.server is not None
    world.network.server.down = True
    world.run(DATA_LIFETIME + 5.0)
    assert member.plane.installed == {}
    world.start_server()
    world.run(DATA_LIFETIME + 700.0)
    assert state(member) == "registered"
    assert member.plane.installed


def test_dtd_keeps_the_old_sa_for_packets_under_way() -> None:
    world = World()
    member = world.member("gm1")
    world.run(30.0)
    world.network.server_did(world.server.command(RekeyGroup("keyid:demo"), 30.0))
    world.run(30.0 + DTD - 1)
    assert len(member.plane.installed) == 2
    world.run(30.0 + DTD + 3)
    assert len(member.plane.installed) == 1


def per_sender_group() -> GroupPolicy:
    """Make a group with one AES-GCM SA for each of two senders, with replay protection."""
    base = group_policy()
    return replace(
        base,
        data_sas=tuple(
            replace(
                base.data_sas[0],
                name=f"of-sender{number}",
                source=TrafficSelector.single(f"10.0.0.{number + 1}", 17, 0),
                senders="single",
                sender=f"fqdn:sender{number}.dev",
            )
            for number in (1, 2)
        ),
    )


def test_one_sa_per_sender_under_traffic() -> None:
    """RFC 9838 sections 2.3.3, 2.6: the owner sends only, everybody else receives only."""
    world = World(groups=(per_sender_group(),))
    senders = [world.member("sender1"), world.member("sender2")]
    receiver = world.member("gm1")
    world.run(ATD + 2.0)
    for sender in senders:
        assert sorted(sa.direction.value for sa in sender.plane.installed.values()) == ["in", "out"]
        assert len(sender.plane.sending) == 1
        world.network.start_traffic(sender, 0.5, 2500.0)
    assert all(sa.replay_protection for sa in receiver.plane.installed.values())
    world.run(2501.0)
    traffic = world.network.traffic
    assert traffic.sent > 9000
    assert traffic.received == traffic.sent * 2
    assert (traffic.unreadable, traffic.unsendable) == (0, 0)
    assert all(len(node.all(Registered)) == 1 for node in (*senders, receiver))


@pytest.mark.parametrize("seed", range(10))
def test_restarts_at_random_moments_lose_nobody_and_repeat_no_sender_id(seed: int) -> None:
    """RFC 9838 section 2.5.1: Sender-IDs are unique under one key, whatever happens."""
    random = Random(seed)
    weather = Weather(loss=0.15 * (seed % 2), duplication=0.1, most_delay=0.3)
    world = World(seed=seed, weather=weather)
    names = ["sender1", "sender2", *(f"gm{number}" for number in range(5))]
    nodes = [world.member(name, at=random.uniform(0, 30)) for name in names]
    now = 30.0
    for _ in range(8):
        now += random.uniform(1, 400)
        world.run(now)
        world.start_server()
    weather.loss = weather.duplication = 0.0
    world.run(now + DATA_LIFETIME + 100)
    assert {state(node) for node in nodes} == {"registered"}
    assert len({frozenset(current_keys(node)) for node in nodes}) == 1
    sender_ids = [i for node in nodes for event in node.all(Registered) for i in event.sender_ids]
    assert len(sender_ids) == len(set(sender_ids))
    if seed % 2 == 0:
        assert all(node.all(Reregistering) == [] for node in nodes)
