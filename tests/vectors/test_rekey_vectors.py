"""GSA_REKEY messages against ../shared/vectors/rekey.json, both directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gcks.crypto.encr import Cipher, make_cipher
from gcks.crypto.key_wrap import unwrap
from gcks.crypto.signature import ALGORITHMS, SigningKey
from gcks.errors import Discard, DropReason
from gcks.group.attribute_rules import check_rekey
from gcks.group.rekey_message import (
    Signer,
    build_chain,
    build_rekey,
    chunk_a,
    envelope,
)
from gcks.iana import GcAuth, TransformType
from gcks.ike.protect import seal_chain
from gcks.wire.authentication import Authentication, decode_digital_signature
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.header import decode_header
from gcks.wire.kd import KeyDownload
from gcks.wire.payloads import Payload, decode_chain
from gcks.wire.transform import Transform
from tests.support.rekey_opening import open_fragments, open_rekey

VECTORS = Path(__file__).parent / "data"
REKEYS = json.loads((VECTORS / "rekey.json").read_text())["vectors"]
WHOLE = [vector for vector in REKEYS if len(vector["datagrams"]) == 1]
SIGNED = [vector for vector in WHOLE if vector["signature"]]
(FRAGMENTED,) = [vector for vector in REKEYS if len(vector["datagrams"]) > 1]


def named(vectors: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", vectors, ids=lambda v: v["title"])


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def cipher_of(vector: dict[str, Any]) -> Cipher:
    inputs = vector["inputs"]
    keys = octets(inputs["GSK_e"]), octets(inputs["GSK_a"])
    return make_cipher(inputs["encr"], inputs["integ"], *keys)


def signer_of(vector: dict[str, Any]) -> Signer | None:
    seed = octets(vector["inputs"]["private_key"])
    if not seed:
        return None
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(seed))
    return Signer(key, ALGORITHMS["ed25519"])


def gcauth_of(vector: dict[str, Any]) -> Transform:
    identifier = octets(vector["inputs"]["signature_algorithm_identifier"])
    method = GcAuth.DIGITAL_SIGNATURE if identifier else GcAuth.IMPLICIT
    return Transform(TransformType.GCAUTH, method, signature_algorithm=identifier)


def auth_key_of(vector: dict[str, Any]) -> bytes | None:
    return octets(vector["inputs"]["auth_key_spki"]) or None


def payloads_of(vector: dict[str, Any]) -> tuple[Payload, ...]:
    found: list[Payload] = []
    for payload in vector["inputs"]["payloads"]:
        body = octets(payload["body"])
        header = bytes((0, 0)) + (len(body) + 4).to_bytes(2, "big")
        found += decode_chain(payload["type"], header + body)
    return tuple(found)


def head_of(vector: dict[str, Any]) -> Any:
    return envelope(octets(vector["inputs"]["rekey_spi"]), vector["inputs"]["message_id"])


def opened(vector: dict[str, Any], datagram: bytes) -> tuple[Payload, ...]:
    header = decode_header(datagram)
    return open_rekey(datagram, header, cipher_of(vector), gcauth_of(vector), auth_key_of(vector))


# --- building --------------------------------------------------------------------------


@named(REKEYS)
def test_the_inner_payloads_and_what_is_signed(vector: dict[str, Any]) -> None:
    """RFC 9838 section 2.4.1.1: chunks A and P with adjusted lengths (rulings 2, 32)."""
    first, chain = build_chain(head_of(vector), payloads_of(vector), signer_of(vector))
    assert first == vector["first_inner_payload"]
    assert chain.hex() == vector["inner_payloads"]
    signature = octets(vector["signature"])
    zeroed = chain[: len(chain) - len(signature)] + bytes(len(signature))
    assert zeroed.hex() == vector["chunk_P"]
    assert chunk_a(head_of(vector), first, 0, len(zeroed)).hex() == vector["chunk_A"]


@named(WHOLE)
def test_a_message_is_built_to_the_octet(vector: dict[str, Any]) -> None:
    """RFC 9838 section 2.4.1; all flags clear (ruling 10)."""
    iv = octets(vector["inputs"]["ivs"][0])
    (datagram,) = build_rekey(
        cipher_of(vector), iter([iv]), head_of(vector), payloads_of(vector), signer_of(vector)
    )
    assert datagram.hex() == vector["datagrams"][0]
    header = decode_header(datagram)
    assert (header.exchange, header.flags) == (
        vector["inputs"]["exchange"],
        vector["inputs"]["flags"],
    )


def test_fragments_are_built_to_the_octet() -> None:
    """RFC 9838 section 2.4.1.2: the signature covers the whole message."""
    built = build_rekey(
        cipher_of(FRAGMENTED),
        iter([octets(iv) for iv in FRAGMENTED["inputs"]["ivs"]]),
        head_of(FRAGMENTED),
        payloads_of(FRAGMENTED),
        signer_of(FRAGMENTED),
        max_octets=max(len(octets(one)) for one in FRAGMENTED["datagrams"]),
    )
    assert [one.hex() for one in built] == FRAGMENTED["datagrams"]


# --- opening ---------------------------------------------------------------------------


@named(WHOLE)
def test_a_message_opens_to_its_payloads(vector: dict[str, Any]) -> None:
    """RFC 9838 section 2.4.1.4; the new ESP key comes out of the KD payload."""
    check_content(vector, opened(vector, octets(vector["datagrams"][0])))


def test_fragments_open_to_the_payloads() -> None:
    """RFC 9838 section 2.4.1.2, ruling 21."""
    datagrams = [octets(one) for one in FRAGMENTED["datagrams"]]
    found = open_fragments(
        datagrams, cipher_of(FRAGMENTED), gcauth_of(FRAGMENTED), auth_key_of(FRAGMENTED)
    )
    check_content(FRAGMENTED, found)


def check_content(vector: dict[str, Any], found: tuple[Payload, ...]) -> None:
    inputs = vector["inputs"]
    wanted = payloads_of(vector)
    assert found[: len(wanted)] == wanted
    gsa, kd, delete = found[:3]
    assert isinstance(gsa, GroupSecurityAssociation) and isinstance(kd, KeyDownload)
    assert isinstance(delete, Delete) and delete.spis == (octets(inputs["esp_spi_old"]),)
    check_rekey(gsa, kd)
    key = unwrap(octets(inputs["GSK_w"]), kd.group_bags[0].sa_keys[0].encrypted_key)
    assert key.hex() == inputs["esp_keymat"]
    if vector["signature"]:
        auth = found[-1]
        assert isinstance(auth, Authentication)
        assert decode_digital_signature(auth.data).signature.hex() == vector["signature"]
    else:
        assert len(found) == len(wanted)


# --- what is not to be trusted -----------------------------------------------------------


@named(WHOLE)
def test_any_changed_octet_is_noticed(vector: dict[str, Any]) -> None:
    """RFC 9838 section 2.4.1.4: integrity first; nothing changes on failure."""
    datagram = octets(vector["datagrams"][0])
    for place in range(len(datagram)):
        if 24 <= place < 28:  # the length field: the header decoder's
            continue
        changed = datagram[:place] + bytes((datagram[place] ^ 1,)) + datagram[place + 1 :]
        with pytest.raises(Discard):
            opened(vector, changed)


@named(SIGNED)
def test_a_member_cannot_forge_what_is_signed(vector: dict[str, Any]) -> None:
    """RFC 9838 section 4.4.2.1.1: the group's keys are not the GCKS's signature."""
    other = Signer(SigningKey.generate("ed25519"), ALGORITHMS["ed25519"])
    iv = octets(vector["inputs"]["ivs"][0])
    for signer in (other, None):
        (forged,) = build_rekey(
            cipher_of(vector), iter([iv]), head_of(vector), payloads_of(vector), signer
        )
        with pytest.raises(Discard) as caught:
            opened(vector, forged)
        assert caught.value.reason is DropReason.BAD_SIGNATURE


@named(SIGNED)
def test_the_signature_covers_the_message_id(vector: dict[str, Any]) -> None:
    """RFC 9838 section 2.4.1.1: chunk A begins with the IKE header."""
    first, chain = build_chain(head_of(vector), payloads_of(vector), signer_of(vector))

    later = head_of(vector)._replace(message_id=vector["inputs"]["message_id"] + 1)
    moved = seal_chain(cipher_of(vector), octets(vector["inputs"]["ivs"][0]), later, first, chain)
    with pytest.raises(Discard) as caught:
        opened(vector, moved)
    assert caught.value.reason is DropReason.BAD_SIGNATURE


def test_auth_under_implicit_authentication_is_refused() -> None:
    """RFC 9838 section 4.4.2.1.1: AUTH MUST NOT be included."""
    (implicit,) = [vector for vector in WHOLE if not vector["signature"]]
    signed = SIGNED[0]
    with pytest.raises(Discard) as caught:
        opened(implicit, octets(signed["datagrams"][0]))
    assert caught.value.reason is DropReason.BAD_SIGNATURE


@pytest.mark.parametrize("drop", [0, 1, 2])
def test_an_incomplete_set_of_fragments_is_refused(drop: int) -> None:
    """RFC 7383 section 2.6."""
    datagrams = [octets(one) for one in FRAGMENTED["datagrams"]]
    del datagrams[drop]
    with pytest.raises(Discard):
        open_fragments(
            datagrams, cipher_of(FRAGMENTED), gcauth_of(FRAGMENTED), auth_key_of(FRAGMENTED)
        )
