"""Records of what must be durable before a peer can see it, and which alone change a group.

The server's memory of a group is these entries, applied in order; a store keeps what
is left of them, and gives it back as entries.  Octet strings marked *secret* are sealed
with the master key before they touch a disk.  Times are POSIX seconds (wall clock),
because they survive a restart.  Groups and identities are in text form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class SaSaved:
    """A Rekey SA or Data-Security SA exists; replaces a record with the same key."""

    group: str
    protocol: int
    spi: bytes
    name: str
    """The policy's name for a Data-Security SA, "" for the Rekey SA."""
    policy: bytes
    """The GSA policy substructure as first sent, encoded."""
    keymat: bytes = field(repr=False)
    """Secret: the keying material, GSK_e | GSK_a | GSK_w for a Rekey SA."""
    created_at: float
    expires_at: float
    retire_at: float = inf
    """When a replaced one is forgotten: its Deactivation Time Delay is over then."""


@dataclass(frozen=True, slots=True)
class SaDeleted:
    group: str
    protocol: int
    spi: bytes


@dataclass(frozen=True, slots=True)
class SpisReserved:
    """SPIs announced in GSA_NEXT_SPI for the policy `name` ("" for the Rekey SA)."""

    group: str
    name: str
    protocol: int
    spi: bytes


@dataclass(frozen=True, slots=True)
class MessageIdReserved:
    """Message IDs below `next_message_id` may have been used over this Rekey SA."""

    group: str
    spi: bytes
    next_message_id: int


@dataclass(frozen=True, slots=True)
class SenderIdsReserved:
    """Sender-IDs below `next_sender_id` may be in use under the current keys."""

    group: str
    next_sender_id: int


@dataclass(frozen=True, slots=True)
class RekeyMessageSaved:
    """A GSA_REKEY as sent, to be repeated bit-identical after a crash.

    No datagrams: all copies went out, there is nothing to repeat.
    """

    group: str
    spi: bytes
    message_id: int
    datagrams: tuple[bytes, ...]
    sent_at: float
    source: tuple[str, int] = ("", 0)
    destination: tuple[str, int] = ("", 0)
    """Address and UDP port."""


@dataclass(frozen=True, slots=True)
class AuthKeySaved:
    """The key pair that signs GSA_REKEY."""

    group: str
    algorithm: str
    private_key: bytes = field(repr=False)
    """Secret: PKCS#8 DER."""
    made_at: float = 0.0


@dataclass(frozen=True, slots=True)
class TermsSaved:
    """What GMs are told at registration only, so that no rekey can change it."""

    group: str
    authentication: str
    mode: str
    sender_id_bits: int
    key_management: str = "simple"
    """And the size of the keys in a tree: other ones can't wrap them."""


class MemberSaved(NamedTuple):
    """A GM is a member; replaces its former record."""

    group: str
    identity: str
    address: str
    sender_ids: tuple[int, ...]
    sag: bytes
    """The body of the SAg payload it announced, b"" if none."""
    registered_at: float
    reassembles: bool = False
    """Whether it negotiated IKE fragmentation."""
    certificate_ends: float = inf
    """When its certificate, or one above it, expires; infinite without certificate, and
    once the end was noticed."""
    certificates: bytes = b""
    """References of the certificates it proved itself with, 16 octets each."""
    leaf: int = -1
    """Its leaf in the key tree; -1: none."""
    sender: bool = False
    """Whether it registered as a sender."""
    inband: bool = False
    """Whether it was told to be rekeyed over its IKE SA, and never knew the Rekey SA."""


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    group: str
    identity: str


@dataclass(frozen=True, slots=True)
class MembersRemoved:
    """The group has started over: no members, no tree."""

    group: str


@dataclass(frozen=True, slots=True)
class TreeNodesSaved:
    """Keys of the key tree: height, number, Key ID and key (*secret*) of each node."""

    group: str
    nodes: tuple[tuple[int, int, int, bytes], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TreeNodesRemoved:
    group: str
    places: tuple[tuple[int, int], ...]
    """Height and number."""


@dataclass(frozen=True, slots=True)
class StaleLeavesSaved:
    """Leaves whose members are gone, and above which the keys are not changed yet.

    Replaces the former set.
    """

    group: str
    leaves: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExclusionSaved:
    """An operator has shut somebody out, until the exclusion is lifted."""

    group: str
    kind: str
    """What `name` is: a glob on identities, or the reference of a certificate in hexadecimal."""
    name: str
    excluded_at: float
    by: str
    """Who said so."""
    about: str = ""
    """For people: whose certificate it is."""


@dataclass(frozen=True, slots=True)
class ExclusionLifted:
    group: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class StepPlanned:
    """A group is going to do something of its own, whatever ends this run of the server."""

    group: str
    step: str
    """One of `gcks.keyserver.groups.steps`."""
    at: float
    """Infinite: no longer."""


@dataclass(frozen=True, slots=True)
class GroupRemoved:
    """The group is no longer served: forget all of it."""

    group: str


JournalEntry = (
    SaSaved
    | SaDeleted
    | SpisReserved
    | MessageIdReserved
    | SenderIdsReserved
    | RekeyMessageSaved
    | AuthKeySaved
    | TermsSaved
    | MemberSaved
    | MemberRemoved
    | MembersRemoved
    | TreeNodesSaved
    | TreeNodesRemoved
    | StaleLeavesSaved
    | ExclusionSaved
    | ExclusionLifted
    | StepPlanned
    | GroupRemoved
)
