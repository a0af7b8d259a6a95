"""What only a key server has to say."""

from __future__ import annotations

from dataclasses import dataclass

from gcks.errors import RefusalReason
from gcks.events.base import ServerEvent
from gcks.iana import NotifyType, ProtocolId


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
class GroupReadAgain(ServerEvent):
    """An error in gcks itself broke a group's decision: the group is read from the store again.

    Nothing of that decision was sent or kept.  Please report it.
    """

    name = "group_read_again"
    group: str
    cause: str
    delay_seconds: float
    """For how long the group is left alone before: longer each time it fails soon again."""


@dataclass(frozen=True, slots=True)
class GroupDelayed(ServerEvent):
    """What a group waits for could not be had; it is tried again."""

    name = "group_delayed"
    group: str
    cause: str


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
    about: str = ""
    """Whose certificate it is, in the words of the order."""


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
