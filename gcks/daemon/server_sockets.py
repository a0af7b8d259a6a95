"""All that a server receives at and sends from: UDP ports, TCP streams, rekey senders."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

from gcks.daemon.config.loaded import Listener
from gcks.daemon.inherited import Inherited
from gcks.daemon.pktinfo import any_of
from gcks.daemon.senders import RekeySenders, make_senders
from gcks.daemon.tcp import Streams, bind_tcp
from gcks.daemon.udp import Drop, Receive, UdpPort, bind_udp
from gcks.datagrams import Endpoint, Transmit
from gcks.errors import LocalError
from gcks.events import SocketsNotUsed, Tell
from gcks.keyserver.groups.policy import GroupPolicy


class ServerSockets:
    """Bound at once; read from when the engine is there."""

    def __init__(
        self, listeners: Iterable[Listener], groups: Iterable[GroupPolicy], tell: Tell
    ) -> None:
        """Bind every port, or none; what the service manager has bound is taken.

        Raises `LocalError` naming the address.
        """
        self._udp: list[tuple[socket.socket, bool]] = []
        """Bound sockets, and whether NAT traversal's marker is wanted there."""
        self._tcp: list[socket.socket] = []
        inherited = Inherited()
        try:
            for listener in listeners:
                self._bind(listener, inherited)
            senders = make_senders(groups, [sock for sock, _ in self._udp])
        except LocalError:
            for sock in (*(sock for sock, _ in self._udp), *self._tcp):
                sock.close()
            raise
        finally:
            rest = inherited.close_rest()
        if rest:
            tell((SocketsNotUsed((*rest,), "see listen in gcks.yaml"),))
        self._rekeys = RekeySenders(senders, tell)
        self._ports: dict[Endpoint, UdpPort] = {}

    def _bind(self, listener: Listener, inherited: Inherited) -> None:
        for natt, ports in ((False, listener.ike), (True, listener.natt)):
            for port in ports:
                local = Endpoint(listener.address, port)
                self._udp.append((inherited.udp(local) or bind_udp(local), natt))
        for port in listener.tcp:
            local = Endpoint(listener.address, port)
            self._tcp.append(inherited.tcp(local) or bind_tcp(local))

    def open(self, receive: Receive, drop: Drop) -> None:
        """Read from every UDP port; `drop` is told what never gets to the engine."""
        self._streams = Streams(receive, drop)
        for sock, natt in self._udp:
            port = UdpPort(sock, receive, drop, natt=natt)
            self._ports[port.local] = port

    async def listen(self) -> None:
        """Take TCP connections."""
        for sock in self._tcp:
            await self._streams.listen(sock)

    def pause(self) -> None:
        """Leave datagrams to the kernel."""
        for reader in self._readers():
            reader.pause()

    def resume(self) -> None:
        for reader in self._readers():
            reader.resume()

    def _readers(self) -> Iterator[UdpPort | Streams]:
        yield from self._ports.values()
        yield self._streams

    def with_senders_of(self, groups: Iterable[GroupPolicy]) -> AbstractContextManager[None]:
        """Take over what other groups send from, unless the body raises `LocalError`.

        Raises `LocalError`, before the body, where it can't be opened.
        """
        known: Sequence[socket.socket] = [port.socket for port in self._ports.values()]
        return self._rekeys.with_those_of(groups, known)

    def send(self, transmit: Transmit) -> bool:
        """Send one datagram; tell whether there was a way for it."""
        if transmit.multicast:
            return self._rekeys.send(transmit)
        if transmit.path.stream:
            self._streams.send(transmit.octets, transmit.path)
            return True
        port = self._port_of(transmit.path.local)
        if port is not None:
            port.send(transmit.octets, transmit.path)
        return port is not None

    def _port_of(self, local: Endpoint) -> UdpPort | None:
        """Return the port with that address, or the one for all addresses."""
        return self._ports.get(local) or self._ports.get(Endpoint(any_of(local.host), local.port))

    # --- what the metrics show ------------------------------------------------------------

    @property
    def send_errors(self) -> int:
        """How many datagrams the kernel did not take."""
        return self._rekeys.not_sent + sum(port.send_errors for port in self._ports.values())

    @property
    def streams(self) -> tuple[int, int]:
        """How many TCP connections are open, and how many were refused."""
        return len(self._streams), self._streams.refused

    def close(self) -> None:
        self._streams.close()
        for port in self._ports.values():
            port.close()
        self._rekeys.close()
