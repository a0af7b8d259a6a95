"""The multicast groups that a member listens at; several of its groups may share one."""

from __future__ import annotations

import time

from gcks.daemon.multicast import multicast_receiver
from gcks.daemon.udp import Drop, Receive, UdpPort
from gcks.datagrams import Endpoint, Path
from gcks.errors import LocalError
from gcks.member.data_plane import JoinMulticast, LeaveMulticast


class MulticastJoins:
    """One socket for each address and port, with how many want it."""

    def __init__(self, local: str, receive: Receive, drop: Drop, *, rehearses: bool) -> None:
        """`rehearses`: it may be told to lose what comes, for a demonstration."""
        self._local, self._receive, self._drop = local, receive, drop
        self._rehearses, self._deaf_until = rehearses, 0.0
        self._joined: dict[Endpoint, tuple[UdpPort, int]] = {}

    def join(self, command: JoinMulticast) -> None:
        """Raise `LocalError` where that can't be done."""
        group = Endpoint(command.address, command.port)
        port, count = self._joined.get(group, (None, 0))
        if port is None:
            sock = multicast_receiver(group, command.interface, self._local)
            port = UdpPort(sock, self._heard, self._drop, natt=False)
        self._joined[group] = (port, count + 1)

    def leave(self, command: LeaveMulticast) -> None:
        group = Endpoint(command.address, command.port)
        joined = self._joined.pop(group, None)
        if joined is None:
            return
        port, count = joined
        if count > 1:
            self._joined[group] = (port, count - 1)
        else:
            port.close()

    def _heard(self, datagram: bytes, path: Path) -> None:
        if time.monotonic() >= self._deaf_until:
            self._receive(datagram, path)

    def deafen(self, seconds: float) -> None:
        """Lose all that comes for a while.  Raises `LocalError` but in a demonstration."""
        if not self._rehearses:
            raise LocalError("this member doesn't run for gcks demo")
        self._deaf_until = time.monotonic() + seconds

    def close(self) -> None:
        for port, _ in self._joined.values():
            port.close()
