"""The Delete payload (RFC 7296 section 3.11; RFC 9838 section 4.6).

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
| Protocol ID   |   SPI Size    |          Num of SPIs          |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~               Security Parameter Index(es) (SPI)              ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from gcks.errors import WireError
from gcks.iana import ProtocolId

DELETE_SPI_OCTETS: Final = {
    ProtocolId.IKE: 0,
    ProtocolId.AH: 4,
    ProtocolId.ESP: 4,
    ProtocolId.GIKE_UPDATE: 16,
}
"""The SPI size of each protocol; of protocol 0 it is not given (ruling 9)."""

MAX_SPIS: Final = 512
"""More than twice the SAs that one GSA payload may create."""

_LAYOUT: Final = Struct(">BBH")


@dataclass(frozen=True, slots=True)
class Delete:
    """SAs to delete; an all-zero SPI means all of the protocol, protocol 0 the whole GSA."""

    protocol: int
    spi_size: int
    spis: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the payload body: 4 octets, and the SPIs."""
        return _LAYOUT.pack(self.protocol, self.spi_size, len(self.spis)) + b"".join(self.spis)


def decode_delete(body: bytes) -> Delete:
    """Read the body of a Delete payload (RFC 7296 section 3.11; RFC 9838 section 4.6).

    4 octets, and SPIs of the size that is said, which must be the protocol's.  Raises
    `WireError`: truncated, SPIs that don't fill the body, of another size, or more than
    `MAX_SPIS`.
    """
    if len(body) < _LAYOUT.size:
        raise WireError("truncated Delete payload")
    protocol, spi_size, count = _LAYOUT.unpack_from(body)
    if count > MAX_SPIS:
        raise WireError(f"more than {MAX_SPIS} SPIs")
    if len(body) != _LAYOUT.size + spi_size * count or (count and not spi_size):
        raise WireError("the SPIs do not fill their Delete payload")
    if spi_size != DELETE_SPI_OCTETS.get(protocol, spi_size):
        raise WireError(f"SPIs of {spi_size} octets for {ProtocolId(protocol)}")
    starts = range(_LAYOUT.size, len(body), spi_size or 1)
    return Delete(protocol, spi_size, tuple(body[at : at + spi_size] for at in starts))
