"""IKE over TCP as the engine sees it (RFC 9329): paths with a stream number.

Shows gcks/ike/secured.py and gcks/keyserver.
"""

from __future__ import annotations

from dataclasses import replace

from gcks.datagrams import Path
from gcks.iana import ExchangeType, PayloadType
from gcks.ike.secured import KEEPALIVE_SECONDS
from tests.support.initiator import Initiator, Server, notifies
from tests.support.world import SERVER_SETTINGS

INFORMATIONAL = ExchangeType.INFORMATIONAL


def over(peer: Initiator, stream: int) -> Path:
    peer.path = peer.path._replace(stream=stream)
    return peer.path


def test_a_registration_over_one_stream_is_answered_on_it() -> None:
    server, peer = Server(), Initiator()
    over(peer, 7)
    assert notifies(peer.register(server)) == []


def test_a_new_connection_takes_over_once_an_authentic_message_came_on_it() -> None:
    """RFC 9329 section 6.1: and not before."""
    server, peer = Server(), Initiator()
    over(peer, 1)
    peer.register(server)
    over(peer, 2)
    request = peer.request(INFORMATIONAL)
    forged = bytearray(request)
    forged[-1] ^= 1
    server.receive(bytes(forged), peer)
    (sa,) = server.engine.ike_sas.of_peer("fqdn:gm1.dev")
    assert sa.path.stream == 1
    assert server.answer(request, peer)
    assert sa.path.stream == 2
    (delete,) = server.wait(SERVER_SETTINGS.ike_sa_idle_seconds).transmits
    assert delete.path.stream == 2


def test_a_request_over_a_stream_is_not_sent_again_and_given_up_in_the_end() -> None:
    """RFC 9329 section 6.2: TCP does that."""
    server, peer = Server(), Initiator()
    over(peer, 1)
    peer.register(server)
    assert len(server.wait(SERVER_SETTINGS.ike_sa_idle_seconds).transmits) == 1
    for _ in range(100):
        assert server.wait(1.0).transmits == []
    assert server.forgot_all_peers


def test_nothing_is_fragmented_and_no_keepalive_is_sent_over_a_stream() -> None:
    """RFC 9329 sections 6.6 and 7.5."""
    open_ = replace(SERVER_SETTINGS, fragment_octets=256, ike_sa_idle_seconds=10.0**6)
    server, peer = Server(settings=open_), Initiator()
    over(peer, 1)
    peer.register(server)
    (sa,) = server.engine.ike_sas.of_peer("fqdn:gm1.dev")
    sa.channel.fragment_octets = 256
    sa.begin_keepalives(server.now)
    server.engine.ike_sas.touch(sa, sa.wants_at)
    assert server.wait(KEEPALIVE_SECONDS + 1).transmits == []
    (response,) = server.receive(peer.request(INFORMATIONAL), peer).transmits
    assert response.octets[16] == PayloadType.SK
