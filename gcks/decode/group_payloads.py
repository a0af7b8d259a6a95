"""GSA and KD: policies, key bags and which key is wrapped under which (RFC 9838 4.4, 4.5).

Keys themselves are shown only where the reader asked for secrets, and then those
that the key log holds for the SA.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from gcks.crypto.errors import CryptoError
from gcks.crypto.signature import load_public_key
from gcks.decode.fields import (
    count_text,
    label_text,
    octets_text,
    protocol_text,
    selector_text,
    transform_item,
    unknown_attribute,
)
from gcks.decode.model import Context, Item
from gcks.errors import WireError
from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry
from gcks.iana import ProtocolId
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy, GsaPolicy
from gcks.wire.kd import GroupKeyBag, KeyDownload, MemberKeyBag, WrappedKey

_KINDS: Final = {ProtocolId.GIKE_UPDATE: "Rekey SA"}
_DATA_SA: Final = "Data-Security SA"


def gsa_items(gsa: GroupSecurityAssociation, context: Context) -> Iterator[Item]:
    """Explain a GSA payload (section 4.4)."""
    del context
    for policy in gsa.policies:
        kind = _KINDS.get(ProtocolId(policy.protocol), _DATA_SA)
        yield Item(
            f"{kind} policy",
            f"{protocol_text(policy.protocol)}, SPI {policy.spi.hex()}",
            tuple(_policy(policy)),
        )
    if gsa.group_wide is not None:
        yield Item("GW policy", "group-wide", tuple(_group_wide(gsa.group_wide)))


def _policy(policy: GsaPolicy) -> Iterator[Item]:
    yield Item("source", selector_text(policy.source))
    yield Item("destination", selector_text(policy.destination))
    if policy.label:
        yield Item("security label", label_text(policy.label))
    yield from map(transform_item, policy.transforms)
    if policy.lifetime_seconds is not None:
        yield Item("GSA_KEY_LIFETIME", _span(policy.lifetime_seconds))
    if policy.initial_message_id is not None:
        yield Item("GSA_INITIAL_MESSAGE_ID", str(policy.initial_message_id))
    for spi in policy.next_spis:
        yield Item("GSA_NEXT_SPI", spi.hex())
    yield from map(unknown_attribute, policy.others)


def _span(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds} s ({timedelta(seconds=seconds)})"


def _group_wide(wide: GroupWidePolicy) -> Iterator[Item]:
    for name, value, unit in (
        ("GWP_ATD", wide.atd_seconds, " s before a new SA is sent on"),
        ("GWP_DTD", wide.dtd_seconds, " s until a replaced SA goes"),
        ("GWP_SENDER_ID_BITS", wide.sender_id_bits, " bits of the IV"),
    ):
        if value is not None:
            yield Item(name, f"{value}{unit}")
    yield from map(unknown_attribute, wide.others)


def kd_items(kd: KeyDownload, context: Context) -> Iterator[Item]:
    """Explain a KD payload (section 4.5)."""
    for bag in kd.group_bags:
        yield _group_bag(bag, context)
    for member in kd.member_bags:
        yield Item("Member Key Bag", "", tuple(_member_bag(member, context)))


def _group_bag(bag: GroupKeyBag, context: Context) -> Item:
    known = context.keys.get((bag.protocol, bag.spi))
    items = [_wrapped("SA_KEY", key, context) for key in bag.sa_keys]
    items += map(unknown_attribute, bag.others)
    if known is not None:
        items += _keys(known, context)
    return Item(
        "Group Key Bag", f"{protocol_text(bag.protocol)}, SPI {bag.spi.hex()}", tuple(items)
    )


def _wrapped(name: str, key: WrappedKey, context: Context) -> Item:
    """Section 4.5.4: Key ID 0 is keying material of an SA, KWK ID 0 is GSK_w."""
    what = f"Key ID {key.key_id}" if key.key_id else "keying material"
    under = f"KWK ID {key.kwk_id}" if key.kwk_id else "GSK_w"
    text = f"{what} under {under}, {count_text(key.encrypted_key)} wrapped"
    shown = (Item("wrapped", key.encrypted_key.hex()),) if context.show_secrets else ()
    return Item(name, text, shown)


def _keys(known: GroupSaKeyLogEntry, context: Context) -> Iterator[Item]:
    yield Item("key log", f"holds the keys of this SA of {known.group}")
    if not context.show_secrets:
        return
    rekey = known.protocol == ProtocolId.GIKE_UPDATE
    names = ("GSK_e", "GSK_a", "GSK_w") if rekey else ("encryption", "integrity", "")
    for name, key in zip(names, (known.key_e, known.key_a, known.key_w), strict=True):
        if key:
            yield Item(name, key.hex())


def _member_bag(bag: MemberKeyBag, context: Context) -> Iterator[Item]:
    for key in bag.wrap_keys:
        yield _wrapped("WRAP_KEY", key, context)
    if bag.auth_key is not None:
        yield Item("AUTH_KEY", _public_key(bag.auth_key))
    for number in bag.sender_ids:
        yield Item("GM_SENDER_ID", str(number))
    yield from map(unknown_attribute, bag.others)


def _public_key(spki: bytes) -> str:
    try:
        kind = type(load_public_key(spki)).__name__.removesuffix("PublicKey")
    except (CryptoError, WireError):
        kind = "unreadable key"
    return f"{kind} {octets_text(spki)}"
