"""Frozen records of what happened; the edge turns them into log lines and metrics.

Nothing here holds a secret.  `remote` is "address:port" or "[address]:port";
identities and groups are in their text form ("fqdn:gm1.example").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gcks.errors import DropReason, RefusalReason
from gcks.iana import ExchangeType, NotifyType, ProtocolId


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; `name` is the stable name in logs."""

    name: ClassVar[str]


# --- both roles ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DatagramDropped(Event):
    name = "datagram_dropped"
    reason: DropReason
    remote: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RequestRefused(Event):
    """A request outside registration was answered with an error notification."""

    name = "request_refused"
    remote: str
    exchange: ExchangeType
    notify: NotifyType
    cause: str
    identity: str = ""


@dataclass(frozen=True, slots=True)
class IkeSaInitAnswered(Event):
    name = "ike_sa_init_answered"
    remote: str


@dataclass(frozen=True, slots=True)
class CookieRequired(Event):
    name = "cookie_required"
    remote: str


@dataclass(frozen=True, slots=True)
class PuzzleRequired(Event):
    name = "puzzle_required"
    remote: str
    difficulty: int


@dataclass(frozen=True, slots=True)
class IkeSaClosed(Event):
    name = "ike_sa_closed"
    remote: str
    identity: str
    cause: str


# --- GCKS ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PeerAuthenticated(Event):
    """An IKEv2 peer proved who it is, and has registered to no group yet (RFC 6023)."""

    name = "peer_authenticated"
    remote: str
    identity: str
    method: str


@dataclass(frozen=True, slots=True)
class IkeSaRekeyed(Event):
    """A new IKE SA with the same peer took over; keys and Message IDs began anew."""

    name = "ike_sa_rekeyed"
    remote: str
    identity: str
    by_peer: bool


@dataclass(frozen=True, slots=True)
class MemberRegistered(Event):
    name = "member_registered"
    group: str
    identity: str
    remote: str
    method: str
    sender_ids: int
    again: bool
    members: int
    hint: str = ""
    seconds: float = 0.0
    """Since IKE_SA_INIT; 0 over an IKE SA that was there."""


@dataclass(frozen=True, slots=True)
class RegistrationRefused(Event):
    name = "registration_refused"
    group: str
    identity: str
    remote: str
    notify: NotifyType
    reason: RefusalReason
    cause: str
    """The first mismatch, in one sentence."""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RegistrationAbandoned(Event):
    """A peer began an IKE SA and never proved who it is."""

    name = "registration_abandoned"
    remote: str
    reason: RefusalReason
    cause: str
    hint: str


@dataclass(frozen=True, slots=True)
class MemberLeft(Event):
    name = "member_left"
    group: str
    identity: str
    address: str
    """Where it registered from."""
    cause: str
    members: int
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ServerRefused(Event):
    """A peer doesn't accept our proof of who we are; its memberships are as they were."""

    name = "server_refused"
    remote: str
    identity: str
    cause: str
    hint: str


@dataclass(frozen=True, slots=True)
class GroupStartedOver(Event):
    """All SAs were deleted: every member has to register again and gets new keys."""

    name = "group_started_over"
    group: str
    members: int


@dataclass(frozen=True, slots=True)
class MemberCertificateEnded(Event):
    """A registered member's certificate has expired or was revoked."""

    name = "member_certificate_ended"
    group: str
    identity: str
    cause: str
    removed: bool


@dataclass(frozen=True, slots=True)
class SaCreated(Event):
    name = "sa_created"
    group: str
    protocol: ProtocolId
    spi: str
    lifetime_seconds: int


@dataclass(frozen=True, slots=True)
class SaDeleted(Event):
    name = "sa_deleted"
    group: str
    protocol: ProtocolId
    spi: str


@dataclass(frozen=True, slots=True)
class RekeySent(Event):
    """One copy of a GSA_REKEY went out; `copy` counts from 1."""

    name = "rekey_sent"
    group: str
    message_id: int
    copy: int
    copies: int
    octets: int
    reminder: bool = False


@dataclass(frozen=True, slots=True)
class SenderIdsExhausted(Event):
    name = "sender_ids_exhausted"
    group: str


@dataclass(frozen=True, slots=True)
class MembersLockedOut(Event):
    """A changed policy asks for what some members say that they can't."""

    name = "members_locked_out"
    group: str
    members: int
    identity: str
    """One of them."""
    cause: str


@dataclass(frozen=True, slots=True)
class OperatorExcluded(Event):
    """An operator has shut somebody out."""

    name = "operator_excluded"
    group: str
    kind: str
    names: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True)
class OperatorReadmitted(Event):
    """An operator has lifted exclusions."""

    name = "operator_readmitted"
    group: str
    kind: str
    names: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True)
