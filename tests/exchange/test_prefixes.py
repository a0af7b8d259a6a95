"""Half-open IKE SAs of one network: cookies first, refusal far beyond, nothing for others.

Shows gcks/keyserver/prefixes.py and gcks/keyserver/ike_sa_table.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.errors import DropReason
from gcks.keyserver.prefixes import prefix_of
from tests.support.initiator import Initiator, Server, cookie_of, dropped, notifies
from tests.support.world import SERVER_SETTINGS

FEW = replace(SERVER_SETTINGS, cookie_threshold_per_prefix=3, max_half_open_per_prefix=5)


def crowd(server: Server, count: int, host: str = "10.0.0.") -> None:
    """Begin that many IKE SAs, cookies given back where they are asked for."""
    for number in range(count):
        peer = Initiator(host=f"{host}{number + 1}")
        answer = server.answer(peer.init(), peer)
        cookie = cookie_of(answer)
        if cookie:
            server.answer(peer.init(cookie=cookie), peer)


def test_a_crowded_network_is_asked_for_cookies_and_others_are_not() -> None:
    server = Server(settings=FEW)
    crowd(server, 3)
    near, far = Initiator(host="10.0.0.200"), Initiator(host="10.0.1.1")
    assert cookie_of(server.answer(near.init(), near))
    assert not cookie_of(server.answer(far.init(), far))


def test_far_too_many_of_one_network_are_refused_with_cookies_too() -> None:
    server = Server(settings=FEW)
    crowd(server, 5)
    peer = Initiator(host="10.0.0.77")
    cookie = cookie_of(server.answer(peer.init(), peer))
    assert dropped(server.receive(peer.init(cookie=cookie), peer)) is DropReason.LIMIT
    far = Initiator(host="10.0.1.1")
    assert not cookie_of(server.answer(far.init(), far))


@pytest.mark.parametrize("registers", [True, False])
def test_what_is_no_longer_half_open_no_longer_counts(registers: bool) -> None:
    """Many honest members behind one address come and go."""
    server = Server(settings=FEW)
    for number in range(20):
        peer = Initiator(f"gm{number}", host="10.0.0.1", port=2000 + number)
        if registers:
            assert notifies(peer.register(server)) == []
        else:
            server.answer(peer.init(), peer)
            server.wait(SERVER_SETTINGS.half_open_seconds)
    for _ in range(20):  # so often a closed IKE SA's Delete is repeated at most
        server.wait(1000.0)
    assert len(server.engine.ike_sas) == 0


def test_prefixes() -> None:
    assert prefix_of("192.0.2.1") == prefix_of("192.0.2.255") != prefix_of("192.0.3.1")
    assert prefix_of("2001:db8:0:1::1") == prefix_of("2001:db8:0:ff:ffff::")
    assert prefix_of("2001:db8:0:1::1") != prefix_of("2001:db8:0:100::1")
