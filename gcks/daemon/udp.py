"""UDP sockets: many datagrams per wake-up, the non-ESP marker on and off, replies from where asked.

On port 4500 (and its stand-ins) four zero octets precede the IKE header (RFC
3948); on other ports none do, but strongSwan sends them on every port but 500,
so four leading zeros, which can't begin a usable SPI, count as a marker there
and the answer carries one too.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

from gcks.daemon import pktinfo
from gcks.datagrams import Endpoint, Path
from gcks.errors import DropReason, LocalError
from gcks.events import DatagramDropped

MARKER: Final = b"\0\0\0\0"
KEEPALIVE: Final = b"\xff"
MAX_DATAGRAM_OCTETS: Final = 65535
DATAGRAMS_PER_WAKEUP: Final = 64
RECEIVE_BUFFER_OCTETS: Final = 4 << 20
_TO_MANY: Final = "sent to a multicast or broadcast address"
_UNMARKED: Final = "no non-ESP marker on a NAT traversal port"

Receive = Callable[[bytes, Path], None]
Drop = Callable[[DatagramDropped], None]


def bind_udp(local: Endpoint, *, reuse: bool = False, scope: int = 0) -> socket.socket:
    """Make a bound, non-blocking socket.

    `scope` is the interface index that an IPv6 link-local address needs.  Raises
    `LocalError` naming address and remedy.
    """
    family = socket.AF_INET6 if ":" in local.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
        sock.bind((*local, 0, scope) if family == socket.AF_INET6 else local)
    except OSError as error:
        sock.close()
        raise LocalError(f"can't listen on UDP {local}: {_remedy(error)}") from None
    return sock


def share_port(sock: socket.socket) -> None:
    """Let members on this host bind the same port on a multicast address.

    Set after binding: a port that another daemon occupies was an error by then.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _remedy(error: OSError) -> str:
    remedies = {
        errno.EADDRINUSE: "the port is occupied; stop the other IKE daemon or choose another port",
        errno.EACCES: "no permission for this port; run under systemd or give CAP_NET_BIND_SERVICE",
        errno.EADDRNOTAVAIL: "this host has no such address",
    }
    return remedies.get(error.errno or 0, error.strerror or str(error))


def framed(octets: bytes, path: Path) -> bytes:
    """Put the non-ESP marker before an IKE message where its path has one (RFC 3948)."""
    return MARKER + octets if path.marker else octets


class UdpPort:
    """One bound socket on the event loop."""

    def __init__(self, sock: socket.socket, receive: Receive, drop: Drop, *, natt: bool) -> None:
        """On a `natt` port every IKE message has the marker; `drop` hears of those without."""
        self.socket = self._sock = sock
        self._receive, self._drop, self._natt = receive, drop, natt
        name = sock.getsockname()
        self.local = Endpoint(name[0], name[1])
        self._wildcard = name[0] == pktinfo.any_of(name[0])
        if self._wildcard:
            pktinfo.enable(sock)
        self.send_errors = 0
        self._reading = False
        self.resume()

    def resume(self) -> None:
        if not self._reading:
            asyncio.get_running_loop().add_reader(self._sock.fileno(), self._readable)
            self._reading = True

    def pause(self) -> None:
        """Leave datagrams to the kernel's bounded buffer."""
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._reading = False

    def _readable(self) -> None:
        take = self._take_from_any if self._wildcard else self._take_next
        for _ in range(DATAGRAMS_PER_WAKEUP):
            try:
                take()
            except BlockingIOError:
                return
            except OSError:
                continue

    def _take_next(self) -> None:
        octets, address = self._sock.recvfrom(MAX_DATAGRAM_OCTETS)
        self._take(octets, Endpoint(address[0], address[1]), self.local)

    def _take_from_any(self) -> None:
        octets, remote, host = pktinfo.receive(self._sock, MAX_DATAGRAM_OCTETS)
        if host:
            self._take(octets, remote, Endpoint(host, self.local.port))
        else:
            self._drop(DatagramDropped(DropReason.MALFORMED, str(remote), _TO_MANY))

    def _take(self, octets: bytes, remote: Endpoint, local: Endpoint) -> None:
        marked = octets[:4] == MARKER
        if self._natt and not marked:
            if octets != KEEPALIVE:
                self._drop(DatagramDropped(DropReason.MALFORMED, str(remote), _UNMARKED))
            return
        path = Path(local, remote, marked)
        self._receive(octets[4:] if marked else octets, path)

    def send(self, octets: bytes, path: Path) -> None:
        """Send now or not at all: IKE retransmits what the kernel has no room for."""
        try:
            if self._wildcard:
                pktinfo.send(self._sock, framed(octets, path), path.local.host, path.remote)
            else:
                self._sock.sendto(framed(octets, path), tuple(path.remote))
        except OSError:
            self.send_errors += 1

    def close(self) -> None:
        self.pause()
        self._sock.close()
