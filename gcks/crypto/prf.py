"""Pseudorandom functions and prf+ (RFC 7296 sections 2.13 and 3.3.2, RFC 4868)."""

from __future__ import annotations

from hmac import digest
from typing import Final

from gcks.crypto.errors import UnsupportedAlgorithm
from gcks.iana import Prf

_HASHES: Final[dict[int, tuple[str, int]]] = {
    Prf.HMAC_SHA2_256: ("sha256", 32),
    Prf.HMAC_SHA2_384: ("sha384", 48),
    Prf.HMAC_SHA2_512: ("sha512", 64),
}
PRFS: Final = frozenset(_HASHES)
"""The PRF transforms that gcks implements."""

_MAX_BLOCKS: Final = 255


def prf_octets(prf_id: int) -> int:
    """Return the output, and preferred key, size in octets (RFC 7296 section 2.13).

    Raises `UnsupportedAlgorithm`.
    """
    try:
        return _HASHES[prf_id][1]
    except KeyError:
        raise UnsupportedAlgorithm(f"PRF {Prf(prf_id)}") from None


def prf(prf_id: int, key: bytes, data: bytes) -> bytes:
    """Compute prf(key, data), `prf_octets` long (RFC 7296 section 2.13).

    Raises `UnsupportedAlgorithm`.
    """
    try:
        return digest(key, data, _HASHES[prf_id][0])
    except KeyError:
        raise UnsupportedAlgorithm(f"PRF {Prf(prf_id)}") from None


def prf_plus(prf_id: int, key: bytes, seed: bytes, octets: int) -> bytes:
    """Compute the first `octets` of prf+(key, seed) (RFC 7296 section 2.13).

    Raises `UnsupportedAlgorithm`, and ValueError for more than 255 times `prf_octets`.
    """
    size = prf_octets(prf_id)
    blocks = -(-octets // size)
    if blocks > _MAX_BLOCKS:
        raise ValueError(f"prf+ can't give {octets} octets")
    name = _HASHES[prf_id][0]
    block, output = b"", bytearray()
    for number in range(1, blocks + 1):
        block = digest(key, block + seed + bytes((number,)), name)
        output += block
    return bytes(output[:octets])
