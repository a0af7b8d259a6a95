"""Rekeying an IKE SA, regular and optimized (RFC 7296 1.3.2, 2.8, 2.18; sa-ts-payloads-opt)."""

from __future__ import annotations

import os
from dataclasses import replace
from hmac import digest

import pytest

from gcks.errors import InvalidKePayload, InvalidSyntax, NoProposalChosen
from gcks.iana import ExchangeType, Ke, Kwa, ProtocolId, TransformType
from gcks.ike import ike_rekey
from gcks.ike.ike_rekey import Parent, RekeyRequest, Successor
from gcks.ike.keywords import parse_ike
from gcks.ike.legality import Contents, Rule, check
from gcks.ike.negotiation import choose, without_kwa
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload, decode_chain, encode_chain
from gcks.wire.sa import SecurityAssociation

CODE = 40_981
ACCEPTED = parse_ike(
    ["aes256gcm16-prfsha256-x25519-ecp256-kw256", "aes128-sha256-prfsha256-modp2048-kw128"]
)
PARENT = Parent(choose(ACCEPTED, ACCEPTED).suite, os.urandom(32))
REQUEST = Rule(ExchangeType.CREATE_CHILD_SA, is_response=False)
RESPONSE = Rule(ExchangeType.CREATE_CHILD_SA, is_response=True)
SPI_I, SPI_R = b"new-spi1", b"new-spi2"


def over_the_wire(rule: Rule, payloads: tuple[Payload, ...]) -> Contents:
    return check(rule, decode_chain(*encode_chain(payloads)))


def begin(*, optimized: bool, accepted: SecurityAssociation = ACCEPTED) -> RekeyRequest:
    return ike_rekey.begin(PARENT, accepted, SPI_I, os.urandom, optimized=optimized)


def rekey(
    request: RekeyRequest, accepted: SecurityAssociation = ACCEPTED, parent: Parent = PARENT
) -> tuple[Successor, Successor]:
    contents = over_the_wire(REQUEST, request.payloads(CODE))
    assert ike_rekey.is_ike_rekey(contents, CODE)
    payloads, theirs = ike_rekey.answer(
        contents, parent, accepted, SPI_R, os.urandom, optimized_rekey=CODE
    )
    ours = ike_rekey.complete(request, over_the_wire(RESPONSE, payloads), parent, CODE)
    return ours, theirs


@pytest.mark.parametrize("optimized", [False, True])
def test_both_sides_come_to_the_same_new_ike_sa(optimized: bool) -> None:
    """RFC 7296 section 2.18; ruling 29: with a GSK_w of its own."""
    ours, theirs = rekey(begin(optimized=optimized))
    assert (ours.initiator, theirs.initiator) == (True, False)
    assert replace(ours, initiator=False) == theirs
    assert (ours.spi_i, ours.spi_r) == (SPI_I, SPI_R)
    assert ours.keys.sk_d != PARENT.sk_d
    assert len(ours.gsk_w) == 32
    assert ours.suite == PARENT.suite


def test_the_key_derivation_is_that_of_rfc_7296_section_2_18() -> None:
    """SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), then prf+ with the new SPIs."""
    request = begin(optimized=False)
    contents = over_the_wire(REQUEST, request.payloads(CODE))
    payloads, made = ike_rekey.answer(
        contents, PARENT, ACCEPTED, SPI_R, os.urandom, optimized_rekey=None
    )
    response = over_the_wire(RESPONSE, payloads)
    nr = response.one(Nonce).data
    shared = request.pair.agree(response.one(KeyExchange).data)
    skeyseed = digest(PARENT.sk_d, shared + request.nonce + nr, "sha256")
    first = digest(skeyseed, request.nonce + nr + SPI_I + SPI_R + b"\x01", "sha256")
    assert made.keys.sk_d == first


def test_an_optimized_rekey_has_neither_sa_payload_nor_spi_field() -> None:
    notify, *rest = begin(optimized=True).payloads(CODE)
    assert notify == Notify(CODE, SPI_I)
    assert [type(one) for one in rest] == [Nonce, KeyExchange]


