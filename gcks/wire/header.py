"""The IKE header (RFC 7296 section 3.1; RFC 9838 section 4.1).

                         1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                       IKE SA Initiator's SPI                  |
    |                                                               |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                       IKE SA Responder's SPI                  |
    |                                                               |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Next Payload | MjVer | MnVer | Exchange Type |     Flags     |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                          Message ID                           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                            Length                             |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

In GSA_REKEY the two SPI fields are one of 16 octets: the Rekey SA's SPI.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from gcks.errors import WireError

HEADER_OCTETS: Final = 28
IKE_SPI_OCTETS: Final = 8
NO_SPI: Final = bytes(IKE_SPI_OCTETS)
MAJOR_VERSION: Final = 2
"""The minor version is ignored (RFC 7296 section 2.5)."""
VERSION_2_0: Final = 0x20
MAX_MESSAGE_OCTETS: Final = 65535
"""A UDP datagram holds no more; nothing larger is sent or read."""

FLAG_INITIATOR: Final = 0x08
FLAG_VERSION: Final = 0x10
FLAG_RESPONSE: Final = 0x20

LAYOUT: Final = Struct(">8s8sBBBBII")


class Header(NamedTuple):
    """The fields as they stand on the wire; `version` is major << 4 | minor."""

    spi_i: bytes
    spi_r: bytes
    next_payload: int
    version: int
    exchange: int
    flags: int
    message_id: int
    length: int

    @property
    def major(self) -> int:
        """The major version; 2 is the only one (RFC 7296 section 2.5)."""
        return self.version >> 4

    @property
    def is_response(self) -> bool:
        """Whether this is a response (the R bit, RFC 7296 section 3.1)."""
        return bool(self.flags & FLAG_RESPONSE)

    @property
    def from_initiator(self) -> bool:
        """Whether the IKE SA's original initiator has sent it (the I bit)."""
        return bool(self.flags & FLAG_INITIATOR)

    def encode(self) -> bytes:
        """Return the 28 octets."""
        return LAYOUT.pack(*self)


def decode_header(datagram: bytes) -> Header:
    """Read the IKE header of a whole datagram (RFC 7296 section 3.1): 28 octets or more.

    Version, exchange and flags are judged by the engine.  Raises `WireError` where the
    octets are too few or the length is not the datagram's; the peer sees nothing.
    """
    if len(datagram) < HEADER_OCTETS:
        raise WireError(f"{len(datagram)} octets are too few for an IKE header")
    header = Header._make(LAYOUT.unpack_from(datagram))
    if header.length != len(datagram):
        raise WireError(f"header says {header.length} octets, the datagram has {len(datagram)}")
    return header
