"""The layout of KD payloads: data/kd.json, read by hand as RFC 9838 section 4.5 draws it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gcks.errors import WireError
from gcks.iana import ProtocolId
from gcks.wire.kd import GroupKeyBag, KeyDownload, MemberKeyBag, WrappedKey, decode_kd
from gcks.wire.payloads import decode_chain, encode_chain

DATA = Path(__file__).parent / "data"
VECTORS = json.loads((DATA / "kd.json").read_text())["vectors"]
by_title = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["title"])
WRAPPED_32_OCTETS = 40
"""RFC 5649 adds 8 octets to a key of 32."""

Layout = tuple[list[tuple[int, list[tuple[int, int]]]], list[tuple[int, int]], bool, list[int]]
LAYOUTS: dict[str, Layout] = {
    # SA bags: protocol and (Key ID, KWK ID); WRAP_KEYs; AUTH_KEY; Sender-IDs
    "simple": ([(6, [(0, 0)]), (3, [(0, 0)])], [], True, [3]),
    "A.2": ([(6, [(0, 1)]), (3, [(0, 0)])], [(1, 3), (3, 7), (7, 0)], True, []),
    "A.4": ([(6, [(0, 1), (0, 15)])], [(15, 6), (15, 16), (16, 11)], False, []),
}


def decoded(vector: dict[str, Any]) -> KeyDownload:
    payload = bytes.fromhex(vector["output"]["payload_if_last"])
    (kd,) = decode_chain(vector["output"]["payload_type"], payload)
    assert isinstance(kd, KeyDownload)
    return kd


def ids(keys: tuple[WrappedKey, ...]) -> list[tuple[int, int]]:
    return [(key.key_id, key.kwk_id) for key in keys]


@by_title
def test_the_layout(vector: dict[str, Any]) -> None:
    """RFC 9838 sections 4.5.2 to 4.5.4 and appendix A."""
    bags, wraps, authenticated, sender_ids = next(
        layout for word, layout in LAYOUTS.items() if word in vector["title"]
    )
    kd = decoded(vector)
    assert [(bag.protocol, ids(bag.sa_keys)) for bag in kd.group_bags] == bags
    (member,) = kd.member_bags
    assert ids(member.wrap_keys) == wraps
    assert {len(key.encrypted_key) for key in member.wrap_keys} <= {WRAPPED_32_OCTETS}
    assert (member.auth_key is not None, list(member.sender_ids)) == (authenticated, sender_ids)
    assert not member.others and not any(bag.others for bag in kd.group_bags)


@by_title
def test_the_inputs_stand_in_the_payload(vector: dict[str, Any]) -> None:
    inputs, kd = vector["inputs"], decoded(vector)
    names = {ProtocolId.GIKE_UPDATE: "rekey_spi", ProtocolId.ESP: "esp_spi"}
    for bag in kd.group_bags:
        assert bag.spi.hex() == inputs[names[ProtocolId(bag.protocol)]]
    (member,) = kd.member_bags
    assert (member.auth_key.hex() if member.auth_key else None) == inputs.get("auth_key_spki")


@by_title
def test_records_made_anew_encode_to_the_vector(vector: dict[str, Any]) -> None:
    """Order of bags: groups, member; of attributes: WRAP_KEY, AUTH_KEY, GM_SENDER_ID."""
    kd = decoded(vector)
    (member,) = kd.member_bags
    anew = KeyDownload(
        tuple(GroupKeyBag(bag.protocol, bag.spi, bag.sa_keys) for bag in kd.group_bags),
        (MemberKeyBag(member.wrap_keys, member.auth_key, member.sender_ids),),
    )
    assert anew.encode().hex() == vector["output"]["body"]
    assert encode_chain([anew])[1].hex() == vector["output"]["payload_if_last"]


@by_title
def test_a_truncated_vector_is_a_shorter_payload_or_refused(vector: dict[str, Any]) -> None:
    body, kd = bytes.fromhex(vector["output"]["body"]), decoded(vector)
    ends, position = set(), 0
    for bag in (*kd.group_bags, *kd.member_bags):
        position += len(bag.encode())
        ends.add(position)
    assert position == len(body)
    for end in range(len(body)):
        if end in ends:
            assert decode_kd(body[:end]) != kd
        else:
            with pytest.raises(WireError):
                decode_kd(body[:end])
