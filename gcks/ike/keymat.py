"""Keying material of the IKE SA (RFC 7296 sections 2.14, 2.18; RFC 9838 section 3.1.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gcks.crypto.prf import prf, prf_plus
from gcks.ike.suite import IkeSuite

GSK_W_LABEL: Final = b"Key Wrap for G-IKEv2"
"""20 octets, no terminator (RFC 9838 section 3.1.1)."""


@dataclass(frozen=True, slots=True)
class IkeKeys:
    """All keys of one IKE SA; SK_a is empty with AEAD ciphers, SK_e includes the salt."""

    sk_d: bytes = field(repr=False)
    sk_ai: bytes = field(repr=False)
    sk_ar: bytes = field(repr=False)
    sk_ei: bytes = field(repr=False)
    sk_er: bytes = field(repr=False)
    sk_pi: bytes = field(repr=False)
    sk_pr: bytes = field(repr=False)


def derive_keys(
    suite: IkeSuite, g_ir: bytes, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes
) -> IkeKeys:
    """Derive the keys of a first IKE SA (RFC 7296 section 2.14).

    `ni` and `nr` are nonces without payload header, the SPIs have 8 octets.
    """
    skeyseed = prf(suite.prf, ni + nr, g_ir)
    return _expand(suite, skeyseed, ni + nr + spi_i + spi_r)


def rekey_keys(
    old: IkeSuite,
    old_sk_d: bytes,
    suite: IkeSuite,
    g_ir: bytes,
    ni: bytes,
    nr: bytes,
    spi_i: bytes,
    spi_r: bytes,
) -> IkeKeys:
    """Derive the keys of the IKE SA that replaces another (RFC 7296 section 2.18).

    `old` and `old_sk_d` are those of the replaced one, everything else is of the new
    one.
    """
    skeyseed = prf(old.prf, old_sk_d, g_ir + ni + nr)
    return _expand(suite, skeyseed, ni + nr + spi_i + spi_r)


def _expand(suite: IkeSuite, skeyseed: bytes, seed: bytes) -> IkeKeys:
    prf_size, integ_size, encr_size = suite.key_sizes
    sizes = (prf_size, integ_size, integ_size, encr_size, encr_size, prf_size, prf_size)
    keymat = prf_plus(suite.prf, skeyseed, seed, sum(sizes))
    keys, position = [], 0
    for size in sizes:
        keys.append(keymat[position : position + size])
        position += size
    return IkeKeys(*keys)


def derive_gsk_w(suite: IkeSuite, sk_d: bytes) -> bytes:
    """Derive the default KWK of a unicast IKE SA (RFC 9838 section 3.1.1).

    It has `suite.gsk_w_octets`: none where no key wrap algorithm was negotiated.
    """
    return prf_plus(suite.prf, sk_d, GSK_W_LABEL, suite.gsk_w_octets)
