"""NAT keepalives (RFC 7296 section 2.23, RFC 3948 sections 2.3 and 4).

Shows gcks/ike/nat.py and gcks/ike/secured.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.datagrams import Endpoint, Path
from gcks.ike.secured import KEEPALIVE, KEEPALIVE_SECONDS
from tests.support.initiator import SERVER, Initiator, Server
from tests.support.world import SERVER_SETTINGS, World

OPEN = replace(SERVER_SETTINGS, ike_sa_idle_seconds=10.0**6, liveness_seconds=10.0**6)
TRANSLATED = Endpoint("198.51.100.7", 4500)


@pytest.mark.parametrize("behind_nat", [True, False])
def test_a_server_behind_a_nat_keeps_its_mapping_alive(behind_nat: bool) -> None:
    server, peer = Server(settings=OPEN), Initiator()
    if behind_nat:  # the peer sends to where the NAT forwards from
        peer.path = Path(TRANSLATED, peer.path.remote)
        request = peer.init()
        peer.path = Path(SERVER, peer.path.remote)
        peer.accept(server.answer(request, peer))
        server.receive(peer.auth(), peer)
    else:
        peer.register(server)
    sent = []
    for _ in range(3):
        sent += server.wait(KEEPALIVE_SECONDS + 0.1).transmits
    keepalives = [t for t in sent if t.octets == KEEPALIVE]
    assert len(keepalives) == (3 if behind_nat else 0)
    assert all(not t.path.marker and t.path.remote == peer.path.remote for t in keepalives)


@pytest.mark.parametrize("behind_nat", [True, False])
def test_a_member_behind_a_nat_keeps_its_mapping_alive(behind_nat: bool) -> None:
    world = World(settings=OPEN)
    nat = "203.0.113.1" if behind_nat else None
    member = world.member("gm1", nat_host=nat, liveness_seconds=10.0**6)
    world.run(5.0)
    before = member.sent
    world.run(5.0 + 3 * KEEPALIVE_SECONDS + 1)
    assert member.sent - before == (3 if behind_nat else 0)
    assert member.engine.status(100.0).ike_sa == "established"
