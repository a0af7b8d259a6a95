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
    """Base of all events; `name` is the stable name in logs.

    docs/events.md is made of the classes: their docstrings, and those of their fields.
    """

    name: ClassVar[str]


@dataclass(frozen=True, slots=True)
class ServerEvent(Event):
    """What only a key server has to say."""


@dataclass(frozen=True, slots=True)
class MemberEvent(Event):
    """What only a member has to say."""


# --- both roles ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DatagramDropped(Event):
    """A datagram was dropped without an answer."""

    name = "datagram_dropped"
    reason: DropReason
    remote: str
    detail: str = ""
    """What was wrong with it."""


@dataclass(frozen=True, slots=True)
class IkeSaClosed(Event):
    """An IKE SA has ended, on purpose or not; the SAs of the groups go on."""

    name = "ike_sa_closed"
    remote: str
    identity: str
    cause: str


@dataclass(frozen=True, slots=True)
class IkeSaRekeyed(Event):
    """A new IKE SA with the same peer took over; keys and Message IDs began anew."""

    name = "ike_sa_rekeyed"
    remote: str
    identity: str
    by_peer: bool
    """Whether the other side began it."""


# --- GCKS ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IkeSaInitAnswered(ServerEvent):
    """A half-open IKE SA began: IKE_SA_INIT was answered."""

    name = "ike_sa_init_answered"
    remote: str


@dataclass(frozen=True, slots=True)
class CookieRequired(ServerEvent):
    """A new peer was asked for a cookie (RFC 7296 section 2.6)."""

    name = "cookie_required"
    remote: str


@dataclass(frozen=True, slots=True)
class PuzzleRequired(ServerEvent):
    """A new peer was given a puzzle (RFC 8019)."""

    name = "puzzle_required"
    remote: str
    difficulty: int
    """Bits of work."""


@dataclass(frozen=True, slots=True)
class RequestRefused(ServerEvent):
    """A request outside registration was answered with an error notification."""

    name = "request_refused"
    remote: str
    exchange: ExchangeType
    """The exchange that the request began."""
    notify: NotifyType
    cause: str
    identity: str = ""


@dataclass(frozen=True, slots=True)
class PeerAuthenticated(ServerEvent):
    """An IKEv2 peer proved who it is, and has registered to no group yet (RFC 6023)."""

    name = "peer_authenticated"
    remote: str
    identity: str
    method: str


@dataclass(frozen=True, slots=True)
class MemberRegistered(ServerEvent):
    """A member was admitted to a group and got its policy and keys."""

    name = "member_registered"
    group: str
    identity: str
    remote: str
    method: str
    sender_ids: int
    """How many it got; 0 for a receiver."""
    again: bool
    """Whether it was a member already."""
    members: int
    hint: str = ""
    seconds: float = 0.0
    """Since IKE_SA_INIT; 0 over an IKE SA that was there."""


@dataclass(frozen=True, slots=True)
class RegistrationRefused(ServerEvent):
    """A registration failed; one event for each, whatever went wrong."""

    name = "registration_refused"
    group: str
    identity: str
    """Whom it is about, or who it says it is."""
    remote: str
    notify: NotifyType
    reason: RefusalReason
    """Why, in a word; runbook.md says what to do about each."""
    cause: str
    """The first mismatch, in one sentence."""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RegistrationAbandoned(ServerEvent):
    """A peer began an IKE SA and never proved who it is."""

    name = "registration_abandoned"
    remote: str
    reason: RefusalReason
    cause: str
    hint: str


@dataclass(frozen=True, slots=True)
class MemberLeft(ServerEvent):
    """A member is none any more: it has left, or was removed or excluded."""

    name = "member_left"
    group: str
    identity: str
    address: str
    """Where it registered from."""
    cause: str
    members: int
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ServerRefused(ServerEvent):
    """A peer doesn't accept our proof of who we are; its memberships are as they were."""

    name = "server_refused"
    remote: str
    identity: str
    cause: str
    hint: str