class OperatorOrdered(Event):
    """An operator has ordered something over the control socket."""

    name = "operator_ordered"
    order: str
    group: str
    by: str


@dataclass(frozen=True, slots=True)
class SenderIdsLow(Event):
    """The group will start over at its next rekey, before it runs out of Sender-IDs."""

    name = "sender_ids_low"
    group: str
    left: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ServerStarted(Event):
    """The key server answers."""

    name = "server_started"
    version: str
    config: str
    identity: str
    listening: tuple[str, ...]
    groups: int


@dataclass(frozen=True, slots=True)
class ServerStopping(Event):
    name = "server_stopping"
    cause: str
    failed: bool


@dataclass(frozen=True, slots=True)
class GroupStarted(Event):
    """A group is served; `restored` tells whether it continues stored state."""

    name = "group_started"
    group: str
    restored: bool
    members: int


@dataclass(frozen=True, slots=True)
class GroupRemovedEvent(Event):
    """A group is no longer configured: its keys and members are forgotten.

    Members are told where the server still knows the group's keys: by a reload.
    """

    name = "group_removed"
    group: str
    members: int


# --- GM -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Registering(Event):
    name = "registering"
    group: str
    server: str
    cause: str


@dataclass(frozen=True, slots=True)
class Registered(Event):
    name = "registered"
    group: str
    server: str
    data_sas: int
    sender_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NothingToSendOn(Event):
    """A sender was told no SA whose source is one of this host's addresses."""

    name = "nothing_to_send_on"
    group: str
    addresses: tuple[str, ...]
    hint: str


@dataclass(frozen=True, slots=True)
class RegistrationFailedEvent(Event):
    name = "registration_failed"
    group: str
    server: str
    cause: str
    hint: str
    retry_seconds: float


@dataclass(frozen=True, slots=True)
class PolicyRefused(Event):
    """The server's policy is beyond this member's ceiling."""

    name = "policy_refused"
    group: str
    cause: str
    hint: str
    retry_seconds: float = 0.0
    """Until the next registration; 0 where a rekey brought it."""


@dataclass(frozen=True, slots=True)
class RekeyReceived(Event):
    name = "rekey_received"
    group: str
    message_id: int
    data_sas: int
    rekey_sa: bool
    deleted: int
    reminder: bool = False
    """It told what this member had already."""


class RegisterAgain(Enum):
    """Why a member has to register again (RFC 9838 section 2.4.3)."""

    ALL_KEYS_DELETED = "all_keys_deleted"
    """The group starts over; whether without this member, its next registration tells."""
    EXCLUDED = "excluded"
    """Others were told new keys that this member has no way to."""
    REKEY_LOST = "rekey_lost"
    SA_EXPIRING = "sa_expiring"
    REKEY_SA_DELETED = "rekey_sa_deleted"
    NO_SENDER_ID = "no_sender_id"
    POLICY_REFUSED = "policy_refused"
    IKE_SA_CLOSED = "ike_sa_closed"


@dataclass(frozen=True, slots=True)
class Reregistering(Event):
    name = "reregistering"
    group: str
    reason: RegisterAgain
    cause: str
    delay_seconds: float
    hint: str = ""


@dataclass(frozen=True, slots=True)
class StrangeRekeysSeen(Event):
    """GSA_REKEYs come over an SA that this member doesn't have; anybody may have sent them."""

    name = "strange_rekeys_seen"
    group: str
    remote: str
    hint: str


class SaChange(Enum):
    """What a member's data plane is told to do with a Data-Security SA."""

    INSTALL = "install"
    ACTIVATE = "activate"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class DataPlaneFailed(Event):
    """The data plane could not do it: the group's packets may not get through."""

    name = "data_plane_failed"
    group: str
    command: SaChange
    spi: str
    cause: str


@dataclass(frozen=True, slots=True)
class ReceivesOnly(Event):
    """An SA is installed, but this host can't send on it as the policy would let it."""

    name = "receives_only"
    group: str
    spi: str
    cause: str


@dataclass(frozen=True, slots=True)
class MemberStarted(Event):
    """The member is ready, and registers."""

    name = "member_started"
    version: str
    config: str
    identity: str
    server: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemberStopping(Event):
    name = "member_stopping"
    cause: str
    failed: bool


@dataclass(frozen=True, slots=True)
class ServerNotTold(Event):
    """This member has left, and the server, which still counts it in, couldn't be told."""

    name = "server_not_told"
    server: str
    groups: tuple[str, ...]
    cause: str


@dataclass(frozen=True, slots=True)
class LeftGroup(Event):
    name = "left_group"
    group: str
    cause: str
