"""The GSA payload (RFC 9838 section 4.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.errors import WireError
from gcks.iana import ProtocolId
from gcks.wire.attribute import Attribute, short
from gcks.wire.gsa import (
    MAX_NEXT_SPIS,
    MAX_POLICIES,
    GroupSecurityAssociation,
    GroupWidePolicy,
    GsaPolicy,
    decode_gsa,
    decode_gsa_policy,
)
from tests.support.gsa_policies import ESP, REKEY, WIDE


def reread(*policies: GsaPolicy, wide: GroupWidePolicy | None = WIDE) -> GroupSecurityAssociation:
    return decode_gsa(GroupSecurityAssociation(policies, wide).encode())


def with_attributes(*attributes: Attribute) -> bytes:
    return replace(ESP, lifetime_seconds=None, others=attributes).encode()


def test_rekey_sas_have_spis_of_16_octets_and_data_security_sas_of_4() -> None:
    """RFC 9838 section 4.4.2."""
    ah = replace(ESP, protocol=ProtocolId.AH)
    assert reread(REKEY, ESP, ah).policies == (REKEY, ESP, ah)


@pytest.mark.parametrize("policy", [REKEY, ESP], ids=["GIKE_UPDATE", "ESP"])
@pytest.mark.parametrize("size", [0, 3, 5, 8, 15, 17])
def test_an_spi_of_another_size_is_refused(policy: GsaPolicy, size: int) -> None:
    with pytest.raises(WireError, match=f"SPI of {size} octets"):
        reread(replace(policy, spi=bytes(size)))


@pytest.mark.parametrize("protocol", [ProtocolId.IKE, 4, 7, 255])
def test_another_protocol_is_refused(protocol: int) -> None:
    with pytest.raises(WireError):
        reread(replace(ESP, protocol=protocol))


def test_the_order_of_policies_survives() -> None:
    assert reread(ESP, REKEY).policies == (ESP, REKEY)


def test_the_group_wide_policy_may_come_first_and_its_reserved_octet_is_ignored() -> None:
    """RFC 9838 section 4.4.3."""
    wide = bytearray(WIDE.encode())
    wide[1] = 0xFF
    gsa = decode_gsa(bytes(wide) + ESP.encode())
    assert gsa == GroupSecurityAssociation((ESP,), WIDE)


def test_a_group_wide_policy_alone_is_refused() -> None:
    """RFC 9838 section 4.4.1: either one GSA KEK or GSA TEK policy MUST be present."""
    with pytest.raises(WireError, match="0 group SA policies"):
        decode_gsa(WIDE.encode())
    with pytest.raises(WireError):
        decode_gsa(b"")


def test_two_rekey_sas_or_two_group_wide_policies_are_refused() -> None:
    """RFC 9838 section 4.4.1: zero or one GSA KEK policy, zero or one GW policy."""
    with pytest.raises(WireError, match="2 of them GIKE_UPDATE"):
        reread(REKEY, replace(REKEY, spi=bytes(16)))
    with pytest.raises(WireError, match="two group-wide"):
        decode_gsa(ESP.encode() + WIDE.encode() * 2)


@pytest.mark.parametrize(
    "attribute",
    [Attribute(1, bytes(3)), Attribute(1, bytes(5)), Attribute(1, b""), short(1, 9),
     Attribute(2, bytes(8)), short(2, 9), Attribute(3, bytes(16)), Attribute(3, b""), short(3, 9)],
    ids=["lifetime 3", "lifetime 5", "lifetime 0", "lifetime TV", "message ID 8", "message ID TV",
         "next SPI 16", "next SPI 0", "next SPI TV"],
)  # fmt: skip
def test_gsa_attributes_of_another_size_or_form_are_refused(attribute: Attribute) -> None:
    """RFC 9838 sections 4.4.2.2.1 to 4.4.2.2.3."""
    with pytest.raises(WireError):
        decode_gsa_policy(with_attributes(attribute))


@pytest.mark.parametrize("kind", [1, 2])
def test_single_valued_gsa_attributes_come_once(kind: int) -> None:
    """RFC 9838 section 4.4.2.2: Multi-Valued NO."""
    once = Attribute(kind, b"\0\0\0\7")
    assert decode_gsa_policy(with_attributes(once))
    with pytest.raises(WireError, match="two GSA_"):
        decode_gsa_policy(with_attributes(once, once))


def test_next_spis_are_many_and_limited() -> None:
    """RFC 9838 section 4.4.2.2.3: Multi-Valued YES."""
    most = tuple(number.to_bytes(4, "big") for number in range(MAX_NEXT_SPIS))
    assert decode_gsa_policy(replace(ESP, next_spis=most).encode()).next_spis == most
    with pytest.raises(WireError):
        decode_gsa_policy(replace(ESP, next_spis=(*most, b"more")).encode())


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_group_wide_attributes_are_short_and_come_once(kind: int) -> None:
    """RFC 9838 section 4.4.3.1: TV, Multi-Valued NO."""
    for others in ((short(kind, 1),) * 2, (Attribute(kind, b"\0\1"),)):
        with pytest.raises(WireError):
            reread(ESP, wide=GroupWidePolicy(others=others))


def test_unknown_attributes_survive() -> None:
    """RFC 9838 section 9.2: 4 is unassigned (ruling 31)."""
    others = (Attribute(4, b"abc"), short(0x7FFF, 1))
    assert decode_gsa_policy(replace(ESP, others=others).encode()).others == others
    assert reread(ESP, wide=replace(WIDE, others=others)).group_wide == replace(WIDE, others=others)


def test_a_policy_without_transforms_or_selectors_is_refused() -> None:
    with pytest.raises(WireError):
        reread(replace(ESP, transforms=()))
    with pytest.raises(WireError):
        decode_gsa(bytes.fromhex("03040008 e41b724d"))


def test_a_security_label_follows_the_destination_selector() -> None:
    """RFC 9838 section 4.4.2, RFC 9478: the octets, and that they read back to themselves."""
    labeled = replace(ESP, label=b"s0:c7\0")
    octets = labeled.encode()
    before, after = octets.split(bytes.fromhex("0a00000a 73303a633700"))
    assert before.endswith(ESP.destination.encode())
    assert after == ESP.encode()[len(before) :]
    assert int.from_bytes(octets[2:4], "big") == len(octets) == len(ESP.encode()) + 10
    assert decode_gsa_policy(octets) == labeled
    assert reread(REKEY, labeled, ESP).policies == (REKEY, labeled, ESP)


def test_a_second_a_misplaced_or_an_overlong_security_label_is_refused() -> None:
    """RFC 9838 section 4.4.2: exactly one source and one destination selector, then the label."""
    label = bytes.fromhex("0a00000573")
    octets = replace(ESP, label=b"s").encode()
    at = octets.index(label)
    between = octets[: at - 40] + label + octets[at - 40 : at] + octets[at + 5 :]
    twice = octets[:2] + (len(octets) + 5).to_bytes(2, "big") + octets[4:at] + label + octets[at:]
    overlong = octets[:at] + bytes.fromhex("0a00ffff73") + octets[at + 5 :]
    for malformed in (between, twice, overlong):
        assert malformed != octets
        with pytest.raises(WireError):
            decode_gsa_policy(malformed)


def test_a_transform_marked_as_not_the_last_is_refused() -> None:
    """RFC 9838 section 4.4.2: set to 3 except for the last Transform Substructure."""
    octets = replace(ESP, lifetime_seconds=None).encode()
    assert octets.endswith(bytes.fromhex("0000000805000002"))
    with pytest.raises(WireError):
        decode_gsa_policy(octets[:-8] + b"\3" + octets[-7:])


@pytest.mark.parametrize("length", [0, 3, 7, 0xFFFF])
def test_a_substructure_length_that_does_not_fit_is_refused(length: int) -> None:
    octets = ESP.encode()
    with pytest.raises(WireError):
        decode_gsa(octets[:2] + length.to_bytes(2, "big") + octets[4:])


def test_policies_are_limited() -> None:
    assert len(reread(*(ESP,) * MAX_POLICIES).policies) == MAX_POLICIES
    with pytest.raises(WireError, match="group SA policies"):
        reread(*(ESP,) * (MAX_POLICIES + 1))
