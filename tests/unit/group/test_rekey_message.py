"""GSA_REKEY messages beyond the vectors: every signature, every cipher, hostile content."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from gcks.crypto.signature import ALGORITHMS, SigningKey
from gcks.errors import Discard, DropReason, LocalError, WireError
from gcks.group.key_download import RekeyKeys, key_sizes, rekey_keys
from gcks.group.rekey_message import (
    Signer,
    build_chain,
    build_rekey,
    chunk_a,
    envelope,
    rekey_cipher,
)
from gcks.iana import AuthMethod, Encr, GcAuth, Integ, Kwa, ProtocolId, TransformType
from gcks.ike.protect import seal_chain
from gcks.keyserver.groups.policy import SIGNATURE_ALGORITHM
from gcks.keyserver.groups.sa_set import rekey_gsa_policy
from gcks.wire.authentication import Authentication, DigitalSignature
from gcks.wire.delete import Delete
from gcks.wire.header import decode_header
from gcks.wire.payloads import Payload, encode_chain
from gcks.wire.transform import Transform
from tests.support.group_stage import CBC, GCM, HMAC, rekey_sa
from tests.support.rekey_opening import open_fragments, open_rekey

SPI = bytes(range(16))
DELETE = Delete(ProtocolId.ESP, 4, (b"spi1",))
HEAD = envelope(SPI, 7)
GCM_128 = Transform(TransformType.ENCR, Encr.AES_GCM_16, 128)
CHACHA = Transform(TransformType.ENCR, Encr.CHACHA20_POLY1305)
HMAC_512 = Transform(TransformType.INTEG, Integ.HMAC_SHA2_512_256)
SUITES = {
    "gcm-128": (GCM_128,),
    "gcm-256": (GCM,),
    "chacha": (CHACHA,),
    "cbc-sha256": (CBC, HMAC),
    "cbc-sha512": (CBC, HMAC_512),
}
KWA = Transform(TransformType.KWA, Kwa.KW_5649_256)


@pytest.fixture(scope="module")
def keys() -> dict[str, SigningKey]:
    return {kind: SigningKey.generate(kind) for kind in SIGNATURE_ALGORITHM}


def signer_for(key: SigningKey, kind: str) -> Signer:
    return Signer(key, ALGORITHMS[SIGNATURE_ALGORITHM[kind]])


def gcauth_for(signer: Signer | None) -> Transform:
    if signer is None:
        return Transform(TransformType.GCAUTH, GcAuth.IMPLICIT)
    return Transform(
        TransformType.GCAUTH,
        GcAuth.DIGITAL_SIGNATURE,
        signature_algorithm=signer.algorithm.identifier,
    )


def auth_key_for(signer: Signer | None) -> bytes | None:
    return signer.key.auth_key(signer.algorithm) if signer else None


def cipher_for(*transforms: Transform):  # type: ignore[no-untyped-def]
    e, a, w = key_sizes((*transforms, KWA))
    return rekey_cipher(transforms, RekeyKeys(b"e" * e, b"a" * a, b"w" * w))


CIPHER = cipher_for(GCM)


def opened(datagram: bytes, signer: Signer | None) -> tuple[Payload, ...]:
    return open_rekey(
        datagram, decode_header(datagram), CIPHER, gcauth_for(signer), auth_key_for(signer)
    )


@pytest.mark.parametrize("kind", SIGNATURE_ALGORITHM)
def test_every_signature_verifies(kind: str, keys: dict[str, SigningKey]) -> None:
    """RFC 9838 section 2.4.1.1; ruling 2: sizes stay what was signed, again and again."""
    signer = signer_for(keys[kind], kind)
    sizes = set()
    for number in range(8):
        (datagram,) = build_rekey(
            CIPHER, iter([os.urandom(8)]), envelope(SPI, number), (DELETE,), signer
        )
        sizes.add(len(datagram))
        assert opened(datagram, signer)[0] == DELETE
    assert len(sizes) == 1


@pytest.mark.parametrize("kind", SIGNATURE_ALGORITHM)
def test_another_key_of_the_same_kind_does_not_verify(
    kind: str, keys: dict[str, SigningKey]
) -> None:
    """RFC 9838 section 2.4.1.4."""
    if kind == "rsa-pss":
        other = signer_for(keys["ed25519"], "ed25519")
    else:
        other = signer_for(SigningKey.generate(kind), kind)
    (datagram,) = build_rekey(
        CIPHER, iter([bytes(8)]), HEAD, (DELETE,), signer_for(keys[kind], kind)
    )
    with pytest.raises(Discard) as caught:
        opened(datagram, other)
    assert caught.value.reason is DropReason.BAD_SIGNATURE


@pytest.mark.parametrize("transforms", SUITES.values(), ids=SUITES)
def test_every_cipher_carries_a_message(
    transforms: tuple[Transform, ...], keys: dict[str, SigningKey]
) -> None:
    """RFC 9838 section 2.4.1.1: A and P don't depend on IV, padding and ICV."""
    cipher, signer = cipher_for(*transforms), signer_for(keys["ed25519"], "ed25519")
    iv = os.urandom(cipher.iv_octets)
    (datagram,) = build_rekey(cipher, iter([iv]), HEAD, (DELETE,), signer)
    found = open_rekey(
        datagram, decode_header(datagram), cipher, gcauth_for(signer), auth_key_for(signer)
    )
    assert found[0] == DELETE and isinstance(found[1], Authentication)


