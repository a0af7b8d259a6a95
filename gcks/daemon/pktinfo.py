"""Which address of this host a datagram came to, and which an answer leaves from.

A socket bound to no single address (0.0.0.0, ::) is told with every datagram
(IP_PKTINFO of ip(7), RFC 3542 section 6), and tells the kernel when it answers:
peers compare the address with the one they asked, in NAT detection too.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from struct import Struct
from typing import Final

from gcks.datagrams import Endpoint

ANY_IPV4: Final = "0.0.0.0"  # noqa: S104 - what the operator has configured
ANY_IPV6: Final = "::"

_IP_PKTINFO: Final = 8
_IP_MULTICAST_ALL: Final = 49
_IPV6_MULTICAST_ALL: Final = 29
"""Of linux/in.h and linux/in6.h; Python has no names for them."""
_IPV4: Final = Struct("=I4s4s")
"""struct in_pktinfo: interface, local address, destination in the header."""
_IPV6: Final = Struct("=16sI")
"""struct in6_pktinfo: address, interface."""
_CONTROL_OCTETS: Final = socket.CMSG_SPACE(max(_IPV4.size, _IPV6.size))


def any_of(host: str) -> str:
    """Return the wildcard of a host's IP version."""
    return ANY_IPV6 if ":" in host else ANY_IPV4


def enable(sock: socket.socket) -> None:
    """Ask for the address of every datagram, and for none of other sockets' multicast groups."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)


def receive(sock: socket.socket, octets: int) -> tuple[bytes, Endpoint, str]:
    """Return a datagram, its sender, and the address it came to.

    The address is empty where it isn't one of a single host: nobody may make us
    answer from elsewhere to what was sent to many.  Raises OSError.
    """
    content, control, _, remote = sock.recvmsg(octets, _CONTROL_OCTETS)
    return content, Endpoint(remote[0], remote[1]), _destination(control)


def _destination(control: Sequence[tuple[int, int, bytes]]) -> str:
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, local, sent_to = _IPV4.unpack_from(data)
            return socket.inet_ntop(socket.AF_INET, local) if local == sent_to else ""
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            sent_to, _ = _IPV6.unpack_from(data)
            address = ip_address(sent_to)
            return "" if address.is_multicast else str(address)
    return ""


def send(sock: socket.socket, octets: bytes, source: str, remote: Endpoint) -> None:
    """Send from one of this host's addresses.  Raises OSError."""
    packed = ip_address(source).packed
    if sock.family == socket.AF_INET6:
        level, kind, data = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _IPV6.pack(packed, 0)
    else:
        level, kind, data = socket.IPPROTO_IP, _IP_PKTINFO, _IPV4.pack(0, packed, bytes(4))
    sock.sendmsg([octets], [(level, kind, data)], 0, tuple(remote))
