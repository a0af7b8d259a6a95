"""The content of notifications that say how IPsec SAs are used.

USE_AGGFRAG (RFC 9347 section 6.1.4)
+-+-+-+-+-+-+-+-+
|0|0|0|0|0|0|C|D|
+-+-+-+-+-+-+-+-+
IPCOMP_SUPPORTED (RFC 7296 section 2.22), before what the transform defines
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|  Compression Parameter Index  |  Transform ID |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

strongSwan, too, takes USE_AGGFRAG with one octet only, and D is its lowest bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from gcks.errors import WireError

_DONT_FRAGMENT: Final = 0x01
_CONGESTION_CONTROL: Final = 0x02
_IPCOMP: Final = Struct(">HB")


@dataclass(frozen=True, slots=True)
class AggFrag:
    """What the sender of USE_AGGFRAG wants of those whose packets it receives."""

    dont_fragment: bool = False
    """It takes whole inner packets only."""
    congestion_control: bool = False
    """It wants congestion information to come back."""
    reserved: int = 0
    """Bits that RFC 9347 gives no meaning, as they stand in the octet."""

    def encode(self) -> bytes:
        """Return the notification data: one octet."""
        flags = _DONT_FRAGMENT * self.dont_fragment
        flags |= _CONGESTION_CONTROL * self.congestion_control
        return bytes((self.reserved | flags,))


@dataclass(frozen=True, slots=True)
class IpComp:
    """An IP compression algorithm, and the CPI under which its sender receives it."""

    cpi: int
    transform: int
    attributes: bytes = b""

    def encode(self) -> bytes:
        """Return the notification data: 3 octets, and what the transform defines."""
        return _IPCOMP.pack(self.cpi, self.transform) + self.attributes


def decode_aggfrag(data: bytes) -> AggFrag:
    """Read the data of USE_AGGFRAG (RFC 9347 section 6.1.4): 1 octet.

    Raises `WireError` for another size.
    """
    if len(data) != 1:
        raise WireError(f"USE_AGGFRAG with {len(data)} octets of data, not one")
    flags = data[0]
    return AggFrag(
        bool(flags & _DONT_FRAGMENT),
        bool(flags & _CONGESTION_CONTROL),
        flags & ~(_DONT_FRAGMENT | _CONGESTION_CONTROL),
    )


def decode_ipcomp(data: bytes) -> IpComp:
    """Read the data of IPCOMP_SUPPORTED (RFC 7296 section 2.22): 3 octets or more.

    Raises `WireError` for fewer.
    """
    if len(data) < _IPCOMP.size:
        raise WireError("truncated IPCOMP_SUPPORTED")
    cpi, transform = _IPCOMP.unpack_from(data)
    return IpComp(cpi, transform, data[_IPCOMP.size :])