@dataclass(frozen=True, slots=True)
class GroupStartedOver(ServerEvent):
    """All SAs were deleted: every member has to register again and gets new keys."""

    name = "group_started_over"
    group: str
    members: int
    """How many it had."""


@dataclass(frozen=True, slots=True)
class MemberCertificateEnded(ServerEvent):
    """A registered member's certificate has expired or was revoked."""

    name = "member_certificate_ended"
    group: str
    identity: str
    cause: str
    removed: bool
    """Whether it was removed for it (`certificate_end`)."""


@dataclass(frozen=True, slots=True)
class SaCreated(ServerEvent):
    """A group has a new Rekey SA or Data-Security SA."""

    name = "sa_created"
    group: str
    protocol: ProtocolId
    spi: str
    lifetime_seconds: int
    """How long it may be used at most."""


@dataclass(frozen=True, slots=True)
class SaDeleted(ServerEvent):
    """A group's SA has ended; after a rekey that is when its grace period is over."""

    name = "sa_deleted"
    group: str
    protocol: ProtocolId
    spi: str


@dataclass(frozen=True, slots=True)
class RekeySent(ServerEvent):
    """One copy of a GSA_REKEY went out."""

    name = "rekey_sent"
    group: str
    message_id: int
    copy: int
    """Counts from 1."""
    copies: int
    """How many there are of this message."""
    octets: int
    """Of the whole IKE message."""
    reminder: bool = False
    """Whether it tells the current SAs again, to members that were cut off."""


@dataclass(frozen=True, slots=True)
class SenderIdsExhausted(ServerEvent):
    """There is no Sender-ID for a sender until the group starts over."""

    name = "sender_ids_exhausted"
    group: str


@dataclass(frozen=True, slots=True)
class MembersLockedOut(ServerEvent):
    """A changed policy asks for what some members say that they can't."""

    name = "members_locked_out"
    group: str
    members: int
    """How many."""
    identity: str
    """One of them."""
    cause: str
    """What that one lacks."""


@dataclass(frozen=True, slots=True)
class OperatorExcluded(ServerEvent):
    """An operator has shut somebody out."""

    name = "operator_excluded"
    group: str
    kind: str
    """`identity` or `certificate`."""
    names: tuple[str, ...]
    """As they were ordered: identities, patterns, references of certificates."""
    by: str


@dataclass(frozen=True, slots=True)
class OperatorReadmitted(ServerEvent):
    """An operator has lifted exclusions."""

    name = "operator_readmitted"
    group: str
    kind: str
    """`identity` or `certificate`."""
    names: tuple[str, ...]
    """As they were excluded."""
    by: str


@dataclass(frozen=True, slots=True)
class OperatorOrdered(ServerEvent):
    """An operator has ordered something over the control socket."""

    name = "operator_ordered"
    order: str
    """`rekey` or `reload`."""
    group: str
    by: str


@dataclass(frozen=True, slots=True)
class OrderRefused(ServerEvent):
    """Somebody wanted to order something over the control socket and may not."""

    name = "order_refused"
    order: str
    """`reload`, `rekey`, `exclude` ..."""
    by: str


@dataclass(frozen=True, slots=True)
class Reloaded(ServerEvent):
    """The configuration file was taken over."""

    name = "reloaded"
    groups: int
    """How many there are."""


@dataclass(frozen=True, slots=True)
class ReloadRefused(ServerEvent):
    """The configuration file was not taken over, and nothing has changed."""

    name = "reload_refused"
    cause: str
    """All problems of the file, one a line."""


@dataclass(frozen=True, slots=True)
class SenderIdsLow(ServerEvent):
    """The group will start over at its next rekey, before it runs out of Sender-IDs."""

    name = "sender_ids_low"
    group: str
    left: int
    """Sender-IDs that are left."""
    seconds: float
    """Until then."""


@dataclass(frozen=True, slots=True)
class ServerStarted(ServerEvent):
    """The key server answers."""

    name = "server_started"
    version: str
    config: str
    identity: str
    listening: tuple[str, ...]
    """Addresses and ports."""
    groups: int
    """How many it serves."""


