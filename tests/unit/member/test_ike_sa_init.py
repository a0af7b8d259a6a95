"""IKE_SA_INIT as the initiator: retries are bounded, the choice must be ours, NAT is noticed."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from gcks.crypto.key_exchange import generate
from gcks.datagrams import Endpoint, Path
from gcks.errors import GcksError
from gcks.iana import Encr, ExchangeType, Ke, Kwa, NotifyType, TransformType
from gcks.ike.nat import address_hash, detection_payloads
from gcks.ike.negotiation import choose
from gcks.member.ike_sa_init import (
    MAX_RETRIES,
    ExchangeFailed,
    IkeSa,
    InitAttempt,
    begin,
    complete,
    read_retry,
    refusal,
)
from gcks.member.settings import DEFAULT_IKE_PROPOSALS as OFFER
from gcks.wire.header import FLAG_RESPONSE
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.message import encode_message
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.transform import Transform
from gcks.wire.unknown import UnknownPayload
from tests.support.plain import decode_plain

PATH = Path(Endpoint("192.0.2.7", 500), Endpoint("192.0.2.1", 500))
SPI_R = b"\x99" * 8


def attempt() -> InitAttempt:
    return begin(OFFER, PATH, os.urandom)


def response(first: InitAttempt, *extra: Payload, source: Endpoint = PATH.remote,
             destination: Endpoint = PATH.local) -> list[Payload]:  # fmt: skip
    """Answer as a server behind no NAT would, unless the addresses say otherwise."""
    own = generate(first.method)
    return [
        choose(OFFER, OFFER).answer,
        KeyExchange(first.method, own.public),
        Nonce(os.urandom(32)),
        *detection_payloads(first.spi_i, SPI_R, source, destination),
        *extra,
    ]


def finish(first: InitAttempt, payloads: list[Payload], spi_r: bytes = SPI_R) -> IkeSa:
    datagram = encode_message(
        first.spi_i, spi_r, ExchangeType.IKE_SA_INIT, FLAG_RESPONSE, 0, payloads
    )
    header, read = decode_plain(datagram)
    return complete(first, datagram, header, read, OFFER, PATH, os.urandom)


def test_the_request_carries_offer_nat_detection_and_hashes() -> None:
    """RFC 7296 sections 1.2, 2.23; RFC 7427 section 4; RFC 9838 section 4.5.4."""
    first = attempt()
    header, payloads = decode_plain(first.request)
    assert (header.exchange, header.message_id) == (ExchangeType.IKE_SA_INIT, 0)
    assert header.from_initiator
    assert not header.is_response
    assert OFFER in payloads
    kwa = {t.id for p in OFFER.proposals for t in p.transforms if t.type == TransformType.KWA}
    assert kwa == {Kwa.KW_5649_128, Kwa.KW_5649_192, Kwa.KW_5649_256}
    types = [one.type for one in payloads if isinstance(one, Notify)]
    assert types == [
        NotifyType.NAT_DETECTION_SOURCE_IP,
        NotifyType.NAT_DETECTION_DESTINATION_IP,
        NotifyType.SIGNATURE_HASH_ALGORITHMS,
        NotifyType.IKEV2_FRAGMENTATION_SUPPORTED,
    ]


def test_a_cookie_comes_first_in_the_same_request() -> None:
    """RFC 7296 section 2.6."""
    first = attempt()
    again = read_retry(first, [Notify(NotifyType.COOKIE, b"c" * 33)], OFFER, PATH)
    assert again is not None
    _, before = decode_plain(first.request)
    _, after = decode_plain(again.request)
    assert after == (Notify(NotifyType.COOKIE, b"c" * 33), *before)


@pytest.mark.parametrize("octets", [0, 65])
def test_a_cookie_has_1_to_64_octets(octets: int) -> None:
    """RFC 7296 section 2.6: the data MUST be between 1 and 64 octets."""
    with pytest.raises(ExchangeFailed, match="cookie"):
        read_retry(attempt(), [Notify(NotifyType.COOKIE, bytes(octets))], OFFER, PATH)


def test_cookies_without_end_are_refused() -> None:
    current = attempt()
    for number in range(MAX_RETRIES):
        following = read_retry(current, [Notify(NotifyType.COOKIE, bytes((number,)))], OFFER, PATH)
        assert following is not None
        current = following
    with pytest.raises(ExchangeFailed, match="one retry after the other"):
        read_retry(current, [Notify(NotifyType.COOKIE, b"again")], OFFER, PATH)


def wanted(method: int) -> Notify:
    return Notify(NotifyType.INVALID_KE_PAYLOAD, method.to_bytes(2, "big"))


def test_invalid_ke_changes_the_method_and_keeps_the_cookie() -> None:
    """RFC 7296 sections 1.2, 2.6.1."""
    with_cookie = read_retry(attempt(), [Notify(NotifyType.COOKIE, b"cookie")], OFFER, PATH)
    assert with_cookie is not None
    again = read_retry(with_cookie, [wanted(Ke.ECP_256)], OFFER, PATH)
    assert again is not None
    _, payloads = decode_plain(again.request)
    assert payloads[0] == Notify(NotifyType.COOKIE, b"cookie")
    (ke,) = [one for one in payloads if isinstance(one, KeyExchange)]
    assert (ke.method, len(ke.data)) == (Ke.ECP_256, 64)
    assert (again.spi_i, again.nonce) == (with_cookie.spi_i, with_cookie.nonce)


@pytest.mark.parametrize("data", [b"\x00\x01", b"\x00\x20", b"", b"\x00", b"\x00\x00\x13"])
def test_only_offered_methods_are_followed(data: bytes) -> None:
    """A weak method can't be forced upon us."""
    with pytest.raises(ExchangeFailed, match="key exchange method"):
        read_retry(attempt(), [Notify(NotifyType.INVALID_KE_PAYLOAD, data)], OFFER, PATH)


