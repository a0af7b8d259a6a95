"""Storms of registrations: spread in time, admitted by cost, senders first (RFC 9838 2.4.3).

Shows gcks/keyserver/load.py, gcks/keyserver/priority.py and gcks/group/spread.py.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import quantiles

import pytest

from gcks.errors import DropReason
from gcks.events import Registered, RegistrationAbandoned, Reregistering
from gcks.group.spread import MOST_SECONDS
from gcks.keyserver.commands import Exclude, RekeyGroup
from gcks.keyserver.groups.exclusions import IDENTITY
from gcks.keyserver.load import LEAST_BACKLOG, SENDERS_RESERVE
from gcks.keyserver.priority import PREFERRED_PER_SECOND
from gcks.keyserver.rates import BURST_SECONDS
from gcks.keyserver.settings import ServerSettings
from tests.support.busy_engine import BusyEngine, ticking
from tests.support.initiator import Initiator, Server, cookie_of, dropped
from tests.support.network import MemberNode
from tests.support.world import SERVER_SETTINGS, World, group_policy, state

SLOW_SECONDS = 0.05
"""What a registration costs a slow server: it lets in no more than the least backlog."""
RESERVE = int(LEAST_BACKLOG * SENDERS_RESERVE)


# --- admission by cost ------------------------------------------------------------------


def slow_server(settings: ServerSettings = SERVER_SETTINGS) -> Server:
    """Return a server that has measured how slow it is."""
    server = Server(settings=settings, meter=ticking(SLOW_SECONDS))
    for _ in range(400):
        server.engine.load.learn(SLOW_SECONDS, 0.0)
    return server


def far(number: int) -> Initiator:
    """Return a peer in a network of its own."""
    return Initiator(f"gm{number}", host=f"10.{number // 250}.{number % 250}.1")


def fill(server: Server, first: int = 0) -> None:
    """Begin as many IKE SAs as anybody may."""
    for number in range(first, first + LEAST_BACKLOG):
        far(number).meet(server)


def with_cookie(server: Server, peer: Initiator) -> bytes:
    cookie = cookie_of(server.answer(peer.init(), peer))
    assert cookie
    return peer.init(cookie=cookie)


def test_no_more_begin_than_can_be_served_in_time() -> None:
    server = slow_server()
    fill(server)
    status = server.engine.status(0.0)
    assert (status.half_open, status.backlog_limit) == (LEAST_BACKLOG, LEAST_BACKLOG)
    assert status.registration_cost_seconds == pytest.approx(SLOW_SECONDS, rel=0.01)
    late = far(9_000)
    assert dropped(server.receive(with_cookie(server, late), late)) is DropReason.LIMIT
    assert server.engine.status(0.0).admission["over_limit"] == 1
    assert server.engine.ike_sas.half_open == LEAST_BACKLOG


def test_a_refused_peer_is_no_backlog() -> None:
    server = slow_server()
    peers = [far(number) for number in range(LEAST_BACKLOG)]
    for peer in peers:
        peer.meet(server)
    peer = Initiator("nobody", host="10.9.9.9", secret=b"a wrong secret, thirty-two octets")
    assert dropped(server.receive(with_cookie(server, peer), peer)) is DropReason.LIMIT
    wrong = peers[0]
    wrong.secret = b"a wrong secret, thirty-two octets"
    server.answer(wrong.auth(), wrong)
    assert server.engine.ike_sas.half_open == LEAST_BACKLOG
    peer.accept(server.answer(with_cookie(server, peer), peer))


def test_addresses_are_proved_long_before_the_server_is_full() -> None:
    """Made-up ones can't use up the room of a slow server."""
    server = slow_server()
    for number in range(10 * LEAST_BACKLOG):
        peer = far(number)
        server.receive(peer.init(), peer)
    assert server.engine.ike_sas.half_open == LEAST_BACKLOG // 2


