"""What a key server has to say of its groups and their SAs."""

from __future__ import annotations

from dataclasses import dataclass

from gcks.events.base import Level, ServerEvent
from gcks.iana import ProtocolId


@dataclass(frozen=True, slots=True)
class GroupStarted(ServerEvent):
    """A group is served."""

    name = "group_started"
    usual_level = Level.INFO
    audited = True
    counted = False
    group: str
    restored: bool
    """Whether it goes on with what was stored."""
    members: int


@dataclass(frozen=True, slots=True)
class GroupStartedOver(ServerEvent):
    """All SAs were deleted: every member has to register again and gets new keys."""

    name = "group_started_over"
    usual_level = Level.WARNING
    audited = True
    group: str
    members: int
    """How many it had."""


@dataclass(frozen=True, slots=True)
class GroupReadAgain(ServerEvent):
    """An error in gcks itself broke a group's decision: the group is read from the store again.

    Nothing of that decision was sent or kept.  Please report it.
    """

    name = "group_read_again"
    usual_level = Level.ERROR
    audited = True
    group: str
    cause: str
    delay_seconds: float
    """For how long the group is left alone before: longer each time it fails soon again."""


@dataclass(frozen=True, slots=True)
class GroupDelayed(ServerEvent):
    """What a group waits for could not be had; it is tried again."""

    name = "group_delayed"
    usual_level = Level.ERROR
    counted = False
    group: str
    cause: str


@dataclass(frozen=True, slots=True)
class GroupEnded(ServerEvent):
    """A group is no longer configured: its keys and members are forgotten.

    Its members are told only by a reload, while the server still knows the group's keys.
    """

    name = "group_removed"
    usual_level = Level.WARNING
    audited = True
    counted = False
    group: str
    members: int
    """How many it had."""


@dataclass(frozen=True, slots=True)
class SaCreated(ServerEvent):
    """A group has a new Rekey SA or Data-Security SA."""

    name = "sa_created"
    usual_level = Level.INFO
    group: str
    protocol: ProtocolId
    spi: str
    lifetime_seconds: int
    """How long it may be used at most."""


@dataclass(frozen=True, slots=True)
class SaEnded(ServerEvent):
    """A group's SA has ended; after a rekey that is when its grace period is over."""

    name = "sa_deleted"
    usual_level = Level.INFO
    group: str
    protocol: ProtocolId
    spi: str


@dataclass(frozen=True, slots=True)
class RekeySent(ServerEvent):
    """One copy of a GSA_REKEY went out."""

    name = "rekey_sent"
    usual_level = Level.INFO
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
class SenderIdsLow(ServerEvent):
    """The group will start over at its next rekey, before it runs out of Sender-IDs."""

    name = "sender_ids_low"
    usual_level = Level.WARNING
    group: str
    left: int
    """Sender-IDs that are left."""
    seconds: float
    """Until then."""


@dataclass(frozen=True, slots=True)
class SenderIdsExhausted(ServerEvent):
    """There is no Sender-ID for a sender until the group starts over."""

    name = "sender_ids_exhausted"
    usual_level = Level.ERROR
    audited = True
    group: str


@dataclass(frozen=True, slots=True)
class MembersLockedOut(ServerEvent):
    """A changed policy requires something that some members say they don't support."""

    name = "members_locked_out"
    usual_level = Level.WARNING
    audited = True
    counted = False
    group: str
    members: int
    """How many."""
    identity: str
    """One of them."""
    cause: str
    """What that one lacks."""
