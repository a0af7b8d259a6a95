"""What decrypts one IKE SA, for an operator who asked for a key log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gcks.ike.keymat import IkeKeys
from gcks.ike.suite import IkeSuite


@dataclass(frozen=True, slots=True)
class IkeKeyLogEntry:
    """The keys of SK payloads; SK_a is empty with AEAD ciphers, SK_e includes the salt."""

    spi_i: bytes
    spi_r: bytes
    encr: int
    encr_bits: int | None
    integ: int
    sk_ei: bytes = field(repr=False)
    sk_er: bytes = field(repr=False)
    sk_ai: bytes = field(repr=False)
    sk_ar: bytes = field(repr=False)


KeyLog = Callable[[IkeKeyLogEntry], None]


def log_entry(suite: IkeSuite, spi_i: bytes, spi_r: bytes, keys: IkeKeys) -> IkeKeyLogEntry:
    """Return what decrypts one IKE SA; SPIs of 8 octets."""
    return IkeKeyLogEntry(
        spi_i=spi_i,
        spi_r=spi_r,
        encr=suite.encr,
        encr_bits=suite.encr_bits,
        integ=suite.integ,
        sk_ei=keys.sk_ei,
        sk_er=keys.sk_er,
        sk_ai=keys.sk_ai,
        sk_ar=keys.sk_ar,
    )