def test_addresses_that_only_begin_don_t_keep_others_out_for_ever() -> None:
    server = slow_server()
    fill(server)
    honest = far(9_000)
    assert dropped(server.receive(with_cookie(server, honest), honest)) is DropReason.LIMIT
    closed = [one for one in server.wait(30.0).events if isinstance(one, RegistrationAbandoned)]
    assert len(closed) == LEAST_BACKLOG
    fill(server, LEAST_BACKLOG)
    honest.meet(server)


# --- senders ----------------------------------------------------------------------------


def sender(server: Server, host: str = "192.0.2.99", port: int = 500) -> Initiator:
    """Return a peer that was a sender before."""
    server.engine.senders.add(host)
    return Initiator("sender1", host=host, port=port)


def test_a_sender_is_let_in_beyond_once_it_has_proved_its_address() -> None:
    server = slow_server()
    fill(server)
    peer = sender(server)
    assert len(server.answer(peer.init(), peer)) < len(peer.init()), "a cookie, no more"
    peer.accept(server.answer(with_cookie(server, peer), peer))
    assert server.engine.status(0.0).admission["senders_preferred"] == 1


def test_one_address_can_t_use_up_what_is_reserved() -> None:
    """Somebody else may share it: behind the NAT of a sender, say."""
    server = slow_server()
    fill(server)
    let_in = 0
    for port in range(1_000, 1_000 + RESERVE):
        peer = sender(server, port=port)
        let_in += bool(server.receive(with_cookie(server, peer), peer).transmits)
    assert let_in == PREFERRED_PER_SECOND * BURST_SECONDS < RESERVE
    other = sender(server, "192.0.2.98")
    other.accept(server.answer(with_cookie(server, other), other))


def test_what_is_reserved_has_an_end() -> None:
    server = slow_server()
    fill(server)
    for number in range(RESERVE):
        peer = sender(server, f"192.0.2.{number + 1}")
        peer.accept(server.answer(with_cookie(server, peer), peer))
    late = sender(server, "192.0.2.200")
    assert dropped(server.receive(with_cookie(server, late), late)) is DropReason.LIMIT
    assert server.engine.ike_sas.half_open == LEAST_BACKLOG + RESERVE


def test_the_operator_s_limit_holds_for_senders_too() -> None:
    server = Server(settings=replace(SERVER_SETTINGS, max_half_open=10))
    for number in range(8):
        far(number).meet(server)
    late = far(99)
    assert dropped(server.receive(with_cookie(server, late), late)) is DropReason.LIMIT
    for host in ("192.0.2.1", "192.0.2.2"):
        peer = sender(server, host)
        peer.accept(server.answer(with_cookie(server, peer), peer))
    peer = sender(server, "192.0.2.3")
    assert dropped(server.receive(with_cookie(server, peer), peer)) is DropReason.LIMIT


def test_others_that_crowd_its_network_don_t_keep_a_sender_out() -> None:
    server = Server(settings=replace(SERVER_SETTINGS, max_half_open_per_prefix=5))
    for number in range(5):
        Initiator(host=f"192.0.2.{number + 1}").meet(server)
    neighbour = Initiator(host="192.0.2.77")
    request = with_cookie(server, neighbour)
    assert dropped(server.receive(request, neighbour)) is DropReason.LIMIT
    peer = sender(server)
    peer.accept(server.answer(with_cookie(server, peer), peer))


def test_a_sender_s_address_keeps_the_rate_of_every_address() -> None:
    server = slow_server(replace(SERVER_SETTINGS, rate_per_address=0.1))
    sender(server).meet(server)
    again = sender(server, port=501)
    assert dropped(server.receive(with_cookie(server, again), again)) is DropReason.LIMIT
    assert server.engine.status(0.0).admission["over_rate"] == 1


