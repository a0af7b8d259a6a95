"""GSA_INBAND_REKEY (RFC 9838 section 2.4.2) between our server and our members.

Shows gcks/keyserver and gcks/member/inband.py.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from gcks.change import Change
from gcks.datagrams import Path
from gcks.events import Event, IkeSaClosed, RegisterAgain, Registered, RekeyReceived, Reregistering
from gcks.iana import ExchangeType, NotifyType, ProtocolId
from gcks.ike.secured import Asked
from gcks.keyserver.commands import RekeyGroup, Reload
from gcks.keyserver.groups.admitting import push as news_of
from gcks.keyserver.groups.due import rekey
from gcks.keyserver.key_payloads import key_payloads
from gcks.member.data_plane import Mode
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation, decode_gsa
from gcks.wire.kd import KeyDownload
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from tests.support.initiator import DEMO, Initiator, Server, group_sender, notifies
from tests.support.network import MemberNode, Weather
from tests.support.world import (
    PSK,
    SERVER_SETTINGS,
    World,
    current,
    group_policy,
    inband,
    keys_of,
    state,
)

LIFETIME = 2000.0


def follow(member: MemberNode) -> bool:
    """Tell whether the member went on without a new registration."""
    return len(member.all(Registered)) == 1 and not member.all(Reregistering)


def test_a_group_without_rekey_sa_is_rekeyed_over_its_ike_sas() -> None:
    world = World(groups=(inband(),))
    members = [world.member(f"gm{number}") for number in range(5)]
    world.run(3 * LIFETIME)
    for member in members:
        assert len(member.all(RekeyReceived)) >= 2
        assert follow(member)
        assert state(member) == "registered"
        assert current(world) <= keys_of(member)
        assert member.engine.status(0.0).ike_sa == "established"


def test_senders_in_band_and_receivers_by_multicast() -> None:
    """RFC 9838 section 2.4: the GCKS MAY combine the two."""
    world = World(groups=(replace(group_policy(), inband_senders=True),))
    sender, receiver = world.member("sender1"), world.member("gm1")
    world.run(3 * LIFETIME)
    assert sender.engine.groups[0].holding.current_rekey is None
    assert receiver.engine.groups[0].holding.current_rekey is not None
    for member in (sender, receiver):
        assert len(member.all(RekeyReceived)) >= 2
        assert follow(member)
    assert current(world) <= keys_of(sender)
    assert current(world) <= keys_of(receiver)


@pytest.mark.parametrize("seed", range(20))
def test_bad_weather_and_rekeys_of_the_ike_sa_lose_nobody(seed: int) -> None:
    """Retransmission makes it reliable (section 2.4); a lost IKE SA means a new registration."""
    settings = replace(SERVER_SETTINGS, ike_sa_rekey_seconds=170.0, liveness_seconds=50.0)
    weather = Weather(loss=0.2, duplication=0.1, most_delay=0.5)
    world = World(seed=seed, weather=weather, settings=settings, groups=(inband(),))
    members = [world.member(f"gm{n}", ike_sa_rekey_seconds=180.0) for n in range(3)]
    world.run(LIFETIME)
    world.network.weather = Weather()
    world.run(2 * LIFETIME)
    for member in members:
        assert state(member) == "registered"
        assert current(world) <= keys_of(member)


def test_after_a_collision_a_gm_is_told_over_one_ike_sa() -> None:
    """RFC 7296 section 2.8.2: the one that survives, not the one whose Delete is on its way."""
    settings = replace(SERVER_SETTINGS, ike_sa_rekey_seconds=100.0, ike_sa_idle_seconds=10.0**6)
    collisions = 0
    for seed in range(20):
        weather = Weather(least_delay=0.01, most_delay=0.5)
        world = World(seed=seed, weather=weather, settings=settings, groups=(inband(),))
        world.member("gm1", ike_sa_rekey_seconds=100.0)
        if not world.network.run_until(lambda world=world: server_has_won(world), 150.0):
            continue
        collisions += 1
        world.network.server_did(
            outcome := world.server.command(RekeyGroup("keyid:demo"), world.network.now)
        )
        exchanges = [sent.octets[18] for sent in outcome.transmits]
        assert exchanges == [ExchangeType.GSA_INBAND_REKEY]
    assert collisions


def test_a_rekey_while_a_collision_is_settled_reaches_the_gm() -> None:
    """RFC 9838 section 2.4.2: also where no IKE SA was in use when the group was rekeyed."""
    settings = replace(SERVER_SETTINGS, ike_sa_rekey_seconds=100.0, ike_sa_idle_seconds=10.0**6)
    gaps = 0
    for seed in range(40):
        weather = Weather(loss=0.2, least_delay=0.01, most_delay=0.5)
        world = World(seed=seed, weather=weather, settings=settings, groups=(inband(),))
        member = world.member("gm1", ike_sa_rekey_seconds=100.0)
        if not world.network.run_until(lambda world=world: between_two(world), 150.0):
            continue
        gaps += 1
        world.network.server_did(world.server.command(RekeyGroup("keyid:demo"), world.network.now))
        world.network.weather = Weather()
        world.run(world.network.now + 60.0)
        assert follow(member)
        assert current(world) <= keys_of(member), seed
    assert gaps


def between_two(world: World) -> bool:
    """Tell whether the loser is deleted, and the response that makes the winner not here yet."""
    sas = world.server.ike_sas.of_peer("fqdn:gm1.dev")
    return len(sas) == 1 and sas[0].asked is Asked.REKEY and sas[0].replaced_by is not None


def server_has_won(world: World) -> bool:
    """Tell whether both sides have made an IKE SA, and the server's is the one that stays."""
    sas = world.server.ike_sas.of_peer("fqdn:gm1.dev")
    left = [sa for sa in sas if sa.replaced_by is None and sa.asked is not Asked.DELETE]
    return len(sas) == 3 and len(left) == 1 and left[0].channel.initiator


