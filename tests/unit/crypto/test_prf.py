"""prf and prf+ (RFC 7296 section 2.13)."""

from __future__ import annotations

import pytest

from gcks.crypto.errors import UnsupportedAlgorithm
from gcks.crypto.prf import PRFS, prf, prf_octets, prf_plus
from gcks.iana import Prf


@pytest.mark.parametrize("prf_id", sorted(PRFS))
def test_prf_plus_chains_its_blocks(prf_id: int) -> None:
    """RFC 7296 section 2.13: T1 = prf(K, S | 1), T2 = prf(K, T1 | S | 2)."""
    first = prf(prf_id, b"key", b"seed\x01")
    second = prf(prf_id, b"key", first + b"seed\x02")
    size = prf_octets(prf_id)
    assert prf_plus(prf_id, b"key", b"seed", size + 5) == first + second[:5]


def test_prf_plus_ends_after_255_blocks() -> None:
    """RFC 7296 section 2.13: the counter is one octet."""
    assert len(prf_plus(Prf.HMAC_SHA2_256, b"k", b"s", 255 * 32)) == 255 * 32
    with pytest.raises(ValueError, match="8161"):
        prf_plus(Prf.HMAC_SHA2_256, b"k", b"s", 255 * 32 + 1)


@pytest.mark.parametrize("prf_id", [Prf.HMAC_SHA1, Prf.AES128_CMAC, 4711])
def test_other_prfs_are_refused(prf_id: int) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        prf(prf_id, b"key", b"data")
    with pytest.raises(UnsupportedAlgorithm):
        prf_octets(prf_id)
