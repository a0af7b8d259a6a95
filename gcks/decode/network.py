"""From a captured packet to what UDP, TCP or ESP carries: link layers, IPv4 and IPv6.

What can't be read is no error here: `NotOurs` says why, and the census counts it.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from struct import Struct
from typing import Final, NamedTuple

from gcks.datagrams import Endpoint
from gcks.decode.capture import Packet
from gcks.errors import GcksError

ESP: Final = 50
TCP: Final = 6
UDP: Final = 17


class NotOurs(GcksError):
    """A packet that carries no IKE that we can read; the text is what it is counted as."""


class IpPacket(NamedTuple):
    """One IP datagram, or a fragment of one."""

    source: str
    destination: str
    protocol: int
    body: bytes
    fragment: IpFragment | None = None


class IpFragment(NamedTuple):
    """Where a fragment belongs (RFC 791 section 3.2, RFC 8200 section 4.5)."""

    identification: int
    offset: int
    more: bool


class Segment(NamedTuple):
    """What a TCP segment carries (RFC 9293 section 3.1)."""

    source: Endpoint
    destination: Endpoint
    sequence: int
    syn: bool
    ends: bool
    """FIN or RST."""
    data: bytes


class UdpDatagram(NamedTuple):
    source: Endpoint
    destination: Endpoint
    data: bytes


# --- link layers ----------------------------------------------------------------------

_VLAN_TAGS: Final = frozenset({0x8100, 0x88A8, 0x9100})
_MAX_TAGS: Final = 4
_ETHER_TYPES: Final = frozenset({0x0800, 0x86DD})


def _ethernet(octets: bytes) -> bytes:
    at = 12
    for _ in range(_MAX_TAGS + 1):
        kind = int.from_bytes(octets[at : at + 2], "big")
        if kind not in _VLAN_TAGS:
            return _checked(kind, octets[at + 2 :])
        at += 4
    raise NotOurs("not IP")


def _cooked(octets: bytes) -> bytes:
    return _checked(int.from_bytes(octets[14:16], "big"), octets[16:])


def _cooked_2(octets: bytes) -> bytes:
    return _checked(int.from_bytes(octets[0:2], "big"), octets[20:])


def _checked(ether_type: int, octets: bytes) -> bytes:
    if ether_type not in _ETHER_TYPES:
        raise NotOurs("not IP")
    return octets


def _loopback(octets: bytes) -> bytes:
    """Skip the address family, whose numbers differ between systems; IP tells its version."""
    return octets[4:]


def _raw(octets: bytes) -> bytes:
    return octets


_LINKS: Final[dict[int, Callable[[bytes], bytes]]] = {
    0: _loopback,  # LINKTYPE_NULL
    1: _ethernet,
    12: _raw,
    14: _raw,
    101: _raw,
    108: _loopback,  # LINKTYPE_LOOP
    113: _cooked,  # LINKTYPE_LINUX_SLL
    228: _raw,  # LINKTYPE_IPV4
    229: _raw,  # LINKTYPE_IPV6
    276: _cooked_2,  # LINKTYPE_LINUX_SLL2
}


def ip_packet(packet: Packet) -> IpPacket:
    """Take the IP packet out of its frame.  Raises `NotOurs`."""
    link = _LINKS.get(packet.link_type)
    if link is None:
        raise NotOurs(f"link type {packet.link_type} is unknown")
    octets = link(packet.octets)
    reader = _VERSIONS.get(octets[0] >> 4) if octets else None
    if reader is None:
        raise NotOurs("not IP")
    return reader(octets)


# --- IP -------------------------------------------------------------------------------

_IPV4: Final = Struct(">BxHHHxBxx4s4s")
_IPV6: Final = Struct(">4xHBx16s16s")
_FRAGMENT_HEADER: Final = 44
_SKIPPED_HEADERS: Final = frozenset({0, 43, 60})
"""Hop-by-Hop Options, Routing, Destination Options."""
_MAX_HEADERS: Final = 8
_MORE_V4: Final = 0x2000
_OFFSET_V4: Final = 0x1FFF


def _ipv4(octets: bytes) -> IpPacket:
    if len(octets) < _IPV4.size:
        raise NotOurs("cut off by the snapshot length")
    first, total, number, flags, protocol, source, destination = _IPV4.unpack_from(octets)
    start, end = (first & 0x0F) * 4, total or len(octets)  # zero: left to the network card
    if start < _IPV4.size or not start <= end:
        raise NotOurs("malformed IP")
    if end > len(octets):
        raise NotOurs("cut off by the snapshot length")
    offset, more = (flags & _OFFSET_V4) * 8, bool(flags & _MORE_V4)
    fragment = IpFragment(number, offset, more) if offset or more else None
    return IpPacket(_text(source), _text(destination), protocol, octets[start:end], fragment)


def _ipv6(octets: bytes) -> IpPacket:
    if len(octets) < _IPV6.size:
        raise NotOurs("cut off by the snapshot length")
    length, following, source, destination = _IPV6.unpack_from(octets)
    body = octets[_IPV6.size : _IPV6.size + length]
    if len(body) < length:
        raise NotOurs("cut off by the snapshot length")
    fragment = None
    for _ in range(_MAX_HEADERS):
        if following not in _SKIPPED_HEADERS and following != _FRAGMENT_HEADER:
            return IpPacket(_text(source), _text(destination), following, body, fragment)
        if len(body) < 8:
            break
        size = 8 if following == _FRAGMENT_HEADER else 8 * (1 + body[1])
        if following == _FRAGMENT_HEADER:
            fragment = _fragment_v6(body)
        following, body = body[0], body[size:]
    raise NotOurs("malformed IP")


def _fragment_v6(header: bytes) -> IpFragment:
    place = int.from_bytes(header[2:4], "big")
    return IpFragment(int.from_bytes(header[4:8], "big"), place & 0xFFF8, bool(place & 1))


_VERSIONS: Final[dict[int, Callable[[bytes], IpPacket]]] = {4: _ipv4, 6: _ipv6}


def _text(address: bytes) -> str:
    return str(ip_address(address))


# --- fragments of IP ------------------------------------------------------------------

MAX_OPEN_DATAGRAMS: Final = 256
_MAX_DATAGRAM_OCTETS: Final = 65_535

_Key = tuple[str, str, int, int]


class _Parts:
    """The fragments of one datagram, by their offsets."""

    __slots__ = ("bodies", "octets", "total")

    def __init__(self) -> None:
        self.bodies: dict[int, bytes] = {}
        self.octets = 0
        self.total: int | None = None
        """How long the datagram is, once its last part is there."""

    def add(self, where: IpFragment, body: bytes) -> None:
        if where.offset in self.bodies or not body:
            return
        if where.offset + len(body) > _MAX_DATAGRAM_OCTETS:
            return
        self.bodies[where.offset] = body
        self.octets += len(body)
        if not where.more:
            self.total = where.offset + len(body)

    @property
    def is_complete(self) -> bool:
        return self.total is not None and self.octets >= self.total

    def joined(self) -> bytes | None:
        """Return the datagram; None where parts overlap (RFC 5722: it is no good then)."""
        position = 0
        for offset in sorted(self.bodies):
            if offset != position:
                return None
            position += len(self.bodies[offset])
        return b"".join(self.bodies[offset] for offset in sorted(self.bodies))


class Defragmenter:
    """Puts IP fragments together; the oldest unfinished datagram makes room for a new one."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[_Key, _Parts] = {}

    def add(self, packet: IpPacket) -> IpPacket:
        """Return the whole datagram.  Raises `NotOurs` until it is there."""
        where = packet.fragment
        if where is None:
            return packet
        key = (packet.source, packet.destination, packet.protocol, where.identification)
        parts = self._open.pop(key, None) or _Parts()
        parts.add(where, packet.body)
        if parts.is_complete:  # looked at once: hostile parts can't make it be put together often
            whole = parts.joined()
            if whole is None:
                raise NotOurs("IP fragments that overlap")
            return packet._replace(body=whole, fragment=None)
        if len(self._open) == MAX_OPEN_DATAGRAMS:
            del self._open[next(iter(self._open))]
        self._open[key] = parts
        raise NotOurs("IP fragments")


