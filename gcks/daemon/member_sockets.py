"""What a member talks to its server with: two UDP ports, and a TCP connection where need be."""

from __future__ import annotations

import socket

from gcks.daemon.tcp import Connection
from gcks.daemon.udp import Drop, Receive, UdpPort, bind_udp
from gcks.datagrams import Endpoint, Transmit
from gcks.errors import LocalError
from gcks.member.settings import MemberSettings


class MemberSockets:
    """Bound at once; read from when the engine is there."""

    def __init__(self, settings: MemberSettings) -> None:
        """Bind a socket for each of the two kinds of port.  Raises `LocalError`."""
        host = settings.local.host or _source_address(settings.server)
        self._ordinary = bind_udp(Endpoint(host, settings.local.port))
        self._natt = bind_udp(Endpoint(host, settings.local_natt_port))
        self._ports: dict[Endpoint, UdpPort] = {}
        self._connection: Connection | None = None

    @property
    def local(self) -> Endpoint:
        """Where the ordinary port is."""
        return Endpoint(*self._ordinary.getsockname()[:2])

    @property
    def natt_port(self) -> int:
        return int(self._natt.getsockname()[1])

    def open(self, receive: Receive, drop: Drop) -> None:
        """Read from both; `drop` is told what never gets to the engine."""
        self._receive, self._drop = receive, drop
        for sock, natt in ((self._ordinary, False), (self._natt, True)):
            port = UdpPort(sock, receive, drop, natt=natt)
            self._ports[port.local] = port

    def send(self, transmit: Transmit) -> None:
        path = transmit.path
        if path.stream:
            self._connected(transmit).send(transmit.octets, path)
            return
        port = self._ports.get(path.local)
        if port is not None:
            port.send(transmit.octets, path)

    def _connected(self, transmit: Transmit) -> Connection:
        if self._connection is None:
            path = transmit.path
            self._connection = Connection(path.local.host, path.remote, self._receive, self._drop)
        return self._connection

    @property
    def send_errors(self) -> int:
        """How many datagrams the kernel did not take."""
        return sum(port.send_errors for port in self._ports.values())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        for port in self._ports.values():
            port.close()


def _source_address(server: Endpoint) -> str:
    """Return the address that this host uses towards the server."""
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(tuple(server))
        except OSError as error:
            raise LocalError(f"no route to the key server {server}: {error.strerror}") from None
        return str(sock.getsockname()[0])
