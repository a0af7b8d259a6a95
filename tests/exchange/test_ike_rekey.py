"""Rekeys of the IKE SA between our server and member: either side, both at once, bad weather.

Shows gcks/ike/ike_rekey.py, and who uses it in gcks/keyserver and gcks/member.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.change import Change
from gcks.events import IkeSaRekeyed, Registered, Reregistering
from gcks.iana import ExchangeType, NotifyType
from gcks.ike.key_log_entry import IkeKeyLogEntry
from gcks.ike.succession import REKEY_RETRY_SECONDS
from gcks.keyserver.ike_sa import Established
from gcks.wire.header import decode_header
from gcks.wire.notify import Notify
from tests.support.initiator import DEMO, Initiator, Server
from tests.support.network import MemberNode, Weather
from tests.support.world import SERVER_SETTINGS, World, state

OPEN = replace(
    SERVER_SETTINGS,
    ike_sa_idle_seconds=10.0**6,
    ike_sa_rekey_seconds=10.0**6,
    liveness_seconds=10.0**6,
)
QUIET = {"liveness_seconds": 10.0**6}
NEVER = 10.0**6


def world(rekey_seconds: float = NEVER, **options: object) -> World:
    return World(settings=replace(OPEN, ike_sa_rekey_seconds=rekey_seconds), **options)  # type: ignore[arg-type]


def server_sas(world: World) -> list[Established]:
    return list(world.server.ike_sas.of_peer("fqdn:gm1.dev"))


def agree(world: World, member: MemberNode) -> None:
    """Assert that both sides have one IKE SA, and the same."""
    session = member.engine.session
    assert session is not None
    (ours,) = session.sas
    (theirs,) = server_sas(world)
    assert ours.parent == theirs.parent
    assert ours.gsk_w == theirs.gsk_w
    assert ours.channel.initiator != theirs.channel.initiator


@pytest.mark.parametrize("optimized", [True, False], ids=["optimized", "regular"])
@pytest.mark.parametrize("by", ["server", "member"])
def test_an_ike_sa_is_rekeyed_again_and_again(by: str, optimized: bool) -> None:
    """RFC 7296 sections 1.3.2, 2.18: the new SA is used, the old one is deleted."""
    place = world(100.0 if by == "server" else NEVER)
    own = 100.0 if by == "member" else NEVER
    options = QUIET if optimized else {**QUIET, "optimized_rekey": None}
    member = place.member("gm1", ike_sa_rekey_seconds=own, **options)
    place.run(1050.0)
    agree(place, member)
    rekeyed = member.all(IkeSaRekeyed)
    assert [event.by_peer for event in rekeyed] == [by == "server"] * 10
    assert state(member) == "registered"
    assert len(member.all(Registered)) == 1


@pytest.mark.parametrize("seed", range(60))
def test_both_at_once_leave_one_ike_sa(seed: int) -> None:
    """RFC 7296 section 2.8.1: of two new SAs the one with the lowest nonce is closed."""
    place = world(100.0, seed=seed, weather=Weather(least_delay=0.01, most_delay=0.5))
    member = place.member("gm1", ike_sa_rekey_seconds=100.0, **QUIET)
    place.run(1090.0)
    agree(place, member)
    assert state(member) == "registered"
    assert not member.all(Reregistering)


@pytest.mark.parametrize("seed", range(40))
def test_rekeys_survive_bad_weather(seed: int) -> None:
    """Loss, reordering and duplication: the same end, or a clean new beginning."""
    weather = Weather(loss=0.3, duplication=0.2, least_delay=0.01, most_delay=2.0)
    place = world(60.0, seed=seed, weather=weather)
    member = place.member("gm1", ike_sa_rekey_seconds=70.0, **QUIET)
    place.run(2000.0)
    place.network.weather = Weather()
    place.run(2400.0)
    assert state(member) == "registered"
    session = member.engine.session
    kept = [sa.parent for sa in server_sas(place)]
    assert len(kept) <= 2, "the newest, and one whose Delete may be on its way"
    assert session is None or session.current().parent in kept


def test_a_silent_server_is_noticed_and_a_silent_member_too() -> None:
    """RFC 7296 section 2.4: liveness checks, then the IKE SA is given up."""
    place = World(settings=replace(OPEN, liveness_seconds=30.0))
    member = place.member("gm1", liveness_seconds=30.0)
    place.run(20.0)
    agree(place, member)
    place.network.weather = Weather(loss=1.0)
    place.run(300.0)
    assert server_sas(place) == []
    assert member.engine.status(300.0).ike_sa == "none"
    assert state(member) == "registered", "the group lives on multicast"


def test_initial_contact_ends_what_an_earlier_life_left() -> None:
    """RFC 7296 section 2.4."""
    place = world()
    place.member("gm1", **QUIET)
    place.run(5.0)
    (old,) = server_sas(place)
    place.member("gm1", at=6.0, **QUIET)
    place.run(12.0)
    (new,) = server_sas(place)
    assert new is not old


@pytest.mark.parametrize("by", ["server", "member"])
def test_the_key_log_has_every_ike_sa(by: str) -> None:
    """What an operator asks Wireshark to decrypt goes on after a rekey."""
    seen: list[IkeKeyLogEntry] = []
    place = world(100.0 if by == "server" else NEVER, key_log=seen.append)
    place.member("gm1", ike_sa_rekey_seconds=100.0 if by == "member" else NEVER, **QUIET)
    place.run(250.0)
    (sa,) = server_sas(place)
    assert len(seen) == 3
    assert (seen[-1].spi_i, seen[-1].spi_r) == (sa.spi_i, sa.spi_r)


def exchanges(outcome: Change) -> list[int]:
    return [decode_header(sent.octets).exchange for sent in outcome.transmits]


def test_the_server_waits_after_a_refusal() -> None:
    """RFC 7296 section 2.25: TEMPORARY_FAILURE; the IKE SA goes on meanwhile."""
    server = Server(settings=replace(OPEN, ike_sa_rekey_seconds=100.0))
    peer = Initiator()
    peer.register(server, DEMO)
    rekey = ExchangeType.CREATE_CHILD_SA
    assert exchanges(server.wait(100.0)) == [rekey]
    refusal = peer.respond(rekey, 0, Notify(NotifyType.TEMPORARY_FAILURE))
    assert exchanges(server.receive(refusal, peer)) == []
    assert exchanges(server.wait(REKEY_RETRY_SECONDS - 1.0)) == []
    assert exchanges(server.wait(1.0)) == [rekey]