def test_an_optimized_rekey_that_was_not_negotiated_is_refused() -> None:
    """The initiator then falls back to the regular one."""
    contents = over_the_wire(REQUEST, begin(optimized=True).payloads(CODE))
    with pytest.raises(NoProposalChosen):
        ike_rekey.answer(contents, PARENT, ACCEPTED, SPI_R, os.urandom, optimized_rekey=None)


def test_another_suite_can_be_chosen_by_a_regular_rekey_and_its_method_is_asked_for() -> None:
    """RFC 7296 section 1.3: INVALID_KE_PAYLOAD names the method."""
    accepted = parse_ike(["aes128-sha256-prfsha256-modp2048-kw128"])
    request = begin(optimized=False)
    contents = over_the_wire(REQUEST, request.payloads(CODE))
    with pytest.raises(InvalidKePayload) as refused:
        ike_rekey.answer(contents, PARENT, accepted, SPI_R, os.urandom, optimized_rekey=CODE)
    assert refused.value.data == Ke.MODP_2048.to_bytes(2, "big")
    again = ike_rekey.begin(
        PARENT, ACCEPTED, SPI_I, os.urandom, optimized=False, method=Ke.MODP_2048
    )
    ours, theirs = rekey(again, accepted)
    assert ours.keys == theirs.keys
    assert (ours.suite.ke, ours.suite.kwa) == (Ke.MODP_2048, Kwa.KW_5649_128)


def test_no_common_suite_is_refused() -> None:
    accepted = parse_ike(["chacha20poly1305-prfsha512-ecp384-kw256"])
    contents = over_the_wire(REQUEST, begin(optimized=False).payloads(CODE))
    with pytest.raises(NoProposalChosen):
        ike_rekey.answer(contents, PARENT, accepted, SPI_R, os.urandom, optimized_rekey=CODE)


def test_a_plain_ikev2_sa_is_rekeyed_without_key_wrap() -> None:
    plain = without_kwa(ACCEPTED)
    parent = Parent(choose(plain, plain).suite, os.urandom(32))
    request = ike_rekey.begin(parent, plain, SPI_I, os.urandom, optimized=False)
    kinds = {t.type for p in request.proposals.proposals for t in p.transforms}  # type: ignore[union-attr]
    assert TransformType.KWA not in kinds
    ours, theirs = rekey(request, plain, parent)
    assert ours.keys == theirs.keys
    assert ours.suite.kwa is None


@pytest.mark.parametrize("spi", [b"", b"short", bytes(8), b"nine octet"])
@pytest.mark.parametrize("optimized", [False, True])
def test_a_spi_has_eight_octets_and_is_not_zero(spi: bytes, optimized: bool) -> None:
    """RFC 7296 section 3.3.1."""
    request = replace(begin(optimized=optimized), spi=spi)
    if request.proposals is not None:
        bent = tuple(replace(p, spi=spi) for p in request.proposals.proposals)
        request = replace(request, proposals=SecurityAssociation(bent))
    contents = over_the_wire(REQUEST, request.payloads(CODE))
    with pytest.raises(InvalidSyntax):
        ike_rekey.answer(contents, PARENT, ACCEPTED, SPI_R, os.urandom, optimized_rekey=CODE)


def test_of_two_at_the_same_time_the_one_with_the_lowest_nonce_is_closed() -> None:
    """RFC 7296 section 2.8.1."""
    first, _ = rekey(begin(optimized=False))
    second, _ = rekey(begin(optimized=False))
    low, high = sorted((first, second), key=lambda made: made.lowest_nonce)
    assert ike_rekey.surviving(low, high) is ike_rekey.surviving(high, low) is high


def test_a_child_sa_request_is_no_rekey_of_the_ike_sa() -> None:
    offer = begin(optimized=False).proposals
    assert offer is not None
    esp = SecurityAssociation(tuple(replace(p, protocol=ProtocolId.ESP) for p in offer.proposals))
    contents = over_the_wire(REQUEST, (esp, Nonce(bytes(32))))
    assert not ike_rekey.is_ike_rekey(contents, CODE)
    child = over_the_wire(
        REQUEST, (Notify(16393, b"", 3, b"spi1"), Notify(CODE, b"spi2"), Nonce(bytes(32)))
    )
    assert not ike_rekey.is_ike_rekey(child, CODE)