@dataclass(frozen=True, slots=True)
class ServerStopping(ServerEvent):
    """The key server ends."""

    name = "server_stopping"
    cause: str
    """A signal, or what went wrong."""
    failed: bool


@dataclass(frozen=True, slots=True)
class GroupStarted(ServerEvent):
    """A group is served."""

    name = "group_started"
    group: str
    restored: bool
    """Whether it goes on with what was stored."""
    members: int


@dataclass(frozen=True, slots=True)
class GroupRemovedEvent(ServerEvent):
    """A group is no longer configured: its keys and members are forgotten.

    Members are told where the server still knows the group's keys: by a reload.
    """

    name = "group_removed"
    group: str
    members: int
    """How many it had."""


# --- GM -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Registering(MemberEvent):
    """This member begins to register."""

    name = "registering"
    group: str
    server: str
    cause: str


@dataclass(frozen=True, slots=True)
class Registered(MemberEvent):
    """This member has the group's policy and keys."""

    name = "registered"
    group: str
    server: str
    data_sas: int
    """Data-Security SAs that it was told."""
    sender_ids: tuple[int, ...]
    """Those that it holds; none for a receiver."""


@dataclass(frozen=True, slots=True)
class NothingToSendOn(MemberEvent):
    """A sender was told no SA whose source is one of this host's addresses."""

    name = "nothing_to_send_on"
    group: str
    addresses: tuple[str, ...]
    """This host's."""
    hint: str


@dataclass(frozen=True, slots=True)
class RegistrationFailedEvent(MemberEvent):
    """A registration has failed, and is tried again."""

    name = "registration_failed"
    group: str
    server: str
    cause: str
    hint: str
    retry_seconds: float
    """Until the next try."""


@dataclass(frozen=True, slots=True)
class PolicyRefused(MemberEvent):
    """The server's policy is beyond this member's ceiling."""

    name = "policy_refused"
    group: str
    cause: str
    hint: str
    retry_seconds: float = 0.0
    """Until the next registration; 0 where a rekey brought it."""


@dataclass(frozen=True, slots=True)
class RekeyReceived(MemberEvent):
    """A rekey was accepted; further copies of it are not told."""

    name = "rekey_received"
    group: str
    message_id: int
    """Of the GSA_REKEY message; 0 for a rekey over the IKE SA."""
    data_sas: int
    """New Data-Security SAs."""
    rekey_sa: bool
    """Whether it brought a new Rekey SA."""
    deleted: int
    """SAs that it deleted."""
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
class Reregistering(MemberEvent):
    """This member has to register again, after a delay."""

    name = "reregistering"
    group: str
    reason: RegisterAgain
    cause: str
    delay_seconds: float
    """Until it does."""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class StrangeRekeysSeen(MemberEvent):
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
class DataPlaneFailed(MemberEvent):
    """The data plane could not do it: the group's packets may not get through."""

    name = "data_plane_failed"
    group: str
    command: SaChange
    """What was to be done."""
    spi: str
    cause: str


@dataclass(frozen=True, slots=True)
class ReceivesOnly(MemberEvent):
    """An SA is installed, but this host can't send on it as the policy would let it."""

    name = "receives_only"
    group: str
    spi: str
    cause: str


@dataclass(frozen=True, slots=True)
class MemberStarted(MemberEvent):
    """The member is ready, and registers."""

    name = "member_started"
    version: str
    config: str
    identity: str
    server: str
    groups: tuple[str, ...]
    """Those that it will register to."""


@dataclass(frozen=True, slots=True)
class MemberStopping(MemberEvent):
    """The member ends."""

    name = "member_stopping"
    cause: str
    """A signal, an order, or what went wrong."""
    failed: bool


@dataclass(frozen=True, slots=True)
class ServerNotTold(MemberEvent):
    """This member has left, and the server, which still counts it in, couldn't be told."""

    name = "server_not_told"
    server: str
    groups: tuple[str, ...]
    """Those that were left."""
    cause: str


@dataclass(frozen=True, slots=True)
class LeftGroup(MemberEvent):
    """This member has left a group and removed its SAs."""

    name = "left_group"
    group: str
    cause: str