def test_a_killed_server_is_noticed_and_members_come_back() -> None:
    settings = replace(SERVER_SETTINGS, liveness_seconds=30.0)
    world = World(settings=settings, groups=(inband(),))
    member = world.member("gm1", liveness_seconds=30.0)
    world.run(50.0)
    world.start_server()
    world.run(LIFETIME)
    assert state(member) == "registered"
    assert current(world) <= keys_of(member)


def pushed(server: Server, peer: Initiator) -> tuple[GroupSecurityAssociation, KeyDownload]:
    outcome = server.engine.command(RekeyGroup("keyid:demo"), server.now)
    (transmit,) = [t for t in outcome.transmits if not t.multicast]
    assert transmit.octets[18] == ExchangeType.GSA_INBAND_REKEY
    gsa, kd = peer.read(transmit.octets)[:2]
    assert isinstance(gsa, GroupSecurityAssociation) and isinstance(kd, KeyDownload)
    return decode_gsa(gsa.encode()), kd


def inband_server() -> Server:
    server = Server()
    policy = inband(id=server.engine.groups["keyid:demo"].policy.id)
    server.engine.command(Reload(SERVER_SETTINGS, PSK, {}), 0.0)
    server.engine.command(Reload(SERVER_SETTINGS, PSK, {policy.name: policy}), 0.0)
    return server


def test_attributes_are_those_that_inband_rekey_allows() -> None:
    """RFC 9838 sections 4.4.2.2, 4.5.3.3 and 5: no lifetime, no SPI ahead, no Sender-ID."""
    server, peer = inband_server(), Initiator("sender")
    registered = peer.register(server, DEMO, group_sender())
    assert notifies(registered) == []
    gsa, kd = pushed(server, peer)
    assert all(p.lifetime_seconds is None and not p.next_spis for p in gsa.policies)
    assert all(p.initial_message_id is None for p in gsa.policies)
    assert gsa.group_wide is None or gsa.group_wide.sender_id_bits is None
    assert kd.member_bags == ()
    assert len(kd.group_bags) == len(gsa.policies) == 1


