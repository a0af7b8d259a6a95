"""Ciphers of SK payloads."""

from __future__ import annotations

import pytest

from gcks.crypto.encr import (
    Cipher,
    encr_key_octets,
    integ_icv_octets,
    integ_key_octets,
    make_cipher,
)
from gcks.crypto.errors import IntegrityError, UnsupportedAlgorithm
from gcks.iana import Encr, Integ

HMACS = (Integ.HMAC_SHA2_256_128, Integ.HMAC_SHA2_384_192, Integ.HMAC_SHA2_512_256)
SUITES = [
    *((Encr.AES_GCM_16, bits, Integ.NONE) for bits in (128, 192, 256)),
    (Encr.CHACHA20_POLY1305, None, Integ.NONE),
    *((Encr.AES_CBC, bits, integ) for bits in (128, 192, 256) for integ in HMACS),
]
PLAINTEXT = bytes(range(48))


@pytest.fixture(params=SUITES, ids=lambda s: f"{s[0]}-{s[1]}-{s[2]}")
def cipher(request: pytest.FixtureRequest) -> Cipher:
    encr, bits, integ = request.param
    return make_cipher(
        encr, integ, bytes(range(encr_key_octets(encr, bits))), bytes(integ_key_octets(integ))
    )


def test_open_undoes_seal(cipher: Cipher) -> None:
    iv = bytes(cipher.iv_octets)
    sealed = cipher.seal(iv, PLAINTEXT, b"aad")
    assert len(sealed) == len(PLAINTEXT) + cipher.icv_octets
    assert cipher.open(iv, sealed, b"aad") == PLAINTEXT


def test_the_icv_covers_iv_ciphertext_and_associated_data(cipher: Cipher) -> None:
    """RFC 7296 section 3.14, RFC 5282 section 5.1."""
    iv = bytes(cipher.iv_octets)
    sealed = cipher.seal(iv, PLAINTEXT, b"aad")
    other_iv = b"\x01" + iv[1:]
    changed = [(iv, sealed, b"aae"), (other_iv, sealed, b"aad")]
    for place in range(len(sealed)):
        flipped = bytearray(sealed)
        flipped[place] ^= 0x80
        changed.append((iv, bytes(flipped), b"aad"))
    for one in changed:
        with pytest.raises(IntegrityError):
            cipher.open(*one)


def test_truncation_at_every_octet(cipher: Cipher) -> None:
    iv = bytes(cipher.iv_octets)
    sealed = cipher.seal(iv, PLAINTEXT, b"aad")
    for size in range(len(sealed)):
        with pytest.raises(IntegrityError):
            cipher.open(iv, sealed[:size], b"aad")


def test_authentic_ciphertext_of_partial_blocks_is_refused() -> None:
    """A peer with the right SK_a may still send nonsense."""
    from hmac import digest

    cipher = make_cipher(Encr.AES_CBC, Integ.HMAC_SHA2_256_128, bytes(16), bytes(32))
    for ciphertext in (b"", bytes(15), bytes(17)):
        icv = digest(bytes(32), b"aad" + bytes(16) + ciphertext, "sha256")[:16]
        with pytest.raises(IntegrityError):
            cipher.open(bytes(16), ciphertext + icv, b"aad")


def test_key_sizes() -> None:
    """RFC 5282 section 7.1, RFC 7634 section 3: 4 octets of salt follow the key."""
    assert encr_key_octets(Encr.AES_GCM_16, 256) == 36
    assert encr_key_octets(Encr.CHACHA20_POLY1305, None) == 36
    assert encr_key_octets(Encr.AES_CBC, 128) == 16


def test_integrity_sizes() -> None:
    """RFC 4868 section 2.6."""
    sizes = [(integ_key_octets(integ), integ_icv_octets(integ)) for integ in HMACS]
    assert sizes == [(32, 16), (48, 24), (64, 32)]
    assert integ_key_octets(Integ.NONE) == integ_icv_octets(Integ.NONE) == 0


@pytest.mark.parametrize(
    ("encr", "bits"),
    [
        (Encr.AES_GCM_16, None),
        (Encr.AES_GCM_16, 64),
        (Encr.CHACHA20_POLY1305, 256),
        (Encr.AES_GCM_16_IIV, 256),
        (Encr.NULL, None),
        (4711, None),
    ],
)
def test_other_key_lengths_and_transforms_are_refused(encr: int, bits: int | None) -> None:
    """RFC 7634 section 3: ChaCha20 has no Key Length attribute, AES must have one."""
    with pytest.raises(UnsupportedAlgorithm):
        encr_key_octets(encr, bits)


@pytest.mark.parametrize(
    ("encr", "integ"),
    [
        (Encr.AES_CBC, Integ.NONE),
        (Encr.AES_GCM_16, Integ.HMAC_SHA2_256_128),
        (Encr.NULL, Integ.HMAC_SHA2_256_128),
        (Encr.AES_CBC, Integ.AES_CMAC_96),
    ],
)
def test_pairs_without_sense_are_refused(encr: int, integ: int) -> None:
    """RFC 5282 section 8: AEAD has no INTEG beside it; CBC never goes without."""
    with pytest.raises(UnsupportedAlgorithm):
        make_cipher(encr, integ, bytes(36), bytes(32))


def test_no_key_in_the_representation(cipher: Cipher) -> None:
    assert "\\x" not in repr(cipher) and bytes(range(8)).hex() not in repr(cipher)
