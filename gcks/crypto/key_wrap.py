"""Key wrapping with AES (RFC 5649), as RFC 9838 sections 4.4.2.1.2 and 4.5.4 use it."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from gcks.crypto.errors import IntegrityError, UnsupportedAlgorithm
from gcks.iana import Kwa

_KWK_OCTETS: Final[dict[int, int]] = {
    Kwa.KW_5649_128: 16,
    Kwa.KW_5649_192: 24,
    Kwa.KW_5649_256: 32,
}
KWAS: Final = frozenset(_KWK_OCTETS)
"""The key wrap transforms that gcks implements."""

_MIN_WRAPPED_OCTETS: Final = 16


def kwk_octets(kwa: int) -> int:
    """Return the size of the key wrap algorithm's keys: 16, 24 or 32 octets.

    RFC 9838 section 4.4.2.1.2.  Raises `UnsupportedAlgorithm`.
    """
    try:
        return _KWK_OCTETS[kwa]
    except KeyError:
        raise UnsupportedAlgorithm(f"KWA {Kwa(kwa)}") from None


def wrap(kwk: bytes, key: bytes) -> bytes:
    """Wrap `key`, of any size, under `kwk` of 16, 24 or 32 octets (RFC 5649 section 4.1).

    The result is the next multiple of 8 octets, and 8 more.
    """
    return aes_key_wrap_with_padding(kwk, key)


def unwrap(kwk: bytes, encrypted_key: bytes) -> bytes:
    """Undo `wrap` (RFC 5649 section 4.2); `encrypted_key` has 16 octets or more.

    Raises `IntegrityError` where key or octets are wrong.
    """
    if len(encrypted_key) < _MIN_WRAPPED_OCTETS or len(encrypted_key) % 8:
        raise IntegrityError(f"a wrapped key of {len(encrypted_key)} octets")
    try:
        return aes_key_unwrap_with_padding(kwk, encrypted_key)
    except InvalidUnwrap:
        raise IntegrityError("the wrapped key's integrity check fails") from None