def test_fragments_of_any_size_open_again(keys: dict[str, SigningKey]) -> None:
    """RFC 9838 section 2.4.1.2; RFC 7383 section 2.5."""
    signer = signer_for(keys["ed25519"], "ed25519")
    large = Delete(ProtocolId.ESP, 4, tuple(os.urandom(4) for _ in range(300)))
    for limit in (100, 576, 1280):
        ivs = [number.to_bytes(8, "big") for number in range(100)]
        datagrams = build_rekey(CIPHER, iter(ivs), HEAD, (large,), signer, limit)
        assert len(datagrams) > 1 and max(map(len, datagrams)) <= limit
        found = open_fragments(datagrams, CIPHER, gcauth_for(signer), auth_key_for(signer))
        assert found[0] == large


# --- hostile content under the right group key --------------------------------------------


def sealed(payloads: tuple[Payload, ...]) -> bytes:
    first, chain = encode_chain(payloads)
    return seal_chain(CIPHER, bytes(8), HEAD, first, chain)


def refused(datagram: bytes, signer: Signer | None) -> DropReason:
    with pytest.raises(Discard) as caught:
        opened(datagram, signer)
    return caught.value.reason


def test_auth_must_stand_once(keys: dict[str, SigningKey]) -> None:
    """RFC 9838 section 2.4.1: MUST be included where signatures are used."""
    signer = signer_for(keys["ed25519"], "ed25519")
    (datagram,) = build_rekey(CIPHER, iter([bytes(8)]), HEAD, (DELETE,), signer)
    delete, auth = opened(datagram, signer)
    for payloads in ((delete, auth, auth), (delete,)):
        assert refused(sealed(payloads), signer) is DropReason.BAD_SIGNATURE


def signed_in_order(signer: Signer, before: tuple[Payload, ...], after: tuple[Payload, ...]):  # type: ignore[no-untyped-def]
    """Sign A | P with AUTH between other payloads; return the chain's start and its octets."""
    zero = DigitalSignature(signer.algorithm.identifier, bytes(64)).encode_data()
    auth = Authentication(AuthMethod.DIGITAL_SIGNATURE, zero)
    first, chain = encode_chain((*before, auth, *after))
    signature = signer.key.sign(signer.algorithm, chunk_a(HEAD, first, 0, len(chain)) + chain)
    return first, chain.replace(bytes(64), signature, 1)


