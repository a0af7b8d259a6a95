"""The messages of one IKE SA: windows, repetitions, fragments (RFC 7296 2.1-2.3, RFC 7383)."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from gcks.crypto.encr import make_cipher
from gcks.datagrams import Endpoint, Path, Transmit
from gcks.errors import Discard, DropReason, LocalError
from gcks.iana import ExchangeType, NotifyType, PayloadType
from gcks.ike.channel import Channel, Received, Repeated, Request, Response
from gcks.ike.protect import IkeProtection
from gcks.ike.retransmission import Retransmission
from gcks.wire.header import decode_header
from gcks.wire.notify import Notify
from gcks.wire.payloads import decode_chain

INFORMATIONAL = ExchangeType.INFORMATIONAL
PATH = Path(Endpoint("192.0.2.1", 500), Endpoint("10.0.0.1", 500))
SETTINGS = Retransmission(1.0, 2.0, 3)
SMALL = (Notify(NotifyType.INITIAL_CONTACT),)
LARGE = tuple(Notify(40_000 + n, bytes((n,)) * 300) for n in range(20))
FRAGMENT_OCTETS = 600


def pair(fragment_octets: int | None = FRAGMENT_OCTETS) -> tuple[Channel, Channel]:
    keys = [make_cipher(20, 0, os.urandom(36), b"") for _ in range(2)]

    def channel(out: int, *, initiator: bool) -> Channel:
        protection = IkeProtection(b"i" * 8, b"r" * 8, keys[out], keys[1 - out], os.urandom)
        return Channel(protection, PATH, initiator=initiator, fragment_octets=fragment_octets)

    return channel(0, initiator=True), channel(1, initiator=False)


def give(channel: Channel, transmits: Sequence[Transmit], now: float = 0.0) -> list[Received]:
    return [channel.receive(decode_header(t.octets), t.octets, now) for t in transmits]


def reason(channel: Channel, transmit: Transmit) -> DropReason:
    with pytest.raises(Discard) as dropped:
        give(channel, [transmit])
    return dropped.value.reason


@pytest.mark.parametrize("payloads", [SMALL, LARGE], ids=["whole", "fragments"])
@pytest.mark.parametrize("begins", [0, 1], ids=["initiator", "responder"])
def test_requests_and_responses_both_ways(payloads: tuple[Notify, ...], begins: int) -> None:
    sides = pair()
    asks, answers = sides[begins], sides[1 - begins]
    for message_id in range(3):
        sent = asks.request(INFORMATIONAL, payloads, SETTINGS, 0.0)
        assert decode_header(sent[0].octets).message_id == message_id
        request = give(answers, sent)[-1]
        assert isinstance(request, Request)
        assert decode_chain(request.first, request.chain) == payloads
        response = give(asks, answers.respond(INFORMATIONAL, payloads))[-1]
        assert isinstance(response, Response)
        assert decode_chain(response.first, response.chain) == payloads
        assert asks.pending is None


def test_large_messages_fit_the_size_agreed_on_and_small_ones_stay_whole() -> None:
    """RFC 7383 section 2.5."""
    asks, _ = pair()
    sent = asks.request(INFORMATIONAL, LARGE, SETTINGS, 0.0)
    assert len(sent) > 10
    assert max(len(t.octets) for t in sent) <= FRAGMENT_OCTETS
    assert {t.octets[16] for t in sent} == {PayloadType.SKF}
    other, _ = pair()
    (whole,) = other.request(INFORMATIONAL, SMALL, SETTINGS, 0.0)
    assert whole.octets[16] == PayloadType.SK


def test_without_negotiation_nothing_is_fragmented_and_fragments_are_dropped() -> None:
    """RFC 7383 section 2.3."""
    asks, _ = pair(None)
    (whole,) = asks.request(INFORMATIONAL, LARGE, SETTINGS, 0.0)
    assert whole.octets[16] == PayloadType.SK
    sends, receives = pair()
    receives.fragment_octets = None
    sent = sends.request(INFORMATIONAL, LARGE, SETTINGS, 0.0)
    assert reason(receives, sent[0]) is DropReason.MALFORMED


@pytest.mark.parametrize("payloads", [SMALL, LARGE], ids=["whole", "fragments"])
def test_a_repeated_request_gets_the_identical_response_once(
    payloads: tuple[Notify, ...],
) -> None:
    """RFC 7296 section 2.1; RFC 7383 section 2.6.1: only the first fragment asks for it."""
    asks, answers = pair()
    sent = asks.request(INFORMATIONAL, payloads, SETTINGS, 0.0)
    give(answers, sent)
    response = answers.respond(INFORMATIONAL, payloads)
    repeated = asks.repeat(SETTINGS, 1.0)
    assert repeated == sent
    again = [one for one in give(answers, sent) if one is not None]
    assert again == [Repeated(tuple(t.octets for t in response))]


def test_a_request_is_repeated_with_growing_delays_and_then_given_up() -> None:
    """RFC 7296 section 2.4."""
    asks, _ = pair()
    asks.request(INFORMATIONAL, SMALL, SETTINGS, 0.0)
    due = []
    while asks.pending is not None:
        due.append(asks.pending.due)
        if asks.repeat(SETTINGS, asks.pending.due) is None:
            break
    assert due == [1.0, 3.0, 7.0]


def test_one_request_at_a_time() -> None:
    asks, _ = pair()
    asks.request(INFORMATIONAL, SMALL, SETTINGS, 0.0)
    with pytest.raises(LocalError):
        asks.request(INFORMATIONAL, SMALL, SETTINGS, 0.0)


def test_what_is_outside_of_the_window_is_dropped() -> None:
    """RFC 7296 sections 2.2, 2.3."""
    asks, answers = pair()
    (first,) = asks.request(INFORMATIONAL, SMALL, SETTINGS, 0.0)
    give(answers, [first])
    (response,) = answers.respond(INFORMATIONAL, SMALL)
    give(asks, [response])
    assert reason(asks, response) is DropReason.OUT_OF_WINDOW
    (second,) = asks.request(INFORMATIONAL, SMALL, SETTINGS, 0.0)
    give(answers, [second])
    give(asks, answers.respond(INFORMATIONAL, SMALL))
    assert reason(answers, first) is DropReason.OUT_OF_WINDOW


def test_our_own_messages_that_come_back_are_dropped() -> None:
    asks, answers = pair()
    (sent,) = asks.request(INFORMATIONAL, SMALL, SETTINGS, 0.0)
    assert reason(asks, sent) is DropReason.WRONG_ROLE
    (sent,) = answers.request(INFORMATIONAL, SMALL, SETTINGS, 0.0)
    assert reason(answers, sent) is DropReason.WRONG_ROLE


@pytest.mark.parametrize("payloads", [SMALL, LARGE], ids=["whole", "fragments"])
def test_a_changed_octet_is_dropped_and_the_true_one_counts(payloads: tuple[Notify, ...]) -> None:
    """RFC 7383 section 2.6: a fragment is verified before it is kept."""
    asks, answers = pair()
    sent = asks.request(INFORMATIONAL, payloads, SETTINGS, 0.0)
    for transmit in sent:
        broken = bytearray(transmit.octets)
        broken[-1] ^= 1
        assert reason(answers, Transmit(bytes(broken), PATH)) is DropReason.BAD_INTEGRITY
    assert isinstance(give(answers, sent)[-1], Request)
