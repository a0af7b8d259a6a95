"""Encryption of SK payloads: AEAD (RFC 5282, RFC 7634) and CBC with HMAC (RFC 7296 3.14).

Keying material for an AEAD cipher is the key and, after it, a 4-octet salt.
"""

from __future__ import annotations

from hmac import compare_digest, digest
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from gcks.crypto.errors import IntegrityError, UnsupportedAlgorithm
from gcks.iana import Encr, Integ

SALT_OCTETS: Final = 4
_AEAD_IV_OCTETS: Final = 8
_AEAD_ICV_OCTETS: Final = 16
_AES_BLOCK_OCTETS: Final = 16

AEAD: Final = frozenset({Encr.AES_GCM_16, Encr.CHACHA20_POLY1305})
_KEY_BITS: Final[dict[int, frozenset[int | None]]] = {
    Encr.AES_GCM_16: frozenset({128, 192, 256}),
    Encr.AES_CBC: frozenset({128, 192, 256}),
    Encr.CHACHA20_POLY1305: frozenset({None}),
}
_CHACHA_KEY_OCTETS: Final = 32
_INTEG: Final[dict[int, tuple[str, int, int]]] = {
    Integ.NONE: ("", 0, 0),
    Integ.HMAC_SHA2_256_128: ("sha256", 32, 16),
    Integ.HMAC_SHA2_384_192: ("sha384", 48, 24),
    Integ.HMAC_SHA2_512_256: ("sha512", 64, 32),
}
"""Integrity transform -> hash, key octets, ICV octets (RFC 4868)."""


class Cipher(Protocol):
    """Protects one direction of one SA; made once, used for every message."""

    iv_octets: int
    icv_octets: int
    block_octets: int

    def seal(self, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Return ciphertext and ICV; `iv` has `iv_octets`, and is never used twice.

        `plaintext` is padded to a multiple of `block_octets`; the result is
        `icv_octets` longer.
        """

    def open(self, iv: bytes, sealed: bytes, aad: bytes) -> bytes:
        """Return the plaintext with its padding; `sealed` are ciphertext and ICV.

        Raises `IntegrityError` where anything was changed.
        """


def is_aead(encr: int) -> bool:
    """Tell whether the transform needs no integrity algorithm beside it (RFC 5282)."""
    return encr in AEAD


def encr_key_octets(encr: int, key_bits: int | None) -> int:
    """Return how much keying material the transform takes, salt included.

    RFC 7296 section 3.3.5; `key_bits` is its Key Length attribute.  Raises
    `UnsupportedAlgorithm`, also where the attribute doesn't fit.
    """
    if key_bits not in _KEY_BITS.get(encr, ()):
        raise UnsupportedAlgorithm(f"{Encr(encr)} with a key of {key_bits} bits")
    key = _CHACHA_KEY_OCTETS if key_bits is None else key_bits // 8
    return key + (SALT_OCTETS if encr in AEAD else 0)


def integ_key_octets(integ: int) -> int:
    """Return how much keying material the transform takes; 0 for NONE (RFC 4868).

    Raises `UnsupportedAlgorithm`.
    """
    return _integ(integ)[1]


def integ_icv_octets(integ: int) -> int:
    """Return how long its ICV is; 0 for NONE (RFC 4868).  Raises `UnsupportedAlgorithm`."""
    return _integ(integ)[2]


def _integ(integ: int) -> tuple[str, int, int]:
    try:
        return _INTEG[integ]
    except KeyError:
        raise UnsupportedAlgorithm(f"INTEG {Integ(integ)}") from None


def make_cipher(encr: int, integ: int, key_e: bytes, key_a: bytes) -> Cipher:
    """Make the cipher of a suite; `key_e` includes the salt, `key_a` is empty for AEAD.

    Both have the sizes that `encr_key_octets` and `integ_key_octets` tell.  Raises
    `UnsupportedAlgorithm`, also for INTEG beside AEAD (RFC 5282 section 8).
    """
    if encr in AEAD and integ == Integ.NONE:  # RFC 5282 section 8: no INTEG beside AEAD
        return _AeadCipher(encr, key_e)
    if encr == Encr.AES_CBC and integ != Integ.NONE:
        return _CbcCipher(integ, key_e, key_a)
    raise UnsupportedAlgorithm(f"{Encr(encr)} with {Integ(integ)}")


class _AeadCipher:
    __slots__ = ("_aead", "_salt")
    iv_octets = _AEAD_IV_OCTETS
    icv_octets = _AEAD_ICV_OCTETS
    block_octets = 1

    def __init__(self, encr: int, key_e: bytes) -> None:
        key, self._salt = key_e[:-SALT_OCTETS], key_e[-SALT_OCTETS:]
        self._aead = AESGCM(key) if encr == Encr.AES_GCM_16 else ChaCha20Poly1305(key)

    def seal(self, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
        return self._aead.encrypt(self._salt + iv, plaintext, aad)

    def open(self, iv: bytes, sealed: bytes, aad: bytes) -> bytes:
        try:
            return self._aead.decrypt(self._salt + iv, sealed, aad)
        except InvalidTag:
            raise IntegrityError("wrong ICV") from None


class _CbcCipher:
    """AES-CBC, then HMAC over everything before the ICV."""

    __slots__ = ("_hash", "_key_a", "_key_e", "icv_octets")
    iv_octets = _AES_BLOCK_OCTETS
    block_octets = _AES_BLOCK_OCTETS

    def __init__(self, integ: int, key_e: bytes, key_a: bytes) -> None:
        self._hash, _, self.icv_octets = _integ(integ)
        self._key_e, self._key_a = key_e, key_a

    def seal(self, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
        encryptor = _Cipher(algorithms.AES(self._key_e), modes.CBC(iv)).encryptor()
        ciphertext = encryptor.update(plaintext) + encryptor.finalize()
        return ciphertext + self._icv(aad, iv, ciphertext)

    def open(self, iv: bytes, sealed: bytes, aad: bytes) -> bytes:
        ciphertext, icv = sealed[: -self.icv_octets], sealed[-self.icv_octets :]
        if not compare_digest(icv, self._icv(aad, iv, ciphertext)):
            raise IntegrityError("wrong ICV")
        if not ciphertext or len(ciphertext) % _AES_BLOCK_OCTETS:
            raise IntegrityError("the ciphertext is not made of whole blocks")
        decryptor = _Cipher(algorithms.AES(self._key_e), modes.CBC(iv)).decryptor()
        return decryptor.update(ciphertext) + decryptor.finalize()

    def _icv(self, aad: bytes, iv: bytes, ciphertext: bytes) -> bytes:
        return digest(self._key_a, aad + iv + ciphertext, self._hash)[: self.icv_octets]
