"""What carries IKE messages: UDP with and without marker, TCP (RFC 9329), hexadecimal text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final, NamedTuple

from gcks.datagrams import Endpoint
from gcks.decode import network
from gcks.decode.capture import CaptureError, Packet, read_capture
from gcks.decode.network import Defragmenter, IpPacket, NotOurs, Segment
from gcks.iana import ExchangeType
from gcks.wire.header import HEADER_OCTETS, LAYOUT, MAX_MESSAGE_OCTETS, VERSION_2_0, Header

IKE_PORTS: Final = frozenset({500, 848, 4500})
NATT_PORT: Final = 4500
MARKER: Final = bytes(4)
"""The non-ESP marker (RFC 3948 section 2.2)."""
KEEPALIVE: Final = b"\xff"
"""RFC 3948 section 2.3."""
STREAM_PREFIX: Final = b"IKETCP"
_LENGTH_OCTETS: Final = 2
_SPI_OCTETS: Final = 4
MAX_STREAMS: Final = 4096


class Carried(NamedTuple):
    """One IKE message, as it came."""

    octets: bytes
    transport: str
    packet: int | None = None
    """Its number in the capture."""
    time: float | None = None
    source: Endpoint | None = None
    destination: Endpoint | None = None


class Census:
    """What was in the capture beside IKE messages."""

    __slots__ = ("esp", "others", "packets", "problem")

    def __init__(self) -> None:
        self.packets = 0
        self.others: Counter[str] = Counter()
        self.esp: Counter[bytes] = Counter()
        """By SPI."""
        self.problem = ""
        """Why reading ended before the end."""


# --- hexadecimal ----------------------------------------------------------------------

_NOT_HEX: Final = re.compile(rb"0[xX]|[\s:,]+")
_BLANK_LINE: Final = re.compile(rb"(?:\r?\n[ \t]*){2,}")
_HEX: Final = re.compile(rb"(?:[0-9a-fA-F]{2})+")


def read_hexadecimal(text: bytes) -> Iterator[Carried]:
    """Yield messages in hexadecimal, with blank lines between them.  Raises `CaptureError`."""
    for block in _BLANK_LINE.split(text.strip()):
        digits = _NOT_HEX.sub(b"", block)
        if not _HEX.fullmatch(digits):
            raise CaptureError("neither a capture nor a message in hexadecimal")
        octets = bytes.fromhex(digits.decode("ascii"))
        yield Carried(octets.removeprefix(MARKER), "hexadecimal")


# --- captures -------------------------------------------------------------------------


class Sniffer:
    """Finds the IKE messages of one capture."""

    def __init__(self, ports: frozenset[int]) -> None:
        """Look at IKE's own ports and at those in `ports`."""
        self.census = Census()
        self._ports = IKE_PORTS | ports
        self._stream_ports = frozenset({NATT_PORT}) | ports
        self._defragmenter = Defragmenter()
        self._streams: dict[tuple[Endpoint, Endpoint], _Stream] = {}

    def messages(self, capture: bytes) -> Iterator[Carried]:
        """Yield what is IKE; the census counts the rest, and says why reading ended early."""
        try:
            for packet in read_capture(capture):
                self.census.packets += 1
                yield from self._of_packet(packet)
        except CaptureError as error:
            self.census.problem = str(error)

    def _of_packet(self, packet: Packet) -> Iterator[Carried]:
        try:
            whole = self._defragmenter.add(network.ip_packet(packet))
            reader = _PROTOCOLS.get(whole.protocol)
            if reader is None:
                raise NotOurs(f"IP protocol {whole.protocol}")
            yield from reader(self, whole, packet)
        except NotOurs as reason:
            self.census.others[str(reason)] += 1

    def _udp(self, whole: IpPacket, packet: Packet) -> Iterator[Carried]:
        datagram = network.udp_datagram(whole)
        ports = {datagram.source.port, datagram.destination.port}
        if not ports & self._ports:
            raise NotOurs("UDP on other ports")
        at = (packet.number, packet.time, datagram.source, datagram.destination)
        if datagram.data == KEEPALIVE:
            raise NotOurs("NAT keepalives (RFC 3948)")
        if datagram.data.startswith(MARKER):
            yield Carried(datagram.data[len(MARKER) :], "UDP with non-ESP marker", *at)
        elif ports & IKE_PORTS <= {NATT_PORT} and not _is_ike(datagram.data, ports):
            self._count_esp(datagram.data)
        else:
            yield Carried(datagram.data, "UDP", *at)

    def _tcp(self, whole: IpPacket, packet: Packet) -> Iterator[Carried]:
        segment = network.tcp_segment(whole)
        if not {segment.source.port, segment.destination.port} & self._stream_ports:
            raise NotOurs("TCP on other ports")
        for frame in self._frames(segment):
            if frame.startswith(MARKER):
                at = (packet.number, packet.time, segment.source, segment.destination)
                yield Carried(frame[len(MARKER) :], "TCP", *at)
            elif frame:
                self._count_esp(frame)

    def _frames(self, segment: Segment) -> Iterator[bytes]:
        key = segment.source, segment.destination
        if segment.ends:
            self._streams.pop(key, None)
            return
        stream = self._streams.get(key)
        if stream is None or segment.syn:
            if len(self._streams) == MAX_STREAMS:
                del self._streams[next(iter(self._streams))]
            stream = self._streams[key] = _Stream(segment)
        try:
            yield from stream.add(segment)
        except NotOurs:
            del self._streams[key]
            raise

    def _esp(self, whole: IpPacket, packet: Packet) -> Iterator[Carried]:
        del packet
        self._count_esp(whole.body)
        yield from ()

    def _count_esp(self, octets: bytes) -> None:
        if len(octets) < 2 * _SPI_OCTETS:
            raise NotOurs("neither IKE nor ESP")
        self.census.esp[octets[:_SPI_OCTETS]] += 1