def test_auth_is_found_wherever_it_stands(keys: dict[str, SigningKey]) -> None:
    """RFC 7296 section 2.5: a message MUST NOT be rejected for the order of its payloads."""
    signer = signer_for(keys["ed25519"], "ed25519")
    for before, after in (((), (DELETE,)), ((DELETE,), (DELETE, DELETE))):
        first, chain = signed_in_order(signer, before, after)
        found = opened(seal_chain(CIPHER, bytes(8), HEAD, first, chain), signer)
        assert [p for p in found if p != DELETE] == [found[len(before)]]
        changed = chain[:-1] + bytes((chain[-1] ^ 1,))  # what follows AUTH is signed too
        forged = seal_chain(CIPHER, bytes(8), HEAD, first, changed)
        assert refused(forged, signer) is DropReason.BAD_SIGNATURE


@pytest.mark.parametrize(
    "data",
    [b"", b"\x07", b"\x07\x30\x05", b"\xff" * 80, bytes(80), b"\x02\x30\x00" + bytes(64)],
    ids=["empty", "length only", "truncated", "long", "zero", "no oid"],
)
def test_auth_data_that_is_no_signature(data: bytes, keys: dict[str, SigningKey]) -> None:
    """RFC 7427 section 3: ASN.1 length, AlgorithmIdentifier, signature."""
    signer = signer_for(keys["ed25519"], "ed25519")
    auth = Authentication(AuthMethod.DIGITAL_SIGNATURE, data)
    assert refused(sealed((DELETE, auth)), signer) in (
        DropReason.BAD_SIGNATURE,
        DropReason.MALFORMED,
    )


def test_another_auth_method_is_refused(keys: dict[str, SigningKey]) -> None:
    """RFC 9838 section 4.4.2.1.1: MUST contain the Digital Signature method (14)."""
    signer = signer_for(keys["ed25519"], "ed25519")
    (datagram,) = build_rekey(CIPHER, iter([bytes(8)]), HEAD, (DELETE,), signer)
    _, auth = opened(datagram, signer)
    assert isinstance(auth, Authentication)
    changed = replace(auth, method=AuthMethod.SHARED_KEY_MIC)
    assert refused(sealed((DELETE, changed)), signer) is DropReason.BAD_SIGNATURE


def test_the_algorithm_must_be_that_of_gcauth(keys: dict[str, SigningKey]) -> None:
    """RFC 9838 section 4.4.2.1.1: MUST match the Signature Algorithm Identifier."""
    signer = signer_for(keys["ecdsa-p256"], "ecdsa-p256")
    (datagram,) = build_rekey(CIPHER, iter([bytes(8)]), HEAD, (DELETE,), signer)
    other = Signer(signer.key, ALGORITHMS["ecdsa-sha384"])
    assert refused(datagram, other) is DropReason.BAD_SIGNATURE


def test_malformed_payloads_under_the_group_key(keys: dict[str, SigningKey]) -> None:
    """Each side must distrust the other: a WireError becomes a counted drop."""
    for chain in (b"", b"\x00", b"\x00\x00\x00\x03", b"\x33\x00\xff\xff"):
        datagram = seal_chain(CIPHER, bytes(8), HEAD, 42, chain)
        assert refused(datagram, signer_for(keys["ed25519"], "ed25519")) is DropReason.MALFORMED


def test_a_rekey_sa_without_a_cipher() -> None:
    with pytest.raises(WireError):
        rekey_cipher((KWA,), RekeyKeys(b"", b"", b""))


def test_keying_material_of_the_wrong_size() -> None:
    """RFC 9838 section 4.5.2.1: the size MUST equal the total size of the keys."""
    policy = rekey_gsa_policy(rekey_sa(), SPI)
    for octets in (0, 67, 69):
        with pytest.raises(LocalError):
            rekey_keys(bytes(octets), policy)
    keys = rekey_keys(bytes(range(68)), policy)
    assert (keys.gsk_e, keys.gsk_a, keys.gsk_w) == (bytes(range(36)), b"", bytes(range(36, 68)))
    assert "gsk" not in repr(keys)


def test_the_chain_of_an_implicit_message_has_no_auth() -> None:
    """RFC 9838 section 2.4.1: MUST NOT be included if authentication is implicit."""
    assert build_chain(HEAD, (DELETE,), None) == encode_chain((DELETE,))
    (datagram,) = build_rekey(CIPHER, iter([bytes(8)]), HEAD, (DELETE,), None)
    assert opened(datagram, None) == (DELETE,)
