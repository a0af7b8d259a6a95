"""SA and SAg payloads, transforms and attributes (RFC 7296 section 3.3)."""

from __future__ import annotations

import pytest

from gcks.errors import WireError
from gcks.iana import Encr, GcAuth, Kwa, ProtocolId, TransformType
from gcks.wire.attribute import MAX_ATTRIBUTES, Attribute, decode_attributes, read_short, short
from gcks.wire.sa import (
    MAX_CACHED_OCTETS,
    MAX_PROPOSALS,
    Proposal,
    SecurityAssociation,
    decode_sa,
)
from gcks.wire.transform import MAX_TRANSFORMS, Transform, encode_transforms, read_transforms

GCM = Transform(TransformType.ENCR, Encr.AES_GCM_16, 256)
KW = Transform(TransformType.KWA, Kwa.KW_5649_256)
ED25519 = bytes.fromhex("300506032b6570")
GCM_OCTETS = "0300000c 01000014 800e0100"
KW_OCTETS = "00000008 0d000003"
BODY = "0000001c 01010002" + GCM_OCTETS + KW_OCTETS


def sa(octets: str) -> SecurityAssociation:
    return decode_sa(bytes.fromhex(octets))


def test_the_octets_of_a_proposal() -> None:
    """RFC 7296 sections 3.3.1, 3.3.2: 3 before another transform, 0 on the last."""
    payload = SecurityAssociation((Proposal(1, ProtocolId.IKE, b"", (GCM, KW)),))
    assert payload.encode() == bytes.fromhex(BODY)
    assert sa(BODY) == payload


def test_two_proposals() -> None:
    """RFC 7296 section 3.3.1: 2 before another proposal, 0 on the last."""
    first = "02000018 01030401 e41b724d" + "0000000c 01000014 800e0100"
    second = "00000014 02030401 e41b724d" + KW_OCTETS
    payload = sa(first + second)
    assert [(p.number, p.spi.hex()) for p in payload.proposals] == [
        (1, "e41b724d"),
        (2, "e41b724d"),
    ]
    assert payload.encode() == bytes.fromhex(first + second)


def test_a_sag_may_number_its_proposals_alike_and_carry_any_spi() -> None:
    """RFC 9838 section 2.3: equal Proposal Num is a set; the GCKS MUST NOT use the SPI fields."""
    body = "02000013 01060301 aabbcc" + KW_OCTETS + "00000010 01030001" + KW_OCTETS
    payload = sa(body)
    assert [(p.number, p.protocol) for p in payload.proposals] == [(1, 6), (1, 3)]
    assert payload.encode() == bytes.fromhex(body)


def test_reserved_octets_are_ignored_and_sent_as_zero() -> None:
    """RFC 7296 sections 3.3.1, 3.3.2."""
    bent = "00ff001c 01010002" + "03ff000c 01ff0014 800e0100" + "00ff0008 0dff0003"
    assert sa(bent) == sa(BODY)
    assert sa(bent).encode() == bytes.fromhex(BODY)


@pytest.mark.parametrize(
    "octets",
    [
        "",
        BODY[:-2],
        BODY + "00",
        "01" + BODY[2:],
        "02" + BODY[2:],
        "03" + BODY[2:],
        BODY.replace("01010002", "01010001"),
        BODY.replace("01010002", "01010003"),
        BODY.replace("01010002", "01010000"),
        BODY.replace("01010002", "0101ff02"),
        BODY.replace("0300000c", "0000000c"),
        BODY.replace("0300000c", "0200000c"),
        BODY.replace("0300000c", "03000007"),
        BODY.replace("0300000c", "03000000"),
        BODY.replace("0300000c", "0300ffff"),
        BODY.replace("00000008 0d", "03000008 0d"),
        BODY.replace("0000001c", "00000007"),
        BODY.replace("0000001c", "00000000"),
        BODY.replace("0000001c", "0000ffff"),
        BODY.replace("0000001c", "0000001b"),
        "00000008 0101ff00",
    ],
    ids=[
        "no proposal",
        "truncated",
        "octets after the last proposal",
        "proposal marked 1",
        "proposal marked as not the last",
        "proposal marked 3",
        "one transform announced",
        "three transforms announced",
        "no transform announced",
        "SPI Size past the proposal",
        "first transform marked as the last",
        "transform marked 2",
        "transform shorter than its header",
        "transform length 0",
        "transform past the proposal",
        "last transform not marked",
        "proposal shorter than its header",
        "proposal length 0",
        "proposal past the payload",
        "proposal cuts its transform",
        "SPI only announced",
    ],
)
def test_a_malformed_sa_is_refused(octets: str) -> None:
    """RFC 7296 sections 3.3.1, 3.3.2: Last Substruc, lengths and counts must agree."""
    with pytest.raises(WireError):
        sa(octets)


