"""Datagrams, and the ways that they take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from gcks.iana import ExchangeType


class Endpoint(NamedTuple):
    """An IP address in its canonical text form, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Path(NamedTuple):
    """Where a datagram came from or goes to.

    `marker` tells whether the four zero octets of RFC 3948 precede the IKE
    header; the edge strips and adds them, the engines never see them.
    """

    local: Endpoint
    remote: Endpoint
    marker: bool = False
    stream: int = 0
    """Number of the TCP connection (RFC 9329); 0 for UDP."""


class Awaited(NamedTuple):
    """What is waited for until a datagram has left: a rekey, or the answer to a registration."""

    exchange: ExchangeType
    since: float
    """Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Transmit:
    """One datagram to send: unicast along `path`, or multicast from its local endpoint."""

    octets: bytes
    path: Path
    multicast: bool = False
    awaited: Awaited | None = field(default=None, compare=False)
    """With the last octets of what has not been sent before."""
