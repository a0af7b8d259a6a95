"""Choosing the IKE SA's algorithms (RFC 7296 sections 2.7, 3.3; RFC 9838 section 4.5.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gcks.errors import NoProposalChosen
from gcks.iana import Encr, Integ, Ke, Kwa, Prf, ProtocolId, TransformType
from gcks.ike.keywords import DEFAULT_IKE, parse_ike, parse_kwa
from gcks.ike.negotiation import check_answer, choose, is_complete
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.transform import Attribute, Transform

GCM = "aes256gcm16-prfsha256-x25519-kw256"
CBC = "aes128-sha256-prfsha256-ecp256-kw128"


def chosen(offer: str, accepted: str) -> tuple[int, int, int, int, int | None]:
    suite = choose(parse_ike(offer.split()), parse_ike(accepted.split())).suite
    return suite.encr, suite.prf, suite.integ, suite.ke, suite.kwa


def refusal(offer: SecurityAssociation, accepted: str = GCM) -> str:
    with pytest.raises(NoProposalChosen) as caught:
        choose(offer, parse_ike(accepted.split()))
    return caught.value.cause


def edited(text: str, *, drop: int | None = None, add: Transform | None = None, **fields: int):  # type: ignore[no-untyped-def]
    """Make an offer of one proposal without a type of transform, or with one more."""
    (proposal,) = parse_ike([text]).proposals
    transforms = tuple(t for t in proposal.transforms if t.type != drop)
    if add is not None:
        transforms += (add,)
    return SecurityAssociation(
        (Proposal(1, fields.get("protocol", ProtocolId.IKE), b"", transforms),)
    )


@pytest.mark.parametrize(
    "read",
    [lambda: parse_kwa("kwarx"), lambda: parse_ike([GCM.replace("kw256", "kwarx")])],
    ids=["of a Rekey SA", "of an IKE proposal"],
)
def test_kw_arx_is_refused_by_configuration_with_the_reason(read: Callable[[], object]) -> None:
    """RFC 9838 section 4.4.2.1.2: KW_ARX."""
    with pytest.raises(ValueError, match="no maintained implementation.*constant-time"):
        read()
    with pytest.raises(ValueError, match="none of kw128"):
        parse_kwa("kw512")


def test_a_peer_that_offers_kw_arx_too_gets_another_key_wrap() -> None:
    """RFC 9838 section 4.5.4: the key wrap algorithm is negotiated; most wanted first or not."""
    arx = Transform(TransformType.KWA, Kwa.KW_ARX)
    for offer in (edited(GCM, add=arx), first(edited(GCM, add=arx))):
        assert choose(offer, parse_ike([GCM])).suite.kwa == Kwa.KW_5649_256


def first(offer: SecurityAssociation) -> SecurityAssociation:
    """Put the last transform of the only proposal first."""
    (proposal,) = offer.proposals
    *others, last = proposal.transforms
    return SecurityAssociation((replace(proposal, transforms=(last, *others)),))


def test_one_transform_of_each_type_is_chosen() -> None:
    assert chosen(GCM, GCM) == (
        Encr.AES_GCM_16,
        Prf.HMAC_SHA2_256,
        Integ.NONE,
        Ke.CURVE25519,
        Kwa.KW_5649_256,
    )


def test_the_answer_holds_the_chosen_transforms_under_the_offers_number() -> None:
    """RFC 7296 section 3.3.1: the number of the accepted proposal."""
    offer = parse_ike(["chacha20poly1305-prfsha256-x25519-kw256", GCM])
    answer = choose(offer, parse_ike([GCM])).answer
    (proposal,) = answer.proposals
    assert (proposal.number, proposal.spi) == (2, b"")
    assert sorted(t.type for t in proposal.transforms) == [
        TransformType.ENCR,
        TransformType.PRF,
        TransformType.KE,
        TransformType.KWA,
    ]
    assert check_answer(offer, answer) == choose(offer, parse_ike([GCM])).suite


def test_the_servers_order_of_proposals_decides() -> None:
    assert chosen(f"{CBC} {GCM}", f"{GCM} {CBC}")[0] == Encr.AES_GCM_16
    assert chosen(f"{GCM} {CBC}", f"{CBC} {GCM}")[0] == Encr.AES_CBC


def test_the_servers_order_of_transforms_decides() -> None:
    assert chosen(
        "aes256gcm16-prfsha256-ecp256-x25519-kw128-kw256",
        "aes256gcm16-prfsha256-x25519-ecp256-kw256-kw128",
    )[3:] == (Ke.CURVE25519, Kwa.KW_5649_256)


def test_the_key_length_is_part_of_the_transform() -> None:
    cause = refusal(parse_ike(["aes128gcm16-prfsha256-x25519-kw256"]))
    assert "ENCR=AES_GCM_16-128" in cause
    assert "accepted ENCR=AES_GCM_16-256" in cause


@pytest.mark.parametrize("kind", ["ENCR", "PRF", "KE", "KWA"])
def test_a_missing_transform_type_is_named(kind: str) -> None:
    """RFC 9838 section 4.5.4: the KWA MUST be negotiated, as any other needed type."""
    assert f"no {kind}" in refusal(edited(GCM, drop=TransformType[kind]))


def test_the_first_mismatch_of_the_closest_proposal_is_named() -> None:
    far = "chacha20poly1305-prfsha512-ecp384-kw128"
    near = "aes256gcm16-prfsha256-x25519-kw128"
    for order in ([far, near], [near, far]):
        assert refusal(parse_ike(order)).startswith("offered KWA=KW_5649_128")


def test_an_offer_for_another_protocol_is_named() -> None:
    assert "ESP" in refusal(edited(GCM, protocol=ProtocolId.ESP))


def test_an_unknown_transform_type_makes_a_proposal_unacceptable() -> None:
    """RFC 7296 section 3.3.6."""
    assert "unknown transform type 77" in refusal(edited(GCM, add=Transform(77, 1)))


def test_an_unknown_transform_attribute_makes_the_transform_unacceptable() -> None:
    """RFC 7296 section 3.3.6: other transforms of that type may still be taken."""
    strange = Transform(
        TransformType.ENCR, Encr.AES_GCM_16, 256, others=(Attribute(4711, b"\0\1"),)
    )
    assert "no ENCR" not in refusal(edited(GCM, drop=TransformType.ENCR, add=strange))
    good = edited(GCM, add=strange)
    assert choose(good, parse_ike([GCM])).suite.encr == Encr.AES_GCM_16


def test_an_unknown_transform_id_is_passed_over() -> None:
    assert choose(edited(GCM, add=Transform(TransformType.KE, 4711)), parse_ike([GCM])).suite


def test_an_additional_key_exchange_is_accepted_only_where_none_is_offered() -> None:
    """RFC 9370 section 2.2.2."""
    addke = TransformType.ADDKE1
    assert "additional key exchange" in refusal(edited(GCM, add=Transform(addke, Ke.ML_KEM_768)))
    offer = edited(GCM, add=Transform(addke, 0))
    answer = choose(offer, parse_ike([GCM])).answer
    assert Transform(addke, 0) in answer.proposals[0].transforms
    assert check_answer(offer, answer)


def test_aead_with_integ_is_refused_and_with_integ_none_accepted() -> None:
    """RFC 5282 section 8, RFC 7296 section 3.3."""
    hmac = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128)
    none = Transform(TransformType.INTEG, Integ.NONE)
    assert "INTEG" in refusal(edited(GCM, add=hmac))
    assert choose(edited(GCM, add=none), parse_ike([GCM])).suite.integ == Integ.NONE


def test_cbc_without_integ_is_refused() -> None:
    assert "no INTEG" in refusal(edited(CBC, drop=TransformType.INTEG), CBC)


def test_nothing_offered_is_refused() -> None:
    assert refusal(SecurityAssociation(())) == "no proposal offered"


def test_defaults_agree_with_themselves() -> None:
    both = " ".join(DEFAULT_IKE)
    assert chosen(both, both)[0] == Encr.AES_GCM_16


# --- the initiator's check -----------------------------------------------------------------


def answered(offer: SecurityAssociation, *proposals: Proposal) -> str:
    with pytest.raises(NoProposalChosen) as caught:
        check_answer(offer, SecurityAssociation(proposals))
    return caught.value.cause


def test_an_answer_must_be_one_proposal() -> None:
    offer = parse_ike([GCM, CBC])
    assert "several" in answered(offer, *offer.proposals)
    assert "several" in answered(offer)


@pytest.mark.parametrize("kind", ["ENCR", "PRF", "KE", "KWA"])
def test_an_incomplete_answer_is_refused(kind: str) -> None:
    offer = parse_ike([GCM])
    assert answered(offer, *edited(GCM, drop=TransformType[kind]).proposals)


def test_an_answer_with_two_of_a_type_is_refused() -> None:
    offer = parse_ike(["aes256gcm16-aes128gcm16-prfsha256-x25519-kw256"])
    assert answered(offer, *offer.proposals)


def test_an_answer_that_was_never_offered_is_refused() -> None:
    offer = parse_ike([GCM])
    assert answered(offer, *parse_ike(["aes128gcm16-prfsha256-x25519-kw256"]).proposals)
    (good,) = offer.proposals
    assert answered(offer, Proposal(7, good.protocol, b"", good.transforms))


def test_an_answer_may_not_mix_aead_and_integ() -> None:
    mixed = edited(GCM, add=Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128))
    assert "INTEG" in answered(mixed, *mixed.proposals)


def test_is_complete_knows_what_a_suite_needs() -> None:
    (gcm,) = parse_ike([GCM]).proposals
    assert is_complete(gcm)
    for kind in ("ENCR", "PRF", "KE", "KWA"):
        assert not is_complete(edited(GCM, drop=TransformType[kind]).proposals[0])
    assert not is_complete(edited(CBC, drop=TransformType.INTEG).proposals[0])
