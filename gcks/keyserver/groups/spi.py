"""SPIs of group SAs: the GCKS assigns them all (RFC 9838 section 4.4.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gcks.iana import ProtocolId
from gcks.wire.gsa import SA_SPI_OCTETS
from gcks.wire.header import IKE_SPI_OCTETS

FIRST_DATA_SPI: Final = 256
"""0 to 255 are reserved (RFC 4303 section 2.1)."""


class SpiPool:
    """Draws SPIs that no live SA of any group has; one pool per daemon."""

    __slots__ = ("_entropy", "_taken")

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._taken: set[bytes] = set()

    def draw(self, protocol: int) -> bytes:
        """Return a fresh SPI of the protocol's size: 4 octets, 16 for GIKE_UPDATE."""
        while True:
            spi = self._entropy(SA_SPI_OCTETS[ProtocolId(protocol)])
            if spi not in self._taken and _usable(spi):
                self._taken.add(spi)
                return spi

    def claim(self, spi: bytes) -> None:
        """Mark a restored SPI as taken."""
        self._taken.add(spi)

    def release(self, spi: bytes) -> None:
        self._taken.discard(spi)


def _usable(spi: bytes) -> bool:
    if len(spi) > IKE_SPI_OCTETS:
        return any(spi[:IKE_SPI_OCTETS]) and any(spi[IKE_SPI_OCTETS:])
    return int.from_bytes(spi, "big") >= FIRST_DATA_SPI