def test_senders_are_back_before_a_tenth_of_the_receivers() -> None:
    """3,000 receivers and 20 senders in one second, all without spread."""
    receivers = 3_000
    scene = World(meter=ticking(SLOW_SECONDS))
    senders = [scene.member(f"sender{number}") for number in range(20)]
    scene.run(10.0)
    for _ in range(400):
        scene.server.load.learn(SLOW_SECONDS, 0.0)
    net, server = scene.network, scene.network.server
    assert server is not None
    busy = server.engine = BusyEngine(scene.server, SLOW_SECONDS, buffer=10 * receivers)

    def come_back(node: MemberNode) -> None:
        net.member_did(node, node.engine.start(net.now))

    for node in senders:
        node.events.clear()
        net.at(10.0 + net.jitter(1.0), lambda node=node: come_back(node))
    others = [scene.member(f"gm{n}", at=10.0 + net.jitter(1.0)) for n in range(receivers)]
    assert net.run_until(lambda: all(node.all(Registered) for node in senders), 120.0)
    assert sum(bool(node.all(Registered)) for node in others) < receivers / 10
    assert not server.all(RegistrationAbandoned)
    assert busy.lost == 0


# --- spread -----------------------------------------------------------------------------


def start_over(scene: World, victim: str) -> float:
    """Exclude a member of a group without key tree; return when."""
    now = scene.network.now
    order = Exclude("keyid:demo", IDENTITY, (f"fqdn:{victim}.dev",), "test")
    scene.network.server_did(scene.server.command(order, now))
    return now


def test_a_group_that_starts_over_comes_back_over_the_told_time() -> None:
    count, fixed, foreign = 500, 10, 10
    scene = World(meter=ticking(SLOW_SECONDS))
    nodes = [scene.member(f"gm{n}", at=n * 0.02) for n in range(count)]
    set_by_hand = [scene.member(f"gm-set{n}", reregister_jitter_seconds=2.0) for n in range(fixed)]
    ignorant = [scene.member(f"gm-old{n}") for n in range(foreign)]
    senders = [scene.member(f"sender{n}") for n in range(10)]
    scene.member("gm-out")
    scene.run(20.0)
    for node in ignorant:
        _ignore(node)
    spread = scene.server.groups["keyid:demo"].spread
    assert spread.all_seconds == pytest.approx(531 * SLOW_SECONDS * 2, abs=2)
    began = start_over(scene, "gm-out")
    scene.run(began + spread.all_seconds + 5.0)
    assert all(state(one) == "registered" for one in (*nodes, *set_by_hand, *ignorant, *senders))
    drawn = [node.all(Reregistering)[-1].delay_seconds for node in nodes]
    tenths = [at / spread.all_seconds for at in quantiles(drawn, n=10)]
    assert tenths == pytest.approx([n / 10 for n in range(1, 10)], abs=0.06)
    assert max(drawn) <= spread.all_seconds
    assert _longest(set_by_hand) <= 2.0
    assert _longest(ignorant) <= 5.0
    assert _longest(senders) <= spread.sender_seconds < 2.0


def _ignore(node: MemberNode) -> None:
    """Make a member understand nothing of what is told."""
    (group,) = node.engine.groups
    group.planner.delay.registered(())


def _longest(nodes: list[MemberNode]) -> float:
    return max(node.all(Reregistering)[-1].delay_seconds for node in nodes)


def test_members_that_are_rekeyed_in_band_are_told_too() -> None:
    """Their IKE SAs are deleted: everybody has to come back (section 2.3.3)."""
    policy = replace(group_policy(), rekey=None)
    scene = World(groups=(policy,), meter=ticking(0.5))
    nodes = [scene.member(f"gm{n}", at=n * 0.02) for n in range(60)]
    scene.member("gm-out")
    scene.run(10.0)
    group = scene.server.groups["keyid:demo"]
    scene.network.server_did(scene.server.command(RekeyGroup("keyid:demo"), scene.network.now))
    scene.run(20.0)
    (member,) = nodes[0].engine.groups
    assert member.planner.delay.told == group.spread, (
        "a push has told the size that the group has now"
    )


def test_a_member_shows_over_how_long_it_would_come_back() -> None:
    scene = World(meter=ticking(1.0))
    node = scene.member("gm1")
    scene.run(5.0)
    assert node.engine.status(5.0).groups[0].spread_seconds == 5.0
    (group,) = scene.server.status(5.0).groups
    assert group.spread_seconds == 5.0 <= MOST_SECONDS