# --- UDP and TCP ----------------------------------------------------------------------

_UDP: Final = Struct(">HHHxx")
_TCP: Final = Struct(">HHIxxxxBBxxxxxx")
_FIN, _SYN, _RST = 0x01, 0x02, 0x04


def udp_datagram(packet: IpPacket) -> UdpDatagram:
    """Take a UDP datagram out of its IP packet (RFC 768).  Raises `NotOurs`."""
    if len(packet.body) < _UDP.size:
        raise NotOurs("malformed UDP")
    source, destination, length = _UDP.unpack_from(packet.body)
    if not _UDP.size <= length <= len(packet.body):
        raise NotOurs("malformed UDP")
    ends = Endpoint(packet.source, source), Endpoint(packet.destination, destination)
    return UdpDatagram(*ends, packet.body[_UDP.size : length])


def tcp_segment(packet: IpPacket) -> Segment:
    """Take a TCP segment out of its IP packet.  Raises `NotOurs`."""
    if len(packet.body) < _TCP.size:
        raise NotOurs("malformed TCP")
    source, destination, sequence, offset, flags = _TCP.unpack_from(packet.body)
    start = (offset >> 4) * 4
    if not _TCP.size <= start <= len(packet.body):
        raise NotOurs("malformed TCP")
    ends = Endpoint(packet.source, source), Endpoint(packet.destination, destination)
    syn, over = bool(flags & _SYN), bool(flags & (_FIN | _RST))
    return Segment(*ends, sequence, syn, over, packet.body[start:])