def test_methods_dont_go_back_and_forth() -> None:
    first = attempt()
    second = read_retry(first, [wanted(Ke.ECP_256)], OFFER, PATH)
    assert second is not None
    with pytest.raises(ExchangeFailed):
        read_retry(second, [wanted(Ke.CURVE25519)], OFFER, PATH)


def test_a_refusal_is_explained() -> None:
    found = refusal([Notify(NotifyType.NO_PROPOSAL_CHOSEN)])
    assert found is not None
    assert "NO_PROPOSAL_CHOSEN" in found.cause
    assert "Key Wrap Algorithm" in found.hint
    assert refusal([Notify(NotifyType.NAT_DETECTION_SOURCE_IP, bytes(20))]) is None


def test_completion_gives_keys_and_a_gsk_w_of_the_kwa_size() -> None:
    """RFC 9838 section 3.1.1."""
    first = attempt()
    sa = finish(first, response(first))
    assert sa.suite.kwa == Kwa.KW_5649_256
    assert len(sa.gsk_w) == 32
    assert not sa.behind_nat


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        (Endpoint("10.9.9.9", 500), PATH.local),
        (PATH.remote, Endpoint("203.0.113.5", 1025)),
        (PATH.remote, Endpoint("192.0.2.7", 1025)),
    ],
)
def test_a_nat_on_either_side_is_noticed(source: Endpoint, destination: Endpoint) -> None:
    """RFC 7296 section 2.23."""
    first = attempt()
    assert finish(first, response(first, source=source, destination=destination)).behind_nat


def test_several_nat_source_addresses_may_be_announced() -> None:
    """RFC 7296 section 2.23: one of several NAT_DETECTION_SOURCE_IP must match."""
    first = attempt()
    right = Notify(
        NotifyType.NAT_DETECTION_SOURCE_IP, address_hash(first.spi_i, SPI_R, PATH.remote)
    )
    payloads = response(first, right, source=Endpoint("10.1.1.1", 500))
    assert not finish(first, payloads).behind_nat


def test_a_choice_that_was_not_offered_is_a_downgrade() -> None:
    """RFC 7296 section 2.7."""
    first = attempt()
    for change in (
        Transform(TransformType.ENCR, Encr.AES_GCM_16, 192),
        Transform(TransformType.KE, 2),
    ):
        payloads = response(first)
        payloads[0] = _with_transform(choose(OFFER, OFFER).answer, change)
        with pytest.raises(GcksError):
            finish(first, payloads)


def _with_transform(answer: SecurityAssociation, change: Transform) -> SecurityAssociation:
    (proposal,) = answer.proposals
    transforms = tuple(change if t.type == change.type else t for t in proposal.transforms)
    return SecurityAssociation((replace(proposal, transforms=transforms),))


def test_a_choice_without_kwa_is_refused() -> None:
    """RFC 9838 section 4.5.4: the key wrap algorithm MUST be negotiated in IKE_SA_INIT."""
    first = attempt()
    payloads = response(first)
    (proposal,) = choose(OFFER, OFFER).answer.proposals
    transforms = tuple(t for t in proposal.transforms if t.type != TransformType.KWA)
    payloads[0] = SecurityAssociation((Proposal(1, 1, b"", transforms),))
    with pytest.raises(GcksError):
        finish(first, payloads)


@pytest.mark.parametrize("kind", [SecurityAssociation, KeyExchange, Nonce])
def test_every_payload_must_be_there_once(kind: type) -> None:
    """RFC 7296 section 1.2."""
    first = attempt()
    full = response(first)
    with pytest.raises(GcksError):
        finish(first, [one for one in full if not isinstance(one, kind)])
    with pytest.raises(GcksError):
        finish(first, [*full, *(one for one in full if isinstance(one, kind))])


def test_another_method_than_ours_is_refused() -> None:
    first = attempt()
    payloads = response(first)
    payloads[1] = KeyExchange(Ke.ECP_256, generate(Ke.ECP_256).public)
    with pytest.raises(ExchangeFailed, match="another key exchange method"):
        finish(first, payloads)


def test_an_unknown_critical_payload_is_refused_a_harmless_one_skipped() -> None:
    """RFC 7296 section 2.5."""
    first = attempt()
    finish(first, response(first, UnknownPayload(200, critical=False, body=b"x")))
    with pytest.raises(GcksError):
        finish(first, response(first, UnknownPayload(200, critical=True, body=b"x")))


def test_a_bad_public_key_is_refused() -> None:
    """RFC 8031 section 2: the all-zero result."""
    first = attempt()
    payloads = response(first)
    payloads[1] = KeyExchange(first.method, bytes(32))
    with pytest.raises(GcksError):
        finish(first, payloads)


def test_a_zero_responder_spi_is_refused() -> None:
    first = attempt()
    with pytest.raises(ExchangeFailed, match="SPI"):
        finish(first, response(first), spi_r=bytes(8))


def test_no_secret_is_printed() -> None:
    first = attempt()
    sa = finish(first, response(first))
    shown = repr(sa)
    for secret in (sa.gsk_w, sa.keys.sk_d, sa.keys.sk_ei):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
