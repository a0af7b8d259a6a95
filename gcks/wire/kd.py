"""The Key Download payload (RFC 9838 section 4.5).

Group Key Bag (section 4.5.2)            Member Key Bag (section 4.5.3)
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|    Protocol   |   SPI Size    |        |  Protocol = 0 |   RESERVED    |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|            Length             |        |            Length             |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~              SPI              ~        ~ <Member Key Bag Attributes>   ~
~ <Group Key Bag Attributes>    ~        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Wrapped key (section 4.5.4): Key ID (4) | KWK ID (4) | Encrypted Key
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from gcks.errors import WireError
from gcks.iana import GroupKeyBagAttribute, MemberKeyBagAttribute
from gcks.wire.attribute import Attribute, decode_attributes, encode_attributes, read_long
from gcks.wire.gsa import SUBSTRUCTURE, check_spi_size, read_substructure

MAX_KEY_BAGS: Final = 256
SENDER_ID_OCTETS: Final = 4
MAX_SENDER_ID_OCTETS: Final = 8
"""Sent with 4 octets, read with 1 to 8 (ruling 6)."""

_KEY_IDS: Final = Struct(">II")


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A key under a key wrap key; Key ID 0 is SA keying material, KWK ID 0 is GSK_w."""

    key_id: int
    kwk_id: int
    encrypted_key: bytes

    def encode(self) -> bytes:
        """Return the attribute's value: two IDs of 4 octets, the encrypted key."""
        return _KEY_IDS.pack(self.key_id, self.kwk_id) + self.encrypted_key


@dataclass(frozen=True, slots=True)
class GroupKeyBag:
    """The keys of one Rekey SA or Data-Security SA."""

    protocol: int
    spi: bytes
    sa_keys: tuple[WrappedKey, ...]
    others: tuple[Attribute, ...] = ()

    def encode(self) -> bytes:
        """Return the substructure: 4 octets, SPI, attributes."""
        keys = [Attribute(GroupKeyBagAttribute.SA_KEY, key.encode()) for key in self.sa_keys]
        content = self.spi + encode_attributes([*keys, *self.others])
        length = SUBSTRUCTURE.size + len(content)
        return SUBSTRUCTURE.pack(self.protocol, len(self.spi), length) + content


@dataclass(frozen=True, slots=True)
class MemberKeyBag:
    """What is one member's own; `auth_key` is a DER SubjectPublicKeyInfo."""

    wrap_keys: tuple[WrappedKey, ...] = ()
    auth_key: bytes | None = None
    sender_ids: tuple[int, ...] = ()
    others: tuple[Attribute, ...] = ()

    def encode(self) -> bytes:
        """Return the substructure: 4 octets, attributes."""
        kinds = MemberKeyBagAttribute
        known = [Attribute(kinds.WRAP_KEY, key.encode()) for key in self.wrap_keys]
        if self.auth_key is not None:
            known.append(Attribute(kinds.AUTH_KEY, self.auth_key))
        known.extend(
            Attribute(kinds.GM_SENDER_ID, _encode_sender_id(number)) for number in self.sender_ids
        )
        content = encode_attributes([*known, *self.others])
        return SUBSTRUCTURE.pack(0, 0, SUBSTRUCTURE.size + len(content)) + content


@dataclass(frozen=True, slots=True)
class KeyDownload:
    """The Key Download payload: what a GM needs to use the SAs of a GSA payload."""

    group_bags: tuple[GroupKeyBag, ...]
    member_bags: tuple[MemberKeyBag, ...] = ()

    def encode(self) -> bytes:
        """Return the payload body: Group Key Bags first."""
        group = b"".join(bag.encode() for bag in self.group_bags)
        return group + b"".join(bag.encode() for bag in self.member_bags)


