"""The Notify payload (RFC 7296 section 3.10; RFC 9838 section 4.7).

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|  Protocol ID  |   SPI Size    |      Notify Message Type      |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                Security Parameter Index (SPI)                 ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                       Notification Data                       ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from gcks.errors import WireError

_LAYOUT: Final = Struct(">BBH")


@dataclass(frozen=True, slots=True)
class Notify:
    """The Notify payload; `protocol` is 0 and `spi` empty where it is about no SA."""

    type: int
    data: bytes = b""
    protocol: int = 0
    spi: bytes = b""

    def encode(self) -> bytes:
        """Return the payload body: 4 octets, SPI, data."""
        return _LAYOUT.pack(self.protocol, len(self.spi), self.type) + self.spi + self.data


def decode_notify(body: bytes) -> Notify:
    """Read the body of a Notify payload (RFC 7296 section 3.10): 4 octets, SPI, data.

    The data is read by who knows the type.  Raises `WireError`: truncated, or an SPI
    that runs past the body.
    """
    if len(body) < _LAYOUT.size:
        raise WireError("truncated Notify payload")
    protocol, spi_size, kind = _LAYOUT.unpack_from(body)
    data_at = _LAYOUT.size + spi_size
    if data_at > len(body):
        raise WireError("the SPI runs past its Notify payload")
    return Notify(kind, body[data_at:], protocol, body[_LAYOUT.size : data_at])
