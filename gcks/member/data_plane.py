"""What a group member asks of its data plane: frozen command records (RFC 9838, RFC 5374).

The order of the tuple is the order of execution.  An SA is known by
(group, protocol, SPI).  A data plane obeys; all timing (ATD, DTD, lifetimes)
is done by the member engine, which says "now" by emitting the command.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from gcks.iana import ProtocolId
from gcks.wire.sa_usage import AggFrag, IpComp
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform


class Direction(Enum):
    """Which way an SA is installed (RFC 9838 section 2.3.3)."""

    IN = "in"
    OUT = "out"
    BOTH = "both"


class Mode(Enum):
    """RFC 5374: tunnel mode is always tunnel mode with address preservation."""

    TUNNEL = "tunnel"
    TRANSPORT = "transport"


class Feature(Enum):
    """What not every data plane can do with an SA."""

    SECLABEL = "seclabel"
    """Keep traffic of other security labels away from it (RFC 9478)."""
    AGGFRAG = "aggfrag"
    """Aggregation and fragmentation mode (RFC 9347)."""
    IPCOMP = "ipcomp"
    """IP compression with DEFLATE (RFC 3173, RFC 2394)."""


@dataclass(frozen=True, slots=True)
class InstallSa:
    """Install a Data-Security SA; accept inbound traffic on it at once.

    An SA of direction `OUT` or `BOTH` carries no outbound traffic before its
    `ActivateSa` comes (Activation Time Delay, RFC 9838 section 4.4.3.1.1).
    """

    group: str
    protocol: ProtocolId
    """ESP or AH."""
    spi: bytes
    """4 octets."""
    direction: Direction
    mode: Mode
    source: TrafficSelector
    destination: TrafficSelector
    encr: Transform | None
    integ: Transform | None
    """None when the cipher is AEAD."""
    key_e: bytes = field(repr=False)
    """Secret: encryption key with its salt, if the cipher has one; b"" for AH."""
    key_a: bytes = field(repr=False)
    """Secret: integrity key; b"" when the cipher is AEAD."""
    sender_ids: tuple[int, ...] = ()
    """This member's own Sender-IDs, for the IV of a counter-mode cipher (RFC 6054)."""
    sender_id_bits: int | None = None
    replay_protection: bool = False
    """True only when the sequence numbers are unique (SN transform, section 2.6)."""
    lifetime_seconds: int | None = None
    """Remaining lifetime; the engine removes the SA itself, this is a second fuse."""
    label: bytes = b""
    """The security label that traffic must have, b"" for any; with the NUL that ends a text."""
    aggfrag: AggFrag | None = None
    """The flags of aggregation and fragmentation mode; None: plain tunnel mode."""
    ipcomp: IpComp | None = None
    """The compression of inner packets, and the CPI of their IPComp header; None: none."""


@dataclass(frozen=True, slots=True)
class ActivateSa:
    """Send on this SA from now on, and no longer on the ones it replaces."""

    group: str
    protocol: ProtocolId
    spi: bytes
    replaces: tuple[bytes, ...] = ()
    """SPIs of the same protocol; they stay installed inbound until `RemoveSa`."""


@dataclass(frozen=True, slots=True)
class RemoveSa:
    """Remove an SA in every direction it was installed; unknown ones are no error."""

    group: str
    protocol: ProtocolId
    spi: bytes


@dataclass(frozen=True, slots=True)
class JoinMulticast:
    """Receive GSA_REKEY datagrams sent to this address and UDP port.

    One per (group, address, port); groups may share an address, so the edge
    counts the joins.
    """

    group: str
    address: str
    port: int
    interface: str | None = None
    source: str | None = None
    """The only address the GCKS sends from, None when the policy has a wildcard."""


@dataclass(frozen=True, slots=True)
class LeaveMulticast:
    """Undo a `JoinMulticast` of the same group, address and port."""

    group: str
    address: str
    port: int
    interface: str | None = None


DataPlaneCommand = InstallSa | ActivateSa | RemoveSa | JoinMulticast | LeaveMulticast
