"""Sockets that the service manager has bound for us: sd_listen_fds(3).

Ports below 1024 then need no capability of ours, and what comes while we restart
waits in them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Final

from gcks.daemon.udp import RECEIVE_BUFFER_OCTETS
from gcks.datagrams import Endpoint

FIRST_DESCRIPTOR: Final = 3
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Inherited:
    """What was handed over; each socket is taken once, the rest can be named and closed."""

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        """Take them over; children of ours find nothing of it in their environment."""
        env = os.environ if environment is None else environment
        pid, count, _ = (env.pop(name, "") for name in _VARIABLES)
        self._sockets: dict[tuple[int, Endpoint], socket.socket] = {}
        if pid != str(os.getpid()) or not count.isdigit():
            return
        for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)):
            sock = socket.socket(fileno=os.dup(number))  # which no child inherits
            os.close(number)
            self._sockets[sock.type, _address(sock)] = sock

    def udp(self, local: Endpoint) -> socket.socket | None:
        """Return the datagram socket of that address and port, if there is one."""
        sock = self._sockets.pop((socket.SOCK_DGRAM, local), None)
        if sock is not None:
            sock.settimeout(0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
        return sock

    def tcp(self, local: Endpoint) -> socket.socket | None:
        """Return the listening socket of that address and port, if there is one."""
        sock = self._sockets.pop((socket.SOCK_STREAM, local), None)
        if sock is not None:
            sock.settimeout(0)
        return sock

    def close_rest(self) -> list[str]:
        """Close what nobody has taken; return what it was."""
        rest = [
            f"{'udp' if kind == socket.SOCK_DGRAM else 'tcp'} {local}"
            for kind, local in self._sockets
        ]
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
        return rest


def _address(sock: socket.socket) -> Endpoint:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return Endpoint(str(sock.getsockname()), 0)
    return Endpoint(*sock.getsockname()[:2])
