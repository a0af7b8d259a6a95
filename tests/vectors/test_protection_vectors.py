"""rekey.json, its outer layer: SK and SKF messages sealed and opened octet for octet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gcks.crypto.encr import Cipher, make_cipher
from gcks.crypto.signature import SigningKey, check_auth_key, load_public_key, verify
from gcks.errors import Discard, DropReason, WireError
from gcks.ike.protect import (
    Envelope,
    join_fragments,
    open_chain,
    open_fragment,
    seal_chain,
    seal_fragments,
)
from gcks.wire.header import decode_header

COPIED = Path(__file__).parent / "data"
VECTORS = COPIED if COPIED.is_dir() else Path("/work/shared/vectors")
REKEYS = json.loads((VECTORS / "rekey.json").read_text())["vectors"]
WHOLE = [one for one in REKEYS if len(one["datagrams"]) == 1]
IN_FRAGMENTS = [one for one in REKEYS if len(one["datagrams"]) > 1]
SIGNED = [one for one in REKEYS if one["signature"]]


def titles(one: dict[str, Any]) -> str:
    return str(one["title"])


def cipher_of(one: dict[str, Any]) -> Cipher:
    inputs = one["inputs"]
    keys = bytes.fromhex(inputs["GSK_e"]), bytes.fromhex(inputs["GSK_a"])
    return make_cipher(inputs["encr"], inputs["integ"], *keys)


def envelope_of(one: dict[str, Any]) -> Envelope:
    inputs = one["inputs"]
    spi = bytes.fromhex(inputs["rekey_spi"])
    return Envelope(spi[:8], spi[8:], inputs["exchange"], inputs["flags"], inputs["message_id"])


def datagrams_of(one: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(datagram) for datagram in one["datagrams"]]


@pytest.mark.parametrize("one", WHOLE, ids=titles)
def test_seal(one: dict[str, Any]) -> None:
    (iv,) = one["inputs"]["ivs"]
    chain, first = bytes.fromhex(one["inner_payloads"]), one["first_inner_payload"]
    sealed = seal_chain(cipher_of(one), bytes.fromhex(iv), envelope_of(one), first, chain)
    assert sealed == datagrams_of(one)[0]


@pytest.mark.parametrize("one", WHOLE, ids=titles)
def test_open(one: dict[str, Any]) -> None:
    (datagram,) = datagrams_of(one)
    inner = open_chain(cipher_of(one), datagram, decode_header(datagram))
    assert (inner.first, inner.reserved) == (one["first_inner_payload"], 0)
    assert inner.octets.hex() == one["inner_payloads"]


@pytest.mark.parametrize("one", WHOLE, ids=titles)
def test_every_changed_octet_is_noticed(one: dict[str, Any]) -> None:
    """All from the header to the ICV is protected (RFC 7296 section 3.14, RFC 5282 section 5.1)."""
    (datagram,) = datagrams_of(one)
    cipher = cipher_of(one)
    for place in range(len(datagram)):
        changed = bytearray(datagram)
        changed[place] ^= 1
        with pytest.raises((Discard, WireError)) as caught:
            open_chain(cipher, bytes(changed), decode_header(bytes(changed)))
        if isinstance(caught.value, Discard):
            assert caught.value.reason is DropReason.BAD_INTEGRITY


@pytest.mark.parametrize("one", IN_FRAGMENTS, ids=titles)
def test_seal_in_fragments(one: dict[str, Any]) -> None:
    """RFC 7383 section 2.5."""
    ivs = iter(bytes.fromhex(iv) for iv in one["inputs"]["ivs"])
    chain, first = bytes.fromhex(one["inner_payloads"]), one["first_inner_payload"]
    room = max(map(len, datagrams_of(one)))
    cipher, envelope = cipher_of(one), envelope_of(one)
    sealed = seal_fragments(cipher, lambda: next(ivs), envelope, first, chain, room)
    assert list(sealed) == datagrams_of(one)


@pytest.mark.parametrize("one", IN_FRAGMENTS, ids=titles)
def test_open_and_join_fragments(one: dict[str, Any]) -> None:
    """RFC 7383 section 2.6."""
    cipher = cipher_of(one)
    parts = [open_fragment(cipher, d, decode_header(d)) for d in datagrams_of(one)]
    inner = join_fragments(parts)
    assert inner.first == one["first_inner_payload"]
    assert inner.octets.hex() == one["inner_payloads"]


@pytest.mark.parametrize("one", SIGNED, ids=titles)
def test_signature_over_a_and_p(one: dict[str, Any]) -> None:
    """RFC 9838 section 2.4.1.1: Ed25519 is deterministic, so the value is the vector's."""
    inputs = one["inputs"]
    chunks = bytes.fromhex(one["chunk_A"] + one["chunk_P"])
    identifier, spki = (
        bytes.fromhex(inputs[name]) for name in ("signature_algorithm_identifier", "auth_key_spki")
    )
    prefix = bytes.fromhex("302e020100300506032b657004220420")
    key = SigningKey.from_pkcs8(prefix + bytes.fromhex(inputs["private_key"]))
    assert key.sign(key.algorithm(), chunks).hex() == one["signature"]
    assert key.auth_key(key.algorithm()) == spki
    check_auth_key(spki, identifier)
    verify(load_public_key(spki), identifier, bytes.fromhex(one["signature"]), chunks)
