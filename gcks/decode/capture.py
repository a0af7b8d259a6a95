"""Capture files: pcap and pcapng, to packets.

pcap: a header of 24 octets, then records of 16 octets and the packet.  pcapng
(draft-ietf-opsawg-pcapng): blocks of Type | Length | body | Length, in sections
with a byte order of their own, each of which names its interfaces first.

A file that is cut short or damaged gives what stands before the damage; every
turn of a loop consumes octets that are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import Final, NamedTuple

from gcks.errors import GcksError

MAX_PACKET_OCTETS: Final = 262_144
"""tcpdump's and Wireshark's largest snapshot."""
MAX_INTERFACES: Final = 1024


class CaptureError(GcksError):
    """The file is no capture, or damaged from here on; the text says where."""


class Packet(NamedTuple):
    """One packet as captured; `time` is in POSIX seconds, None where the file has none."""

    number: int
    time: float | None
    link_type: int
    octets: bytes


_PCAP_MAGIC: Final = {
    b"\xa1\xb2\xc3\xd4": (">", 1e6),
    b"\xd4\xc3\xb2\xa1": ("<", 1e6),
    b"\xa1\xb2\x3c\x4d": (">", 1e9),
    b"\x4d\x3c\xb2\xa1": ("<", 1e9),
}
"""Byte order, and fractions of a second."""
_PCAPNG_MAGIC: Final = b"\x0a\x0d\x0d\x0a"
_PCAP_HEADER_OCTETS: Final = 24
_LINK_TYPE_BITS: Final = 0xFFFF
"""The bits above tell of frame check sequences."""


def is_capture(octets: bytes) -> bool:
    """Tell whether a file begins like a capture."""
    return octets[:4] in _PCAP_MAGIC or octets[:4] == _PCAPNG_MAGIC


def read_capture(octets: bytes) -> Iterator[Packet]:
    """Yield the packets of a capture file.  Raises `CaptureError` where it is damaged."""
    if octets[:4] == _PCAPNG_MAGIC:
        return _read_pcapng(octets)
    if octets[:4] in _PCAP_MAGIC:
        return _read_pcap(octets)
    raise CaptureError("neither pcap nor pcapng")


def _read_pcap(octets: bytes) -> Iterator[Packet]:
    order, fractions = _PCAP_MAGIC[octets[:4]]
    if len(octets) < _PCAP_HEADER_OCTETS:
        raise CaptureError("the capture ends in its header")
    (link_type,) = Struct(f"{order}I").unpack_from(octets, 20)
    record = Struct(f"{order}IIII")
    position, number = _PCAP_HEADER_OCTETS, 0
    while position < len(octets):
        number += 1
        if len(octets) - position < record.size:
            raise _cut(position)
        seconds, part, length, _ = record.unpack_from(octets, position)
        position += record.size
        data = _data(octets, position, length)
        yield Packet(number, seconds + part / fractions, link_type & _LINK_TYPE_BITS, data)
        position += length


def _data(octets: bytes, position: int, length: int) -> bytes:
    if length > MAX_PACKET_OCTETS:
        raise CaptureError(f"a packet of {length} octets at octet {position}: damaged from there")
    if length > len(octets) - position:
        raise _cut(position)
    return octets[position : position + length]


def _cut(position: int) -> CaptureError:
    return CaptureError(f"the capture is cut off in the packet at octet {position}")


# --- pcapng ---------------------------------------------------------------------------

_INTERFACE: Final = 1
_OLD_PACKET: Final = 2
_SIMPLE_PACKET: Final = 3
_ENHANCED_PACKET: Final = 6
_BYTE_ORDER: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_MIN_BLOCK_OCTETS: Final = 12
_TSRESOL: Final = 9
_TSOFFSET: Final = 14
_TSRESOL_BINARY: Final = 0x80


@dataclass(frozen=True, slots=True)
class _Interface:
    link_type: int
    units: float = 1e6
    """In a second."""
    offset_seconds: int = 0


@dataclass(slots=True)
class _CaptureSection:
    order: str = "<"
    interfaces: list[_Interface] = field(default_factory=list)


def _read_pcapng(octets: bytes) -> Iterator[Packet]:
    section, position, number = _CaptureSection(), 0, 0
    while position < len(octets):
        if octets[position : position + 4] == _PCAPNG_MAGIC:
            section = _begin_section(octets, position)
        kind, body, position = _block(octets, position, section.order)
        if kind == _INTERFACE:
            _add_interface(section, body)
        elif kind in _PACKETS:
            number += 1
            yield _packet(kind, body, section, number)


def _begin_section(octets: bytes, position: int) -> _CaptureSection:
    order = _BYTE_ORDER.get(octets[position + 8 : position + 12])
    if order is None:
        raise CaptureError(f"no byte order in the section at octet {position}")
    return _CaptureSection(order)


def _block(octets: bytes, position: int, order: str) -> tuple[int, bytes, int]:
    """Return type, body and end of the block at `position`."""
    if len(octets) - position < _MIN_BLOCK_OCTETS:
        raise _cut(position)
    kind, length = Struct(f"{order}II").unpack_from(octets, position)
    if length < _MIN_BLOCK_OCTETS or length % 4:
        raise CaptureError(f"a block of {length} octets at octet {position}: damaged from there")
    if length > len(octets) - position:
        raise _cut(position)
    end = position + length
    return kind, octets[position + 8 : end - 4], end


def _add_interface(section: _CaptureSection, body: bytes) -> None:
    if len(body) < 8 or len(section.interfaces) == MAX_INTERFACES:
        raise CaptureError("an interface description that is too short, or too many of them")
    (link_type,) = Struct(f"{section.order}H").unpack_from(body)
    units, offset = 1e6, 0
    for code, value in _options(body[8:], section.order):
        if code == _TSRESOL and len(value) == 1:
            base = 2.0 if value[0] & _TSRESOL_BINARY else 10.0
            units = base ** (value[0] & ~_TSRESOL_BINARY)
        elif code == _TSOFFSET and len(value) == 8:
            (offset,) = Struct(f"{section.order}q").unpack(value)
    section.interfaces.append(_Interface(link_type, units, offset))


def _options(octets: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield code and value of options; silent at the first that doesn't fit."""
    head, position = Struct(f"{order}HH"), 0
    while len(octets) - position >= head.size:
        code, length = head.unpack_from(octets, position)
        position += head.size
        if not code or length > len(octets) - position:
            return
        yield code, octets[position : position + length]
        position += length + -length % 4