_PROTOCOLS: Final[dict[int, Callable[[Sniffer, IpPacket, Packet], Iterator[Carried]]]] = {
    network.UDP: Sniffer._udp,
    network.TCP: Sniffer._tcp,
    network.ESP: Sniffer._esp,
}


def _is_ike(octets: bytes, ports: set[int]) -> bool:
    """Tell IKE without marker from ESP, on a port that takes both.

    On 4500 it would be a mistake of its sender, so nothing but a whole message
    counts; on a port that was named, what looks like a broken one counts, too.
    """
    if len(octets) < HEADER_OCTETS:
        return False
    header = Header._make(LAYOUT.unpack_from(octets))
    alike = header.version == VERSION_2_0 and ExchangeType(header.exchange).assigned
    return alike and (NATT_PORT not in ports or header.length == len(octets))


# --- TCP ------------------------------------------------------------------------------

_LENGTH: Final = Struct(">H")
_SEQUENCES: Final = 1 << 32


class _Stream:
    """One direction of a connection: segments in order, overlaps cut off."""

    __slots__ = ("_buffer", "_expected", "_synchronized")

    def __init__(self, first: Segment) -> None:
        self._expected = (first.sequence + first.syn) % _SEQUENCES
        self._buffer = bytearray()
        self._synchronized = False
        """Whether a frame began where we took it to begin."""

    def add(self, segment: Segment) -> Iterator[bytes]:
        """Yield the frames that are complete.  Raises `NotOurs` where the stream is lost."""
        ahead = (segment.sequence + segment.syn - self._expected) % _SEQUENCES
        behind = -ahead % _SEQUENCES
        if 0 < ahead < _SEQUENCES // 2:
            raise NotOurs("TCP segments after a missing one")
        new = segment.data[behind:]
        self._expected = (self._expected + len(new)) % _SEQUENCES
        self._buffer += new
        if not self._synchronized:
            self._begin()
        yield from self._take()

    def _begin(self) -> None:
        prefix = bytes(self._buffer[: len(STREAM_PREFIX)])
        if len(prefix) < len(STREAM_PREFIX):
            return
        if prefix == STREAM_PREFIX:
            del self._buffer[: len(STREAM_PREFIX)]
        elif prefix[_LENGTH_OCTETS:] != MARKER:
            raise NotOurs("TCP that is no IKE, or seen from the middle of a message")
        self._synchronized = True

    def _take(self) -> Iterator[bytes]:
        while self._synchronized and len(self._buffer) >= _LENGTH_OCTETS:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length < _LENGTH_OCTETS:
                raise NotOurs("malformed TCP stream (RFC 9329)")
            if len(self._buffer) < length:
                return
            frame = bytes(self._buffer[_LENGTH_OCTETS:length])
            del self._buffer[:length]
            yield frame


MAX_HEXADECIMAL_OCTETS: Final = 4 * MAX_MESSAGE_OCTETS * 16
"""Octets of text: room for some messages with many spaces."""
