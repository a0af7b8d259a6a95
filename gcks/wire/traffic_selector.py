"""Traffic Selectors (RFC 7296 section 3.13): in TSi and TSr, and bare in GSA policies.

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|   TS Type     |IP Protocol ID*|       Selector Length         |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|           Start Port*         |           End Port*           |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                         Starting Address*                     ~
~                         Ending Address*                       ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

TS_SECLABEL (RFC 9478 section 2.1), which narrows the selectors beside it:

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
| TS Type (10)  |    RESERVED   |       Selector Length         |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                         Security Label                        ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from struct import Struct
from typing import Final

from gcks.errors import WireError
from gcks.iana import TsType

MAX_SELECTORS: Final = 64
MAX_LABEL_OCTETS: Final = 4096
"""The longest security label that is read: as long as Linux IKE daemons take."""

MAX_PORT: Final = 65535
UDP: Final = 17

_LAYOUT: Final = Struct(">BBHHH")
_LABEL_HEAD: Final = Struct(">BxH")
_ADDRESS_OCTETS: Final = {TsType.IPV4_ADDR_RANGE: 4, TsType.IPV6_ADDR_RANGE: 16}
_TYPES: Final = {4: TsType.IPV4_ADDR_RANGE, 6: TsType.IPV6_ADDR_RANGE}


@dataclass(frozen=True, slots=True)
class TrafficSelector:
    """A range of addresses and ports; IP protocol 0 means any."""

    type: int
    ip_protocol: int
    start_port: int
    end_port: int
    start_address: bytes
    end_address: bytes

    @classmethod
    def single(cls, address: str, ip_protocol: int, port: int) -> TrafficSelector:
        """Select one address and one port.  Raises ValueError for another text."""
        packed = ipaddress.ip_address(address)
        return cls(_TYPES[packed.version], ip_protocol, port, port, packed.packed, packed.packed)

    @classmethod
    def any(cls, version: int = 4, ip_protocol: int = 0) -> TrafficSelector:
        """Select all addresses of IP version 4 or 6 and all ports."""
        kind = _TYPES[version]
        octets = _ADDRESS_OCTETS[kind]
        return cls(kind, ip_protocol, 0, MAX_PORT, bytes(octets), b"\xff" * octets)

    @classmethod
    def from_network(
        cls, network: str, ip_protocol: int = 0, start_port: int = 0, end_port: int = MAX_PORT
    ) -> TrafficSelector:
        """Select an address or network ("239.0.0.0/8") and a range of ports.

        Raises ValueError for what is neither.
        """
        parsed = ipaddress.ip_network(network)
        first, last = parsed.network_address, parsed.broadcast_address
        kind = _TYPES[parsed.version]
        return cls(kind, ip_protocol, start_port, end_port, first.packed, last.packed)

    @property
    def single_address(self) -> str | None:
        """The address, where the selector has exactly one."""
        if self.start_address != self.end_address:
            return None
        return str(ipaddress.ip_address(self.start_address))

    @property
    def single_port(self) -> int | None:
        """The port, where the selector has exactly one."""
        return self.start_port if self.start_port == self.end_port else None

    def __str__(self) -> str:
        first, last = map(ipaddress.ip_address, (self.start_address, self.end_address))
        addresses = str(first) if first == last else f"{first}-{last}"
        ports = str(self.start_port) if self.single_port is not None else self._port_range()
        return f"{addresses} protocol {self.ip_protocol or 'any'} port {ports}"

    def _port_range(self) -> str:
        if (self.start_port, self.end_port) == (0, MAX_PORT):
            return "any"
        return f"{self.start_port}-{self.end_port}"

    def encode(self) -> bytes:
        """Return the selector: 16 octets with IPv4 addresses, 40 with IPv6."""
        length = _LAYOUT.size + len(self.start_address) + len(self.end_address)
        head = _LAYOUT.pack(self.type, self.ip_protocol, length, self.start_port, self.end_port)
        return head + self.start_address + self.end_address


@dataclass(frozen=True, slots=True)
class SecurityLabel:
    """A label for mandatory access control, opaque to IKE (RFC 9478)."""

    label: bytes

    def encode(self) -> bytes:
        """Return the selector: 4 octets, and the label."""
        length = _LABEL_HEAD.size + len(self.label)
        return _LABEL_HEAD.pack(TsType.SECLABEL, length) + self.label


Selector = TrafficSelector | SecurityLabel


@dataclass(frozen=True, slots=True)
class TrafficSelectorsI:
    """The TSi payload: what the initiator's side of a Child SA sends."""

    selectors: tuple[Selector, ...]

    def encode(self) -> bytes:
        """Return the payload body: 4 octets, and the selectors."""
        return _encode_selectors(self.selectors)


