"""Sealing of secrets at rest with the master key: AES-256-GCM, random 96-bit nonce."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gcks.crypto.errors import IntegrityError

MASTER_KEY_OCTETS: Final = 32
_NONCE_OCTETS: Final = 12


class AeadBox:
    """Seals octet strings; `associated` names the place they may be opened at."""

    __slots__ = ("_aead", "_entropy")

    def __init__(self, master_key: bytes, entropy: Callable[[int], bytes]) -> None:
        if len(master_key) != MASTER_KEY_OCTETS:
            raise ValueError(f"a master key has {MASTER_KEY_OCTETS} octets, not {len(master_key)}")
        self._aead = AESGCM(master_key)
        self._entropy = entropy

    def seal(self, plaintext: bytes, associated: bytes) -> bytes:
        """Return nonce, ciphertext and tag: 28 octets more than `plaintext` (NIST SP 800-38D)."""
        nonce = self._entropy(_NONCE_OCTETS)
        return nonce + self._aead.encrypt(nonce, plaintext, associated)

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """Undo `seal`, for the same `associated`.

        Raises `IntegrityError`: another key, another place, or changed.
        """
        try:
            nonce, ciphertext = sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:]
            return self._aead.decrypt(nonce, ciphertext, associated)
        except (InvalidTag, ValueError):
            raise IntegrityError("sealed with another master key, or damaged") from None