def test_a_push_deletes_what_it_replaces() -> None:
    """Section 2.4.3: without a lifetime nothing else would tell the GM that the old SAs end."""
    server, peer = inband_server(), Initiator()
    peer.register(server)
    old = {sa.spi for sa in server.engine.groups["keyid:demo"].sas.data}
    outcome = server.engine.command(RekeyGroup("keyid:demo"), server.now)
    gsa, _, *others = peer.read(outcome.transmits[0].octets)
    assert not old & {one.spi for one in decode_gsa(gsa.encode()).policies}  # type: ignore[union-attr]
    assert {spi for one in others if isinstance(one, Delete) for spi in one.spis} == old


def test_an_sa_that_the_policy_drops_is_deleted_in_band() -> None:
    """Section 2.4.3: GSA_INBAND_REKEY can delete SAs."""
    policy = inband()
    two = replace(policy, data_sas=(*policy.data_sas, replace(policy.data_sas[0], name="two")))
    world = World(groups=(two,))
    member = world.member("gm1")
    world.run(10.0)
    assert len(keys_of(member)) == 2
    world.network.server_did(
        world.server.command(Reload(SERVER_SETTINGS, PSK, {policy.name: policy}), 10.0)
    )
    world.run(10.0 + 60.0)
    assert keys_of(member) == current(world) and follow(member)


def test_a_group_that_starts_over_says_so_in_band() -> None:
    """Section 2.4.3: zero SPIs in GSA_INBAND_REKEY; the GM registers over the same IKE SA."""
    settings = replace(SERVER_SETTINGS, ike_sa_idle_seconds=60.0)
    policy = inband()
    world = World(groups=(policy,), settings=settings)
    members = [world.member(f"gm{number}") for number in range(4)]
    world.run(10.0)
    known, connections = current(world), world.server.ike_sas.established
    changed = replace(policy, mode="transport")
    world.network.server_did(
        world.server.command(Reload(settings, PSK, {policy.name: changed}), 10.0)
    )
    world.run(30.0)
    for member in members:
        assert state(member) == "registered" and len(member.all(Registered)) == 2
        assert current(world) <= keys_of(member) and not known & keys_of(member)
        assert not member.all(IkeSaClosed)
    assert world.server.ike_sas.established == connections
    world.run(3 * LIFETIME)
    assert all(current(world) <= keys_of(member) for member in members)


def test_with_several_groups_on_an_ike_sa_it_is_deleted_instead() -> None:
    """Ruling 16: a zero SPI in-band would be for all of them."""
    one, two = inband(), replace(group_policy("two", number=9), rekey=None)
    world = World(groups=(one, two))
    member = world.member("gm1", groups=("demo", "two"))
    world.run(10.0)
    assert len(keys_of(member)) == 2
    changed = {one.name: replace(one, mode="transport"), two.name: two}
    world.network.server_did(world.server.command(Reload(SERVER_SETTINGS, PSK, changed), 10.0))
    world.run(40.0)
    assert member.all(IkeSaClosed)
    assert {group.state.value for group in member.engine.groups} == {"registered"}
    assert current(world) <= keys_of(member)


def test_one_push_at_a_time_and_then_the_newest_state() -> None:
    server, peer = inband_server(), Initiator()
    peer.register(server)
    pushed(server, peer)
    for _ in range(3):
        outcome = server.engine.command(RekeyGroup("keyid:demo"), server.now)
        assert outcome.transmits == []
    response = peer.respond(ExchangeType.GSA_INBAND_REKEY, 0)
    (transmit,) = server.receive(response, peer).transmits
    gsa, _ = peer.read(transmit.octets)[:2]
    newest = {sa.spi for sa in server.engine.groups["keyid:demo"].sas.data}
    assert {p.spi for p in decode_gsa(gsa.encode()).policies} >= newest  # type: ignore[union-attr]
    assert server.receive(peer.respond(ExchangeType.GSA_INBAND_REKEY, 1), peer).transmits == []


