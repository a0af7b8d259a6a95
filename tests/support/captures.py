"""Makes capture files and packets, by the formats' definitions."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

ETHERNET, RAW, LINUX_SLL, LINUX_SLL2, NULL, LOOP = 1, 101, 113, 276, 0, 108
SOURCE, DESTINATION = "192.0.2.1", "239.1.2.3"
SOURCE_6, DESTINATION_6 = "2001:db8::1", "ff0e::7"


def pcap(
    packets: Iterable[bytes], link: int = RAW, order: str = "<", *, nano: bool = False
) -> bytes:
    """Return a pcap file with packets half a second past whole seconds."""
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262144, link)
    for number, packet in enumerate(packets):
        part = 500_000_000 if nano else 500_000
        out += struct.pack(f"{order}IIII", 1_700_000_000 + number, part, len(packet), len(packet))
        out += packet
    return out


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """Return one block of a pcapng file."""
    body += bytes(-len(body) % 4)
    length = len(body) + 12
    return struct.pack(f"{order}II", kind, length) + body + struct.pack(f"{order}I", length)


def section(order: str = "<") -> bytes:
    """Return a pcapng file's Section Header Block."""
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int, options: bytes = b"", order: str = "<") -> bytes:
    """Return an Interface Description Block."""
    return block(1, struct.pack(f"{order}HHI", link, 0, 0) + options, order)


def enhanced(packet: bytes, number: int = 0, stamp: int = 0, order: str = "<") -> bytes:
    """Return an Enhanced Packet Block; `stamp` in microseconds."""
    head = struct.pack(f"{order}IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, *[len(packet)] * 2)
    return block(6, head + packet, order)


def pcapng(packets: Iterable[bytes], link: int = RAW, order: str = "<") -> bytes:
    """Return a pcapng file with packets of one interface."""
    stamp = 1_700_000_000_500_000
    blocks = (enhanced(packet, 0, stamp, order) for packet in packets)
    return section(order) + interface(link, b"", order) + b"".join(blocks)


def ipv4(body: bytes, protocol: int = 17, *, fragment: int = 0, number: int = 1) -> bytes:
    """Return an IPv4 packet; `fragment` is flags and offset together."""
    ends = socket.inet_aton(SOURCE) + socket.inet_aton(DESTINATION)
    return (
        struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), number, fragment, 64, protocol, 0)
        + ends
        + body
    )


def ipv6(body: bytes, following: int = 17) -> bytes:
    """Return an IPv6 packet."""
    ends = socket.inet_pton(socket.AF_INET6, SOURCE_6) + socket.inet_pton(
        socket.AF_INET6, DESTINATION_6
    )
    return struct.pack(">IHBB", 6 << 28, len(body), following, 64) + ends + body


def udp(data: bytes, source: int = 500, destination: int = 500) -> bytes:
    """Return a UDP datagram."""
    return struct.pack(">HHHH", source, destination, 8 + len(data), 0) + data


def tcp(data: bytes, sequence: int, flags: int = 0x10, source: int = 40000) -> bytes:
    """Return a TCP segment to port 4500."""
    return struct.pack(">HHIIBBHHH", source, 4500, sequence, 0, 0x50, flags, 0, 0, 0) + data


def frame(message: bytes) -> bytes:
    """A message in a TCP stream (RFC 9329)."""
    return (len(message) + 6).to_bytes(2, "big") + bytes(4) + message


def with_length(message: bytes) -> bytes:
    """Put the real length into a message's header."""
    return message[:24] + len(message).to_bytes(4, "big") + message[28:]
