"""The service manager's notification protocol, sd_notify(3): one datagram per message.

One socket, open from the start: whoever takes all our descriptors must not make us
look dead.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Final

_MICROSECONDS: Final = 1_000_000
_ABSTRACT: Final = "@"
_PATIENCE_SECONDS: Final = 0.2
"""The event loop waits for a manager whose queue is full no longer than this."""


class ServiceManager:
    """Says what the daemon is doing; silent where no service manager listens."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        address = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith(_ABSTRACT) else address
        self._socket = self._open()
        for_us = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = env.get("WATCHDOG_USEC", "") if for_us else ""
        self.watchdog_seconds = (
            int(microseconds) / _MICROSECONDS
            if microseconds.isascii() and microseconds.isdigit()
            else None
        ) or None
        """Silence that the manager allows; None where it doesn't watch."""

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def reloading(self, monotonic_seconds: float) -> None:
        stamp = int(monotonic_seconds * _MICROSECONDS)
        self._send(f"RELOADING=1\nMONOTONIC_USEC={stamp}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def _open(self) -> socket.socket | None:
        if not self._address:
            return None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        sock.settimeout(_PATIENCE_SECONDS)
        return sock

    def _send(self, message: str) -> None:
        # A service manager that went away must not take the keys with it.
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto(message.encode(), self._address)


def _line(text: str) -> str:
    """Keep a text on its line: what follows a newline would be another assignment."""
    return " ".join(text.split())