def test_who_may_no_longer_be_a_member_learns_no_new_key() -> None:
    server, peer = inband_server(), Initiator()
    peer.register(server)
    policy = server.engine.groups["keyid:demo"].policy
    others = replace(policy, members=(replace(policy.members[0], identity="fqdn:else.dev"),))
    outcome = server.engine.command(Reload(SERVER_SETTINGS, PSK, {policy.name: others}), 1.0)
    (delete,) = outcome.transmits
    assert delete.octets[18] == ExchangeType.INFORMATIONAL
    assert server.engine.command(RekeyGroup("keyid:demo"), 2.0).transmits == []


def test_a_gm_that_leaves_is_pushed_no_more() -> None:
    """RFC 9838 section 2.3.2."""
    server, peer = inband_server(), Initiator()
    peer.register(server)
    leave = (DEMO, Notify(NotifyType.REGISTRATION_FAILED))
    assert peer.ask(server, ExchangeType.GSA_REGISTRATION, *leave) == ()
    assert server.engine.command(RekeyGroup("keyid:demo"), server.now).transmits == []


def push(world: World, member: MemberNode, *payloads: Payload) -> tuple[Event, ...]:
    """Let the server send these in a GSA_INBAND_REKEY; return what the member tells."""
    (sa,) = world.server.ike_sas.of_peer("fqdn:gm1.dev")
    exchange = ExchangeType.GSA_INBAND_REKEY
    (sent,) = sa.ask(Asked.PUSH, exchange, payloads, SERVER_SETTINGS, world.network.now)
    path = Path(sent.path.remote, sent.path.local)
    outcome = member.engine.receive(sent.octets, path, world.network.now)
    assert len(outcome.transmits) == 1, "answered by SK{}"
    return outcome.events


def test_the_mode_of_a_push_counts_as_that_of_a_registration() -> None:
    """RFC 9838 section 2.4.2.2: GSA, KD and N as if received in a registration exchange."""
    world = World(groups=(inband(),))
    member = world.member("gm1")
    world.run(10.0)
    group, now = world.server.groups["keyid:demo"], world.network.now
    (sa,) = world.server.ike_sas.of_peer("fqdn:gm1.dev")
    with world.server._groups.deciding(group, now, Change()) as decision:
        rekey(decision)
    keys = news_of(group, "fqdn:gm1.dev", member.host, now, sender=False)
    push(world, member, *key_payloads(keys, sa.gsk_w), Notify(NotifyType.USE_TRANSPORT_MODE))
    newest = member.engine.groups[0].holding.data_sas[-1]
    assert newest.install.mode is Mode.TRANSPORT


@pytest.mark.parametrize("zero", [True, False])
def test_a_gm_rekeyed_by_multicast_is_excluded_over_its_ike_sa(zero: bool) -> None:
    """RFC 9838 section 2.4.3: a Delete of GIKE_UPDATE may come in either of the exchanges."""
    world = World(settings=replace(SERVER_SETTINGS, ike_sa_idle_seconds=1000.0))
    member = world.member("gm1")
    world.run(10.0)
    group = member.engine.groups[0]
    assert group.holding.current_rekey is not None
    spi = bytes(16) if zero else group.holding.current_rekey.spi
    events = push(world, member, Delete(ProtocolId.GIKE_UPDATE, 16, (spi,)))
    reasons = [event.reason for event in events if isinstance(event, Reregistering)]
    assert reasons == [RegisterAgain.ALL_KEYS_DELETED if zero else RegisterAgain.REKEY_SA_DELETED]
    assert (group.holding.data_sas == ()) == zero


@pytest.mark.parametrize("whole_group", [False, True])
def test_a_member_carries_out_deletes(whole_group: bool) -> None:
    """RFC 9838 section 2.4.3: in GSA_INBAND_REKEY too; the group's end means to register again."""
    world = World(groups=(inband(),))
    member = world.member("gm1")
    world.run(10.0)
    ((spi, _),) = current(world)
    delete = Delete(0, 0, ()) if whole_group else Delete(ProtocolId.ESP, 4, (spi,))
    events = push(world, member, delete)
    group = member.engine.groups[0]
    if whole_group:
        assert any(isinstance(event, Reregistering) for event in events)
    else:
        (held,) = group.holding.data_sas
        assert held.remove_at < inf