class _PacketHead(NamedTuple):
    interface: int
    stamp: int | None
    captured: int
    data_at: int


def _enhanced(body: bytes, order: str) -> _PacketHead:
    interface, high, low, captured, _ = Struct(f"{order}IIIII").unpack_from(body)
    return _PacketHead(interface, high << 32 | low, captured, 20)


def _old(body: bytes, order: str) -> _PacketHead:
    interface, _, high, low, captured, _ = Struct(f"{order}HHIIII").unpack_from(body)
    return _PacketHead(interface, high << 32 | low, captured, 20)


def _simple(body: bytes, order: str) -> _PacketHead:
    (original,) = Struct(f"{order}I").unpack_from(body)
    return _PacketHead(0, None, min(original, len(body) - 4), 4)


_PACKETS: Final = {
    _ENHANCED_PACKET: (_enhanced, 20),
    _OLD_PACKET: (_old, 20),
    _SIMPLE_PACKET: (_simple, 4),
}
"""What reads the head of a packet block, and its octets."""


def _packet(kind: int, body: bytes, section: _CaptureSection, number: int) -> Packet:
    read, least = _PACKETS[kind]
    if len(body) < least:
        raise CaptureError(f"packet {number} is shorter than its header")
    head = read(body, section.order)
    if head.interface >= len(section.interfaces):
        raise CaptureError(f"packet {number} is of an interface that the file doesn't name")
    interface = section.interfaces[head.interface]
    time = None
    if head.stamp is not None:
        time = interface.offset_seconds + head.stamp / interface.units
    data = _data(body, head.data_at, head.captured)
    return Packet(number, time, interface.link_type, data)