@pytest.mark.parametrize(
    "attributes",
    ["800e0100 800e0100", "000e0002 0100", "800e01", "000e0005 01020304", "0012", "80120001",
     "00120000", "00120001aa 00120001aa"],
    ids=["two Key Lengths", "Key Length as TLV", "truncated TV", "past the transform",
         "no value", "Signature Algorithm as TV", "empty Signature Algorithm",
         "two Signature Algorithms"],
)  # fmt: skip
def test_a_malformed_attribute_is_refused(attributes: str) -> None:
    """RFC 7296 section 3.3.5; RFC 9838 section 4.4.2.1.1."""
    value = bytes.fromhex(attributes)
    octets = bytes((0, 0, 0, 8 + len(value), 1, 0, 0, 20)) + value
    with pytest.raises(WireError):
        read_transforms(octets, 0)


def test_gcauth_carries_the_signature_algorithm() -> None:
    """RFC 9838 section 4.4.2.1.1: attribute 18, Type/Length/Value."""
    gcauth = Transform(TransformType.GCAUTH, GcAuth.DIGITAL_SIGNATURE, signature_algorithm=ED25519)
    octets = encode_transforms([gcauth])
    assert octets.hex() == "000000130e00000200120007" + ED25519.hex()
    assert read_transforms(octets, 0) == ((gcauth,), len(octets))


def test_unknown_attributes_survive() -> None:
    """RFC 7296 section 3.3.6: a transform with an unknown attribute is not one we may choose."""
    others = (Attribute(99, b"abc"), short(100, 7))
    transform = Transform(TransformType.ENCR, Encr.AES_CBC, 128, others=others)
    (read,), _ = read_transforms(transform.encode(last=True), 0)
    assert read == transform and read != Transform(TransformType.ENCR, Encr.AES_CBC, 128)


def test_transforms_print_by_name() -> None:
    assert str(GCM) == "ENCR=AES_GCM_16-256"
    assert str(Transform(99, 4)) == "UNASSIGNED_99=4"
    assert str(Transform(TransformType.ENCR, 999)) == "ENCR=UNASSIGNED_999"


# --- limits --------------------------------------------------------------------------


def test_proposals_are_limited() -> None:
    proposal = Proposal(1, ProtocolId.IKE, b"", (KW,))
    assert len(decode_sa(SecurityAssociation((proposal,) * MAX_PROPOSALS).encode()).proposals)
    with pytest.raises(WireError, match="proposals"):
        decode_sa(SecurityAssociation((proposal,) * (MAX_PROPOSALS + 1)).encode())


def test_transforms_are_limited() -> None:
    assert len(read_transforms(encode_transforms([KW] * MAX_TRANSFORMS), 0)[0]) == MAX_TRANSFORMS
    with pytest.raises(WireError, match="transforms"):
        read_transforms(encode_transforms([KW] * (MAX_TRANSFORMS + 1)), 0)


def test_attributes_are_limited() -> None:
    one = short(99, 1).encode()
    assert len(list(decode_attributes(one * MAX_ATTRIBUTES))) == MAX_ATTRIBUTES
    with pytest.raises(WireError, match="attributes"):
        list(decode_attributes(one * (MAX_ATTRIBUTES + 1)))


def test_the_forms_of_an_attribute_are_not_mixed_up() -> None:
    with pytest.raises(WireError, match="short form"):
        read_short(Attribute(14, b"\x01\x00"))


# --- the cache -----------------------------------------------------------------------


def test_equal_bodies_are_read_once() -> None:
    """All members of a group send the same SA."""
    assert sa(BODY) is sa(BODY)


def test_a_large_body_is_not_kept() -> None:
    """Else peers could fill the memory with them."""
    filler = Attribute(99, bytes(MAX_CACHED_OCTETS))
    large = SecurityAssociation((Proposal(1, 1, b"", (Transform(1, 1, others=(filler,)),)),))
    assert decode_sa(large.encode()) == large
    assert decode_sa(large.encode()) is not decode_sa(large.encode())


def test_an_sa_is_a_key_by_its_octets() -> None:
    again = SecurityAssociation(sa(BODY).proposals)
    assert again == sa(BODY) and hash(again) == hash(sa(BODY))
