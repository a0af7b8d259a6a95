"""The Key Download payload (RFC 9838 section 4.5)."""

from __future__ import annotations

import pytest

from gcks.errors import WireError
from gcks.iana import ProtocolId
from gcks.wire.attribute import Attribute, short
from gcks.wire.kd import (
    MAX_KEY_BAGS,
    GroupKeyBag,
    KeyDownload,
    MemberKeyBag,
    WrappedKey,
    decode_kd,
)

KEY = WrappedKey(0, 7, b"encrypted")
ESP = GroupKeyBag(ProtocolId.ESP, b"\xe4\x1brM", (KEY,))
MEMBER = MemberKeyBag((WrappedKey(3, 7, b"wrapped"),), b"SPKI", (3, 4))


def member(*attributes: Attribute) -> MemberKeyBag:
    """Read a Member Key Bag of exactly these attributes."""
    bag = MemberKeyBag(others=attributes)
    return decode_kd(bag.encode()).member_bags[0]


def test_the_octets_of_a_group_key_bag() -> None:
    """RFC 9838 sections 4.5.2, 4.5.4: Key ID, KWK ID, Encrypted Key."""
    octets = "0304001d e41b724d 00010011 00000000 00000007" + b"encrypted".hex()
    assert KeyDownload((ESP,)).encode() == bytes.fromhex(octets)
    assert decode_kd(bytes.fromhex(octets)) == KeyDownload((ESP,))


def test_the_octets_of_a_member_key_bag() -> None:
    """RFC 9838 section 4.5.3; GM_SENDER_ID has 4 octets (ruling 6)."""
    octets = (
        "0000002f 0001000f 00000003 00000007" + b"wrapped".hex()
        + "00020004" + b"SPKI".hex() + "00030004 00000003 00030004 00000004"
    )  # fmt: skip
    assert MEMBER.encode() == bytes.fromhex(octets)
    assert decode_kd(bytes.fromhex(octets)) == KeyDownload((), (MEMBER,))


def test_the_reserved_octet_of_a_member_key_bag_is_ignored() -> None:
    """RFC 9838 section 4.5.3: RESERVED MUST be ignored on receipt."""
    octets = MEMBER.encode()
    assert decode_kd(b"\0\xff" + octets[2:]) == KeyDownload((), (MEMBER,))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_a_sender_id_is_read_from_1_to_8_octets(size: int) -> None:
    """RFC 9838 section 4.5.3.3 gives no size (ruling 6)."""
    assert member(Attribute(3, (200).to_bytes(size, "big"))).sender_ids == (200,)


@pytest.mark.parametrize("attribute", [Attribute(3, b""), Attribute(3, bytes(9)), short(3, 1)])
def test_a_sender_id_of_no_or_too_many_octets_is_refused(attribute: Attribute) -> None:
    with pytest.raises(WireError):
        member(attribute)


def test_several_sender_ids_come_in_one_attribute_each() -> None:
    assert member(Attribute(3, b"\1"), Attribute(3, b"\2")).sender_ids == (1, 2)


def test_auth_key_comes_once() -> None:
    """RFC 9838 section 4.5.3.2: multiple instances MUST NOT be sent (ruling 15)."""
    with pytest.raises(WireError, match="AUTH_KEY"):
        member(Attribute(2, b"a"), Attribute(2, b"a"))
    with pytest.raises(WireError, match="AUTH_KEY"):
        decode_kd(MEMBER.encode() * 2)


@pytest.mark.parametrize("value", [b"", bytes(8)], ids=["empty", "no key"])
def test_a_wrapped_key_without_a_key_is_refused(value: bytes) -> None:
    with pytest.raises(WireError):
        member(Attribute(1, value))
    with pytest.raises(WireError):
        decode_kd(GroupKeyBag(3, bytes(4), (), (Attribute(1, value),)).encode())


def test_keys_in_the_short_form_are_refused() -> None:
    """RFC 9838 sections 4.5.2, 4.5.3: Format TLV."""
    for kind in (1, 2):
        with pytest.raises(WireError, match="long form"):
            member(short(kind, 1))


@pytest.mark.parametrize(
    "octets",
    ["", "06040008e41b724d", "03100014" + "00" * 16, "01080008", "03040004", "03040007e41b72",
     "03040003", "00000003", "0304ffffe41b724d"],
    ids=["empty", "GIKE_UPDATE with 4", "ESP with 16", "IKE", "no SPI", "truncated SPI",
         "length 3", "member length 3", "too long"],
)  # fmt: skip
def test_a_malformed_key_bag_is_refused(octets: str) -> None:
    """RFC 9838 section 4.5.2: 16 octets for GIKE_UPDATE, 4 for AH and ESP."""
    with pytest.raises(WireError):
        decode_kd(bytes.fromhex(octets))


def test_two_bags_for_one_sa_are_refused() -> None:
    with pytest.raises(WireError, match="two Group Key Bags"):
        decode_kd(ESP.encode() * 2)


def test_key_bags_are_limited() -> None:
    bags = tuple(
        GroupKeyBag(3, number.to_bytes(4, "big"), (KEY,)) for number in range(MAX_KEY_BAGS + 1)
    )
    assert len(decode_kd(KeyDownload(bags[:-1]).encode()).group_bags) == MAX_KEY_BAGS
    with pytest.raises(WireError, match="key bags"):
        decode_kd(KeyDownload(bags).encode())


def test_unknown_attributes_survive() -> None:
    others = (Attribute(9, b"abc"), short(10, 1))
    assert member(*others).others == others
    bag = GroupKeyBag(2, bytes(4), (KEY,), others)
    assert decode_kd(bag.encode()).group_bags == (bag,)
