"""Peers that misuse fragments, Message IDs and SPIs: each with what the RFC wants to happen.

Shows gcks/ike/fragments.py, gcks/ike/window.py and gcks/ike/channel.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest

from gcks.change import Change
from gcks.errors import DropReason
from gcks.events import DatagramDropped, MemberRegistered
from gcks.iana import ExchangeType
from gcks.ike.fragments import MAX_FRAGMENTS
from gcks.wire.header import FLAG_INITIATOR
from gcks.wire.notify import Notify
from tests.support.handshakes import SIZE, fragments, met
from tests.support.initiator import Initiator, Server, bent, dropped, only
from tests.support.world import SERVER_SETTINGS

NUMBER_AT, TOTAL_AT = 33, 35


def give(server: Server, peer: Initiator, datagrams: Sequence[bytes]) -> list[Change]:
    return [server.receive(octets, peer) for octets in datagrams]


def registers(outcomes: Sequence[Change]) -> bool:
    """Tell whether exactly the last datagram led to the registration."""
    found = [any(isinstance(e, MemberRegistered) for e in one.events) for one in outcomes]
    return found == [False] * (len(outcomes) - 1) + [True]


Bend = Callable[[list[bytes]], list[bytes]]
HARMLESS: dict[str, Bend] = {
    "in order": lambda f: f,
    "backwards": lambda f: f[::-1],
    "shuffled": lambda f: Random(1).sample(f, len(f)),
    "each twice": lambda f: [one for one in f[:-1] for _ in range(2)] + f[-1:],
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_whatever_the_order_a_complete_set_counts(change: Bend) -> None:
    """RFC 7383 section 2.6."""
    server, peer = met()
    assert registers(give(server, peer, change(fragments(peer))))


HARMFUL: dict[str, tuple[Bend, DropReason | None]] = {
    "one is missing": (lambda f: f[:-1], None),
    "number zero": (lambda f: [bent(f[0], NUMBER_AT, 0)], DropReason.MALFORMED),
    "beyond the total": (lambda f: [bent(f[0], NUMBER_AT, 200)], DropReason.MALFORMED),
    "another total": (lambda f: [bent(f[0], TOTAL_AT, 9)], DropReason.BAD_INTEGRITY),
    "another number": (lambda f: [bent(f[1], NUMBER_AT, 3)], DropReason.BAD_INTEGRITY),
    "cut off": (lambda f: [f[0][:-7]], DropReason.MALFORMED),
    "a bent octet": (lambda f: [bent(f[1], len(f[1]) - 1, 0x55)], DropReason.BAD_INTEGRITY),
    "another Message ID": (lambda f: [bent(f[0], 23, 7)], DropReason.OUT_OF_WINDOW),
}


@pytest.mark.parametrize(("change", "reason"), HARMFUL.values(), ids=HARMFUL)
def test_a_broken_set_is_dropped_and_the_true_one_still_counts(
    change: Bend, reason: DropReason | None
) -> None:
    """RFC 7383 section 2.6: verified before it is kept, so that nobody else can spoil a set."""
    server, peer = met()
    true = fragments(peer)
    outcomes = give(server, peer, change(true))
    assert all(outcome.transmits == [] for outcome in outcomes)
    drops = [e.reason for one in outcomes for e in one.events if isinstance(e, DatagramDropped)]
    assert drops == ([reason] if reason is not None else [])
    if reason is None:
        server, peer = met()
        true = fragments(peer)
    assert registers(give(server, peer, true))


def test_smaller_fragments_replace_a_set_and_older_ones_are_dropped() -> None:
    """RFC 7383 section 2.6: a larger Total Fragments means that the peer has begun anew."""
    server, peer = met()
    few, many = fragments(peer, SIZE), fragments(peer, SIZE - 50)
    assert len(many) > len(few)
    give(server, peer, few[:1])
    give(server, peer, many[:1])
    assert dropped(server.receive(few[1], peer)) is DropReason.REPLAY
    assert registers(give(server, peer, many[1:]))


def test_fragments_that_were_not_negotiated_are_dropped() -> None:
    """RFC 7383 section 2.3."""
    server, peer = met(announced=False)
    outcomes = give(server, peer, fragments(peer))
    assert {dropped(one) for one in outcomes} == {DropReason.MALFORMED}


def test_a_peer_with_keys_cant_make_us_keep_any_number_of_fragments() -> None:
    """Bounded in number and octets; only who has agreed on keys comes so far."""
    server, peer = met()
    payloads = tuple(Notify(40_000, os.urandom(900)) for _ in range(60))
    seal = peer.protection.seal_messages
    many = seal(ExchangeType.GSA_AUTH, FLAG_INITIATOR, 1, payloads, 200)
    assert len(many) > MAX_FRAGMENTS
    assert {dropped(one) for one in give(server, peer, many)} == {DropReason.LIMIT}


def test_only_the_first_fragment_of_a_repeated_request_brings_the_response_again() -> None:
    """RFC 7383 section 2.6.1."""
    server, peer = met()
    sent = fragments(peer)
    response = give(server, peer, sent)[-1].transmits
    again = [one.transmits for one in give(server, peer, sent)]
    assert again == [response, *[[]] * (len(sent) - 1)]


@pytest.mark.parametrize("message_id", [0, 3, 4, 0xFFFFFFFF])
def test_message_ids_out_of_the_window_are_dropped(message_id: int) -> None:
    """RFC 7296 section 2.3: window size 1."""
    server, peer = Server(), Initiator()
    peer.register(server)
    request = peer.request(ExchangeType.INFORMATIONAL, message_id=message_id)
    assert dropped(server.receive(request, peer)) is DropReason.OUT_OF_WINDOW
    assert server.answer(peer.request(ExchangeType.INFORMATIONAL, message_id=2), peer)


def test_an_initiator_spi_used_again_is_another_ike_sa() -> None:
    """RFC 7296 section 2.6: the SPI pair names the SA, and an SPI of ours is never drawn twice."""
    server = Server(settings=replace(SERVER_SETTINGS, ike_sa_idle_seconds=10.0**6))
    first, second = Initiator("gm1"), Initiator("gm2", host="10.0.0.2")
    second.spi_i = first.spi_i
    for peer in (first, second):
        assert only(server.receive(peer.meet(server).auth(), peer), MemberRegistered)
    for peer in (first, second):
        assert peer.ask(server, ExchangeType.INFORMATIONAL) == ()