@dataclass(frozen=True, slots=True)
class TrafficSelectorsR:
    """The TSr payload: what the responder's side of a Child SA sends."""

    selectors: tuple[Selector, ...]

    def encode(self) -> bytes:
        """Return the payload body: 4 octets, and the selectors."""
        return _encode_selectors(self.selectors)


def _encode_selectors(selectors: tuple[Selector, ...]) -> bytes:
    return bytes((len(selectors), 0, 0, 0)) + b"".join(s.encode() for s in selectors)


def decode_selectors_i(body: bytes) -> TrafficSelectorsI:
    """Read the body of a TSi payload (RFC 7296 section 3.13): 4 octets, and selectors.

    Raises `WireError` where the selectors aren't as many as it says, or one is as
    `read_selector` and `read_label` refuse it.
    """
    return TrafficSelectorsI(_decode_selectors(body))


def decode_selectors_r(body: bytes) -> TrafficSelectorsR:
    """Read the body of a TSr payload (RFC 7296 section 3.13): 4 octets, and selectors.

    Raises `WireError` as `decode_selectors_i` does.
    """
    return TrafficSelectorsR(_decode_selectors(body))


def _decode_selectors(body: bytes) -> tuple[Selector, ...]:
    if len(body) < 4 or not 0 < body[0] <= MAX_SELECTORS:
        raise WireError("a Traffic Selector payload without, or with too many, selectors")
    position = 4
    selectors: list[Selector] = []
    for _ in range(body[0]):
        selector, position = _read_any(body, position)
        selectors.append(selector)
    if position != len(body):
        raise WireError("octets follow the last Traffic Selector")
    return tuple(selectors)


def _read_any(octets: bytes, position: int) -> tuple[Selector, int]:
    """An IKEv2 peer may ask for a labeled Child SA, which is refused as any other is."""
    if is_label(octets, position):
        return read_label(octets, position)
    return read_selector(octets, position)


def read_selector(octets: bytes, position: int) -> tuple[TrafficSelector, int]:
    """Read the Traffic Selector at `position`; return it and where it ends.

    It has 16 octets (IPv4) or 40 (IPv6) of `octets` (RFC 7296 section 3.13.1).  Raises
    `WireError`: truncated, of another type or length, or it ends before it starts.
    """
    if len(octets) - position < _LAYOUT.size:
        raise WireError("truncated Traffic Selector")
    kind, ip_protocol, length, start_port, end_port = _LAYOUT.unpack_from(octets, position)
    size = _ADDRESS_OCTETS.get(kind)
    if size is None:
        raise WireError(f"Traffic Selector of type {TsType(kind)}")
    first = position + _LAYOUT.size
    middle, end = first + size, first + 2 * size
    if length != end - position or end > len(octets):
        raise WireError(f"Traffic Selector length {length} does not fit")
    start, stop = octets[first:middle], octets[middle:end]
    opaque = (start_port, end_port) == (MAX_PORT, 0)
    if start > stop or (start_port > end_port and not opaque):
        raise WireError("a Traffic Selector that ends before it starts")
    return TrafficSelector(kind, ip_protocol, start_port, end_port, start, stop), end


def is_label(octets: bytes, position: int) -> bool:
    """Tell whether a security label begins at `position` (RFC 9478 section 2.1)."""
    return octets[position : position + 1] == bytes((TsType.SECLABEL,))


def read_label(octets: bytes, position: int) -> tuple[SecurityLabel, int]:
    """Read the security label at `position`; return it and where it ends.

    It has 5 to 4,100 of `octets`, of which the label itself is all but 4 (RFC 9478
    section 2.1: at least one).  Raises `WireError` where it has another length or runs
    past the end.
    """
    first = position + _LABEL_HEAD.size
    if len(octets) < first:
        raise WireError("truncated security label")
    _, length = _LABEL_HEAD.unpack_from(octets, position)
    end = position + length
    if not first < end <= min(len(octets), first + MAX_LABEL_OCTETS):
        raise WireError(f"security label length {length} does not fit")
    return SecurityLabel(octets[first:end]), end