def decode_kd(body: bytes) -> KeyDownload:
    """Read the body of a KD payload (RFC 9838 section 4.5): one key bag or more.

    Keys stay wrapped.  Raises `WireError`: a bag that is truncated or runs past the
    body, an SPI of the wrong size, a wrapped key of 8 octets or fewer, a Sender-ID that
    hasn't 1 to 8, two bags for one SA, two AUTH_KEYs, no bag, or more than
    `MAX_KEY_BAGS`.
    """
    group_bags: list[GroupKeyBag] = []
    member_bags: list[MemberKeyBag] = []
    position = 0
    while position < len(body):
        protocol, spi_size, end = read_substructure(body, position)
        content = body[position + SUBSTRUCTURE.size : end]
        if protocol:
            group_bags.append(_decode_group_bag(protocol, spi_size, content))
        else:
            member_bags.append(_decode_member_bag(content))
        if len(group_bags) + len(member_bags) > MAX_KEY_BAGS:
            raise WireError(f"more than {MAX_KEY_BAGS} key bags")
        position = end
    _check_bags(group_bags, member_bags)
    return KeyDownload(tuple(group_bags), tuple(member_bags))


def _check_bags(group_bags: list[GroupKeyBag], member_bags: list[MemberKeyBag]) -> None:
    if not group_bags and not member_bags:
        raise WireError("a Key Download payload without key bags")
    if len({(bag.protocol, bag.spi) for bag in group_bags}) != len(group_bags):
        raise WireError("two Group Key Bags for one SA")
    if sum(bag.auth_key is not None for bag in member_bags) > 1:
        raise WireError("more than one AUTH_KEY (section 4.5.3.2, ruling 15)")


def _decode_group_bag(protocol: int, spi_size: int, content: bytes) -> GroupKeyBag:
    check_spi_size(protocol, spi_size)
    if len(content) < spi_size:
        raise WireError("the SPI runs past its key bag")
    keys: list[WrappedKey] = []
    others: list[Attribute] = []
    for attribute in decode_attributes(content[spi_size:]):
        if attribute.type == GroupKeyBagAttribute.SA_KEY:
            keys.append(_decode_wrapped_key(attribute))
        else:
            others.append(attribute)
    return GroupKeyBag(protocol, content[:spi_size], tuple(keys), tuple(others))


def _decode_member_bag(content: bytes) -> MemberKeyBag:
    wrap_keys: list[WrappedKey] = []
    auth_key: bytes | None = None
    sender_ids: list[int] = []
    others: list[Attribute] = []
    for attribute in decode_attributes(content):
        if attribute.type == MemberKeyBagAttribute.WRAP_KEY:
            wrap_keys.append(_decode_wrapped_key(attribute))
        elif attribute.type == MemberKeyBagAttribute.AUTH_KEY:
            if auth_key is not None:
                raise WireError("two AUTH_KEY attributes in one key bag")
            auth_key = read_long(attribute)
        elif attribute.type == MemberKeyBagAttribute.GM_SENDER_ID:
            sender_ids.append(_decode_sender_id(attribute))
        else:
            others.append(attribute)
    return MemberKeyBag(tuple(wrap_keys), auth_key, tuple(sender_ids), tuple(others))


def _encode_sender_id(number: int) -> bytes:
    """Encode as ruling 6 says; only a number read from a peer can need more octets."""
    small = number < 1 << 8 * SENDER_ID_OCTETS
    return number.to_bytes(SENDER_ID_OCTETS if small else MAX_SENDER_ID_OCTETS, "big")


def _decode_sender_id(attribute: Attribute) -> int:
    value = read_long(attribute)
    if not 1 <= len(value) <= MAX_SENDER_ID_OCTETS:
        raise WireError(f"GM_SENDER_ID of {len(value)} octets")
    return int.from_bytes(value, "big")


def _decode_wrapped_key(attribute: Attribute) -> WrappedKey:
    value = read_long(attribute)
    if len(value) <= _KEY_IDS.size:
        raise WireError("a wrapped key without a key")
    key_id, kwk_id = _KEY_IDS.unpack_from(value)
    return WrappedKey(key_id, kwk_id, value[_KEY_IDS.size :])
