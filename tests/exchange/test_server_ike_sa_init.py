"""IKE_SA_INIT at the key server, datagram by datagram (RFC 7296 sections 1.2, 2.5, 2.6, 2.21).

Shows gcks/keyserver/ike_sa_init.py and gcks/ike/negotiation.py.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from gcks.crypto.certificates import TrustStore
from gcks.datagrams import Endpoint, Path
from gcks.errors import DropReason
from gcks.events import (
    CookieRequired,
    IkeSaInitAnswered,
    RegistrationAbandoned,
    RegistrationRefused,
    RequestRefused,
)
from gcks.iana import IMPLICIT_IV, ExchangeType, Ke, NotifyType, TransformType
from gcks.ike.credentials import Credentials
from gcks.ike.keywords import ENCR, parse_ike
from gcks.ike.nat import behind_nat
from gcks.member.settings import DEFAULT_IKE_PROPOSALS
from gcks.wire.certificate import CertificateRequest
from gcks.wire.header import FLAG_INITIATOR, FLAG_RESPONSE, NO_SPI, decode_header
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.message import encode_message
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.transform import Transform
from gcks.wire.unknown import UnknownPayload
from tests.support.authority import Authority
from tests.support.initiator import (
    SERVER,
    Initiator,
    Server,
    bent,
    cookie_of,
    dropped,
    notifies,
    only,
    without,
)
from tests.support.plain import decode_plain
from tests.support.world import SERVER_SETTINGS

COOKIES_ALWAYS = replace(SERVER_SETTINGS, cookie_threshold=0)


def refusal(server: Server, peer: Initiator, request: bytes) -> Notify:
    """Return the one notification with which the server refuses, having kept no state."""
    header, payloads = decode_plain(server.answer(request, peer))
    assert (header.spi_i, header.spi_r) == (peer.spi_i, NO_SPI)
    assert (header.exchange, header.flags) == (ExchangeType.IKE_SA_INIT, FLAG_RESPONSE)
    assert server.forgot_all_peers
    (notify,) = payloads
    assert isinstance(notify, Notify)
    return notify


# --- the good case ------------------------------------------------------------------------------


def test_the_response_holds_what_the_rfc_wants() -> None:
    """HDR, SAi1, KEi, Ni -->  <-- HDR, SAr1, KEr, Nr, N(NAT...), N(HASHES), N(AUTH_METHODS)"""
    server, peer = Server(), Initiator()
    outcome = server.receive(peer.init(), peer)
    assert only(outcome, IkeSaInitAnswered) == IkeSaInitAnswered("10.0.0.1:500")
    found = peer.accept(outcome.transmits[0].octets)
    assert peer.spi_r != NO_SPI
    assert len(peer.nr) >= 32, "RFC 7296 section 2.10: half the PRF's key size at least"
    assert peer.suite.kwa is not None, "RFC 9838 section 4.5.4"
    _, payloads = decode_plain(outcome.transmits[0].octets)
    assert notifies(payloads) == [
        NotifyType.NAT_DETECTION_SOURCE_IP,
        NotifyType.NAT_DETECTION_DESTINATION_IP,
        NotifyType.SIGNATURE_HASH_ALGORITHMS,
        NotifyType.CHILDLESS_IKEV2_SUPPORTED,
        NotifyType.SUPPORTED_AUTH_METHODS,
    ]
    seen = behind_nat(payloads, peer.spi_i, peer.spi_r, SERVER, peer.path.remote)
    assert seen == (False, False)
    assert CertificateRequest not in found


def test_a_translated_peer_can_tell_from_the_response() -> None:
    """RFC 7296 section 2.23: the hashes are of the addresses that the server sees."""
    server, peer = Server(), Initiator()
    outside = Path(SERVER, Endpoint("203.0.113.9", 61000))
    (sent,) = server.engine.receive(peer.init(), outside, 0.0).transmits
    assert sent.path == outside
    peer.accept(sent.octets)
    _, payloads = decode_plain(sent.octets)
    seen = behind_nat(payloads, peer.spi_i, peer.spi_r, SERVER, peer.path.remote)
    assert seen == (False, True)


def test_hash_algorithms_are_announced_to_those_who_announce_theirs() -> None:
    """RFC 7427 section 4."""
    server, peer = Server(), Initiator()
    payloads = [p for p in peer.init_payloads() if notifies([p]) != [16431]]
    _, answer = decode_plain(server.answer(peer.init(payloads=payloads), peer))
    assert NotifyType.SIGNATURE_HASH_ALGORITHMS not in notifies(answer)


def test_certreq_names_the_trust_anchors() -> None:
    """RFC 7296 section 3.7."""
    trust: TrustStore = Authority().trust
    server, peer = Server(credentials=Credentials((), (), trust)), Initiator()
    found = peer.accept(server.answer(peer.init(), peer))
    request = found[CertificateRequest]
    assert isinstance(request, CertificateRequest)
    assert request.authorities == trust.authorities
    assert len(request.authorities) == 20


def test_responder_spis_differ_between_peers() -> None:
    server = Server()
    spis = {Initiator(f"gm{n}", port=500 + n).meet(server).spi_r for n in range(50)}
    assert len(spis) == 50


def test_a_higher_minor_version_is_ignored() -> None:
    """RFC 7296 section 2.5."""
    server, peer = Server(), Initiator()
    request = bent(peer.init(), 17, 0x21)
    assert decode_header(server.answer(request, peer)).version == 0x20


def test_unknown_payloads_and_notifications_are_skipped() -> None:
    """RFC 7296 sections 2.5 and 3.10.1."""
    server, peer = Server(), Initiator()
    payloads: list[Payload] = [
        Notify(40000, b"?"),
        UnknownPayload(200, critical=False, body=b"?"),
        *peer.init_payloads(),
    ]
    assert peer.accept(server.answer(peer.init(payloads=payloads), peer))


# --- retransmission -----------------------------------------------------------------------------


def test_a_retransmitted_request_gets_the_identical_response() -> None:
    """RFC 7296 section 2.1."""
    server, peer = Server(), Initiator()
    request = peer.init()
    first = server.answer(request, peer)
    again = server.receive(request, peer)
    assert [t.octets for t in again.transmits] == [first]
    assert again.events == []
    assert server.engine.ike_sas.half_open == 1


def test_another_request_with_the_same_spi_changes_nothing() -> None:
    server, peer = Server(), Initiator()
    response = server.answer(peer.init(), peer)
    request = peer.request_octets
    peer.ni = os.urandom(32)
    assert dropped(server.receive(peer.init(), peer)) is DropReason.REPLAY
    peer.ni = next(p.data for p in decode_plain(request)[1] if isinstance(p, Nonce))
    peer.request_octets = request
    peer.accept(response)
    assert peer.read(server.answer(peer.auth(), peer))


def test_the_same_spi_from_elsewhere_is_another_peer() -> None:
    server, peer, other = Server(), Initiator(), Initiator(host="10.0.0.2")
    other.spi_i = peer.spi_i
    assert peer.meet(server).spi_r != other.meet(server).spi_r


def test_a_peer_that_never_goes_on_is_forgotten() -> None:
    server, peer = Server(), Initiator()
    peer.meet(server)
    assert server.engine.next_timeout == SERVER_SETTINGS.half_open_seconds
    outcome = server.wait(SERVER_SETTINGS.half_open_seconds)
    assert only(outcome, RegistrationAbandoned).cause == "its GSA_AUTH never came"  # type: ignore[attr-defined]
    assert server.forgot_all_peers
    assert dropped(server.receive(peer.auth(), peer)) is DropReason.UNKNOWN_SPI


# --- negotiation --------------------------------------------------------------------------------


def offer_without(kind: TransformType) -> SecurityAssociation:
    (proposal, *_) = SERVER_SETTINGS.ike_proposals.proposals
    transforms = tuple(t for t in proposal.transforms if t.type != kind)
    return SecurityAssociation((Proposal(1, proposal.protocol, b"", transforms),))


@pytest.mark.parametrize("kind", ["ENCR", "PRF", "KE", "KWA"])
def test_an_offer_that_lacks_a_transform_is_refused_by_name(kind: str) -> None:
    """RFC 9838 section 4.5.4: no acceptable KWA, no IKE SA."""
    groups_only = replace(SERVER_SETTINGS, childless=False)
    server, peer = Server(settings=groups_only), Initiator(offer=offer_without(TransformType[kind]))
    outcome = server.receive(peer.init(), peer)
    event = only(outcome, RegistrationRefused)
    assert isinstance(event, RegistrationRefused)
    assert event.notify is NotifyType.NO_PROPOSAL_CHOSEN
    assert f"no {kind}" in event.cause
    assert refusal(server, peer, peer.init()).type == NotifyType.NO_PROPOSAL_CHOSEN


def test_implicit_ivs_are_neither_offered_nor_accepted() -> None:
    """RFC 9838 section 2.7: MUST NOT be used for any G-IKEv2 SA, unicast ones included."""
    known = (*ENCR.values(), *(t for p in DEFAULT_IKE_PROPOSALS.proposals for t in p.transforms))
    assert not any(t.type == TransformType.ENCR and t.id in IMPLICIT_IV for t in known)
    (proposal, *_) = offer_without(TransformType.ENCR).proposals
    for number in IMPLICIT_IV:
        implicit = Transform(TransformType.ENCR, number, 256)
        transforms = (implicit, *proposal.transforms)
        offer = SecurityAssociation((replace(proposal, transforms=transforms),))
        server, peer = Server(), Initiator(offer=offer)
        assert refusal(server, peer, peer.init()).type == NotifyType.NO_PROPOSAL_CHOSEN


def test_a_wrong_guess_of_the_key_exchange_method_is_put_right() -> None:
    """RFC 7296 section 1.2: INVALID_KE_PAYLOAD, then everything again with the wanted method."""
    server, peer = Server(), Initiator()
    peer.use_method(Ke.ECP_256)
    event = only(server.receive(peer.init(), peer), RequestRefused)
    assert isinstance(event, RequestRefused)
    assert "ECP_256" in event.cause
    assert "CURVE25519" in event.cause
    wanted = refusal(server, peer, peer.init())
    assert (wanted.type, wanted.data) == (NotifyType.INVALID_KE_PAYLOAD, b"\x00\x1f")
    peer.use_method(int.from_bytes(wanted.data, "big"))
    assert peer.register(server)


def test_a_method_that_is_not_offered_is_no_reason_to_retry() -> None:
    """The KE payload must be of a method in the offer (RFC 7296 section 3.4)."""
    server = Server()
    peer = Initiator(offer=parse_ike(["aes256gcm16-prfsha256-modp2048-kw256"]))
    peer.use_method(Ke.ECP_256)
    assert refusal(server, peer, peer.init()).data == b"\x00\x0e"


@pytest.mark.parametrize("octets", [1, 31, 33, 256])
def test_a_public_key_of_the_wrong_size_makes_no_state(octets: int) -> None:
    """RFC 7296 section 3.4: the length must fit the method."""
    server, peer = Server(), Initiator()
    payloads = [
        KeyExchange(Ke.CURVE25519, bytes(octets)) if isinstance(p, KeyExchange) else p
        for p in peer.init_payloads()
    ]
    notify = refusal(server, peer, peer.init(payloads=payloads))
    assert notify.type == NotifyType.INVALID_SYNTAX


def test_a_useless_public_key_ends_with_gsa_auth() -> None:
    """RFC 8031 section 5, RFC 6989: no key is ever derived from a small-order point."""
    server, peer = Server(), Initiator()
    good = peer.pair.public
    payloads = [
        KeyExchange(Ke.CURVE25519, bytes(32)) if isinstance(p, KeyExchange) else p
        for p in peer.init_payloads()
    ]
    assert good != bytes(32)
    peer.accept(server.answer(peer.init(payloads=payloads), peer))
    assert dropped(server.receive(peer.auth(), peer)) is DropReason.MALFORMED
    assert server.forgot_all_peers


# --- cookies ------------------------------------------------------------------------------------


def test_a_cookie_shows_that_the_peer_is_where_it_says() -> None:
    """RFC 7296 section 2.6: N(COOKIE), then the same request with it in front."""
    server, peer = Server(settings=COOKIES_ALWAYS), Initiator()
    request = peer.init()
    outcome = server.receive(request, peer)
    assert only(outcome, CookieRequired) == CookieRequired("10.0.0.1:500")
    assert len(outcome.transmits[0].octets) <= len(request), "no amplification"
    cookie = refusal(server, peer, request)
    assert cookie.type == NotifyType.COOKIE
    peer.accept(server.answer(peer.init(cookie=cookie.data), peer))
    assert notifies(peer.read(server.answer(peer.auth(), peer))) == []


@pytest.mark.parametrize("change", ["nonce", "spi", "address", "cookie", "age"])
def test_a_cookie_is_good_for_its_peer_only(change: str) -> None:
    server, peer = Server(settings=COOKIES_ALWAYS), Initiator()
    cookie = refusal(server, peer, peer.init()).data
    if change == "nonce":
        peer.ni = os.urandom(32)
    elif change == "spi":
        peer.spi_i = os.urandom(8)
    elif change == "address":
        peer.path = Path(SERVER, Endpoint("10.0.0.2", 500))
    elif change == "cookie":
        cookie = bytes((cookie[0],)) + os.urandom(len(cookie) - 1)
    else:
        server.now += 1000.0
    again = refusal(server, peer, peer.init(cookie=cookie))
    assert again.type == NotifyType.COOKIE
    assert again.data != cookie


def test_cookies_are_asked_for_only_from_the_threshold_on() -> None:
    server = Server(settings=replace(SERVER_SETTINGS, cookie_threshold=2))
    for number in range(2):
        Initiator(f"gm{number}", port=600 + number).meet(server)
    late = Initiator("late")
    _, payloads = decode_plain(server.answer(late.init(), late))
    assert notifies(payloads) == [NotifyType.COOKIE]
    server.wait(SERVER_SETTINGS.half_open_seconds)
    assert late.meet(server)


def test_a_flood_without_cookies_leaves_nothing() -> None:
    server = Server(settings=COOKIES_ALWAYS)
    for number in range(300):
        peer = Initiator("spoof", host=f"10.9.{number >> 8}.{number & 255}")
        assert server.receive(peer.init(), peer).transmits
    assert server.forgot_all_peers
    assert len(server.engine.ike_sas.timers) == 0


def test_half_open_sas_have_a_limit() -> None:
    server = Server(settings=replace(SERVER_SETTINGS, max_half_open=3))
    for number in range(3):
        Initiator(f"gm{number}", port=600 + number).meet(server)
    late = Initiator("late")
    cookie = cookie_of(server.answer(late.init(), late))
    assert dropped(server.receive(late.init(cookie=cookie), late)) is DropReason.LIMIT
    assert server.engine.ike_sas.half_open == 3


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0x10, 0x30, 0xF5])
def test_another_major_version_is_told_ours(version: int) -> None:
    """RFC 7296 sections 1.5 and 2.5; RFC 9395 for IKEv1."""
    server, peer = Server(), Initiator()
    request = bent(peer.init(), 17, version)
    outcome = server.receive(request, peer)
    (transmit,) = outcome.transmits
    header, payloads = decode_plain(transmit.octets)
    assert notifies(payloads) == [NotifyType.INVALID_MAJOR_VERSION]
    assert (header.version, header.flags, header.message_id) == (0x20, FLAG_RESPONSE, 0)
    assert (header.spi_i, header.exchange) == (peer.spi_i, ExchangeType.IKE_SA_INIT)
    assert len(transmit.octets) <= len(request)
    assert only(outcome, RequestRefused)
    assert server.forgot_all_peers


def test_a_response_or_a_tiny_message_of_another_version_is_not_answered() -> None:
    """Two servers must not talk to each other for ever; nor is a bare header amplified."""
    server, peer = Server(), Initiator()
    response = bent(bent(peer.init(), 17, 0x30), 19, FLAG_RESPONSE)
    assert dropped(server.receive(response, peer)) is DropReason.UNKNOWN_VERSION
    bare = encode_message(peer.spi_i, NO_SPI, 34, FLAG_INITIATOR, 0, ())
    assert dropped(server.receive(bent(bare, 17, 0x30), peer)) is DropReason.UNKNOWN_VERSION


@pytest.mark.parametrize("missing", [SecurityAssociation, KeyExchange, Nonce])
def test_a_request_without_a_needed_payload_is_refused(missing: type) -> None:
    server, peer = Server(), Initiator()
    request = peer.init(payloads=without(peer.init_payloads(), missing))
    assert refusal(server, peer, request).type == NotifyType.INVALID_SYNTAX


def test_a_request_with_a_payload_twice_is_refused() -> None:
    server, peer = Server(), Initiator()
    request = peer.init(payloads=[*peer.init_payloads(), Nonce(bytes(32))])
    assert refusal(server, peer, request).type == NotifyType.INVALID_SYNTAX


def test_an_unknown_critical_payload_is_named() -> None:
    """RFC 7296 section 2.5: the notification data is the payload type, one octet."""
    server, peer = Server(), Initiator()
    strange = UnknownPayload(200, critical=True, body=b"?")
    notify = refusal(server, peer, peer.init(payloads=[strange, *peer.init_payloads()]))
    assert (notify.type, notify.data) == (NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, b"\xc8")


def test_every_truncation_is_dropped_in_silence() -> None:
    """RFC 7296 section 2.21.1: malformed octets in clear are not answered."""
    server, peer = Server(), Initiator()
    request = peer.init()
    for length in range(len(request)):
        cut = request[:length]
        if length >= 28:
            cut = cut[:24] + length.to_bytes(4, "big") + cut[28:]
        outcome = server.receive(cut, peer)
        refused = [t for t in outcome.transmits if decode_plain(t.octets)[0].spi_r == NO_SPI]
        assert outcome.transmits == refused, "only a refusal that keeps no state"
        if not refused:
            assert dropped(outcome) is DropReason.MALFORMED
    assert server.forgot_all_peers


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, None, DropReason.MALFORMED),  # SPIi of zero
        (15, 1, DropReason.MALFORMED),  # a responder SPI already
        (23, 1, DropReason.MALFORMED),  # Message ID 1
        (19, FLAG_INITIATOR | FLAG_RESPONSE, DropReason.WRONG_ROLE),
        (19, 0, DropReason.WRONG_ROLE),
        (18, ExchangeType.GSA_REKEY, DropReason.WRONG_ROLE),
        (18, ExchangeType.GSA_AUTH, DropReason.UNKNOWN_SPI),
        (18, 240, DropReason.UNKNOWN_SPI),
        (27, 0, DropReason.MALFORMED),  # length
    ],
)
def test_a_bent_header_is_dropped(at: int, value: int | None, reason: DropReason) -> None:
    server, peer = Server(), Initiator()
    if value is None:
        peer.spi_i = NO_SPI
    request = peer.init()
    assert dropped(
        server.receive(request if value is None else bent(request, at, value), peer)
    ) is (reason)
    assert server.forgot_all_peers


def test_a_huge_request_makes_no_state() -> None:
    """AUTH signs the request, so it is kept: its size is bounded."""
    server, peer = Server(), Initiator()
    padding = [UnknownPayload(200, critical=False, body=bytes(4096))]
    request = peer.init(payloads=[*peer.init_payloads(), *padding])
    assert dropped(server.receive(request, peer)) is DropReason.OVERSIZED
    assert server.forgot_all_peers


def test_empty_and_tiny_datagrams_are_dropped() -> None:
    server, peer = Server(), Initiator()
    for datagram in (b"", b"\xff", bytes(27), bytes(28), b"GET / HTTP/1.1\r\n\r\n" * 4):
        assert dropped(server.receive(datagram, peer)) is DropReason.MALFORMED
