"""The policy ceiling refuses what a key server must not be able to impose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.crypto.signature import ALGORITHMS
from gcks.group.attribute_rules import TRANSFORMS
from gcks.group.usage import Usage
from gcks.iana import IMPLICIT_IV, Encr, GcAuth, Integ, Kwa, ProtocolId, Sn, TransformType
from gcks.member.ceiling import Ceiling, PolicyUnacceptable, check_policy, supported_transforms
from gcks.member.data_plane import Mode
from gcks.wire.attribute import Attribute
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy, GsaPolicy
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform

GCM = Transform(TransformType.ENCR, Encr.AES_GCM_16, 256)
CBC = Transform(TransformType.ENCR, Encr.AES_CBC, 256)
HMAC = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128)
SN = Transform(TransformType.SN, Sn.UNSPECIFIED_32)
KWA = Transform(TransformType.KWA, Kwa.KW_5649_256)
ED25519 = Transform(
    TransformType.GCAUTH,
    GcAuth.DIGITAL_SIGNATURE,
    signature_algorithm=ALGORITHMS["ed25519"].identifier,
)
IMPLICIT = Transform(TransformType.GCAUTH, GcAuth.IMPLICIT)
PLAIN = Usage()

ESP = GsaPolicy(
    ProtocolId.ESP,
    b"\x00\x00\x01\x00",
    TrafficSelector.any(4, 17),
    TrafficSelector.single("239.1.2.3", 17, 5004),
    (GCM, SN),
    3600,
)
REKEY = GsaPolicy(
    ProtocolId.GIKE_UPDATE,
    b"\x07" * 16,
    TrafficSelector.single("192.0.2.1", 17, 848),
    TrafficSelector.single("239.255.84.8", 17, 848),
    (GCM, KWA, ED25519),
    86400,
)


def transforms(policy: GsaPolicy, *others: Transform) -> GsaPolicy:
    return replace(policy, transforms=others)


def judge(*policies: GsaPolicy, ceiling: Ceiling | None = None, usage: Usage = PLAIN) -> None:
    check_policy(ceiling or Ceiling(), GroupSecurityAssociation(policies), usage)


def refusal(*policies: GsaPolicy, ceiling: Ceiling | None = None) -> str:
    with pytest.raises(PolicyUnacceptable) as caught:
        judge(*policies, ceiling=ceiling)
    return str(caught.value)


def test_an_ordinary_policy_is_accepted() -> None:
    judge(REKEY, ESP, transforms(replace(ESP, spi=b"\0\0\2\0"), CBC, HMAC, SN))


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (transforms(ESP, Transform(TransformType.ENCR, Encr.NULL), HMAC, SN), "NULL"),
        (
            transforms(ESP, Transform(TransformType.ENCR, Encr.NULL_AUTH_AES_GMAC, 256), SN),
            "NULL_AUTH_AES_GMAC",
        ),
        (transforms(ESP, Transform(TransformType.ENCR, Encr.AES_GCM_16_IIV, 256), SN), "IIV"),
        (transforms(ESP, Transform(TransformType.ENCR, Encr.AES_GCM_16, 192), SN), "192"),
        (transforms(ESP, CBC, SN), "no INTEG"),
        (transforms(ESP, CBC, Transform(TransformType.INTEG, Integ.NONE), SN), "no INTEG"),
        (transforms(ESP, GCM, HMAC, SN), "AEAD"),
        (transforms(ESP, GCM), "Sequence Numbers"),
        (transforms(ESP, GCM, Transform(TransformType.SN, Sn.PARTIAL_64)), "Sequence Numbers"),
        (replace(ESP, lifetime_seconds=10**9), "lifetime"),
        (replace(ESP, lifetime_seconds=0), "lifetime"),
        (replace(ESP, destination=TrafficSelector.any(4)), "every address"),
        (replace(ESP, destination=TrafficSelector.single("10.0.0.1", 0, 0)), "destination"),
        (replace(ESP, destination=TrafficSelector.from_network("128.0.0.0/1", 0)), "destination"),
        (replace(ESP, source=TrafficSelector.any(6)), "IP version"),
        (replace(ESP, protocol=ProtocolId.AH), "AH with an encryption"),
        (transforms(replace(ESP, protocol=ProtocolId.AH), SN), "no INTEG"),
        (transforms(REKEY, GCM, ED25519), "no KWA"),
        (transforms(REKEY, GCM, Transform(TransformType.KWA, Kwa.KW_ARX), ED25519), "KW_ARX"),
        (transforms(REKEY, GCM, KWA, IMPLICIT), "implicit"),
        (
            transforms(REKEY, GCM, KWA, replace(ED25519, signature_algorithm=b"\x30\x00")),
            "signature",
        ),
        (replace(REKEY, lifetime_seconds=2**32 - 1), "lifetime"),
        (replace(REKEY, destination=TrafficSelector.single("10.0.0.1", 17, 848)), "multicast"),
        (replace(REKEY, destination=TrafficSelector.single("239.1.1.1", 6, 848)), "multicast"),
        (replace(REKEY, destination=TrafficSelector.single("239.1.1.1", 17, 0)), "multicast"),
        (
            replace(
                REKEY, destination=TrafficSelector.from_network("239.1.1.0/24", 17, 848, 848)
            ),
            "multicast",
        ),
    ],
)  # fmt: skip
def test_what_is_beyond_the_ceiling_is_refused_with_its_reason(
    policy: GsaPolicy, reason: str
) -> None:
    assert reason in refusal(policy)


ODD = Attribute(99, b"\0\0", tv=True)


@pytest.mark.parametrize(
    "policy",
    [
        transforms(ESP, replace(GCM, others=(ODD,)), SN),
        transforms(ESP, GCM, replace(SN, others=(ODD,))),
        transforms(ESP, GCM, replace(SN, key_length=128)),
        transforms(REKEY, GCM, replace(KWA, key_length=128), ED25519),
    ],
)
def test_an_attribute_that_is_not_understood_makes_its_transform_unacceptable(
    policy: GsaPolicy,
) -> None:
    """RFC 9838 section 4.4.2 uses the transforms of RFC 7296 section 3.3.2, 3.3.6."""
    assert "attribute" in refusal(policy)


def test_the_source_of_the_rekey_sa_may_be_a_wildcard() -> None:
    """RFC 9838 section 4.4.2: MAY define wildcard address and port."""
    judge(replace(REKEY, source=TrafficSelector.any(4, 17)), ESP)


def test_null_encryption_is_refused_even_where_configured() -> None:
    null = Transform(TransformType.ENCR, Encr.NULL)
    ceiling = Ceiling(encr=(null,))
    assert "NULL" in refusal(transforms(ESP, null, HMAC, SN), ceiling=ceiling)
    assert not any(
        t.id == Encr.NULL and t.type == TransformType.ENCR
        for proposal in supported_transforms(ceiling).proposals
        for t in proposal.transforms
    )


@pytest.mark.parametrize("number", sorted(IMPLICIT_IV))
def test_implicit_ivs_are_refused_even_where_configured(number: int) -> None:
    """RFC 9838 section 2.7: MUST NOT be used for any G-IKEv2 SA."""
    bits = None if number == Encr.CHACHA20_POLY1305_IIV else 256
    implicit = Transform(TransformType.ENCR, number, bits)
    ceiling = Ceiling(encr=(implicit,))
    assert "IIV" in refusal(transforms(ESP, implicit, SN), ceiling=ceiling)
    assert "IIV" in refusal(transforms(REKEY, implicit, KWA, ED25519), ceiling=ceiling)
    offered = {t for p in supported_transforms(ceiling).proposals for t in p.transforms}
    assert implicit not in offered


def test_everything_is_a_destination_only_where_allowed() -> None:
    everything = replace(ESP, destination=TrafficSelector.any(4))
    assert "every address" in refusal(everything, ceiling=Ceiling(destinations=("0.0.0.0/0",)))
    judge(everything, ceiling=Ceiling(allow_any_destination=True))


def test_sources_modes_and_rekey_networks_are_bounded() -> None:
    assert "source" in refusal(ESP, ceiling=Ceiling(sources=("192.0.2.0/24",)))
    narrow = Ceiling(rekey_destinations=("239.255.85.0/24",))
    assert "rekey destination" in refusal(REKEY, ceiling=narrow)
    with pytest.raises(PolicyUnacceptable, match="transport mode"):
        judge(ESP, ceiling=Ceiling(modes=frozenset({Mode.TUNNEL})), usage=Usage("transport"))


def test_the_number_of_sas_is_bounded_those_held_included() -> None:
    many = tuple(replace(ESP, spi=number.to_bytes(4, "big")) for number in range(1, 4))
    ceiling = Ceiling(max_data_sas=3)
    check_policy(ceiling, GroupSecurityAssociation(many), PLAIN)
    with pytest.raises(PolicyUnacceptable, match="more than 3"):
        check_policy(ceiling, GroupSecurityAssociation(many), PLAIN, data_sas_held=1)


def test_delays_are_bounded() -> None:
    gsa = GroupSecurityAssociation((ESP,), GroupWidePolicy(atd_seconds=10, dtd_seconds=65535))
    with pytest.raises(PolicyUnacceptable, match="DTD"):
        check_policy(Ceiling(), gsa, PLAIN)


def test_esp_and_ah_for_one_selector_are_refused() -> None:
    """RFC 9838 section 4.4.2: the GCKS MUST NOT distribute both."""
    ah = transforms(replace(ESP, protocol=ProtocolId.AH, spi=b"\0\0\3\0"), HMAC, SN)
    assert "ESP and AH" in refusal(ESP, ah)


def test_implicit_authentication_is_accepted_only_where_allowed() -> None:
    """RFC 9838 section 2.4.1: NOT RECOMMENDED."""
    judge(
        transforms(REKEY, GCM, KWA, IMPLICIT), ceiling=Ceiling(allow_implicit_authentication=True)
    )


def test_sag_says_what_the_ceiling_accepts() -> None:
    """RFC 9838 section 2.3.3: SPIs empty, one number, KWA for the Rekey SA included."""
    sag = supported_transforms(Ceiling())
    assert {proposal.protocol for proposal in sag.proposals} == {
        ProtocolId.GIKE_UPDATE,
        ProtocolId.ESP,
        ProtocolId.AH,
    }
    assert {(proposal.number, proposal.spi) for proposal in sag.proposals} == {(1, b"")}
    rekey = next(p for p in sag.proposals if p.protocol == ProtocolId.GIKE_UPDATE)
    assert KWA in rekey.transforms
    assert ED25519 in rekey.transforms
    assert all(t.type != TransformType.SN for t in rekey.transforms)


def test_sag_names_only_transform_types_of_each_protocol() -> None:
    """RFC 9838 sections 2.3.3, 4.4.2.1: other transform types SHOULD NOT be included."""
    everything = Ceiling(allow_implicit_authentication=True)
    for proposal in supported_transforms(everything).proposals:
        assert {t.type for t in proposal.transforms} == set(TRANSFORMS[proposal.protocol])


def test_sag_names_only_accepted_protocols() -> None:
    sag = supported_transforms(Ceiling(protocols=frozenset({ProtocolId.ESP})))
    assert ProtocolId.AH not in {proposal.protocol for proposal in sag.proposals}
