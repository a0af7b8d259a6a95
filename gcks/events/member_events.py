"""What only a member has to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gcks.events.base import Level, MemberEvent


@dataclass(frozen=True, slots=True)
class Registering(MemberEvent):
    """This member begins to register."""

    name = "registering"
    usual_level = Level.INFO
    group: str
    server: str
    cause: str


@dataclass(frozen=True, slots=True)
class Registered(MemberEvent):
    """This member has the group's policy and keys."""

    name = "registered"
    usual_level = Level.INFO
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
    usual_level = Level.WARNING
    group: str
    addresses: tuple[str, ...]
    """This host's."""
    hint: str


@dataclass(frozen=True, slots=True)
class RegistrationAttemptFailed(MemberEvent):
    """A registration has failed, and is tried again."""

    name = "registration_failed"
    usual_level = Level.WARNING
    group: str
    server: str
    cause: str
    hint: str
    retry_seconds: float
    """Until the next try."""


@dataclass(frozen=True, slots=True)
class PolicyRefused(MemberEvent):
    """This member's ceiling doesn't allow the server's policy."""

    name = "policy_refused"
    usual_level = Level.ERROR
    group: str
    cause: str
    hint: str
    retry_seconds: float = 0.0
    """Until the next registration; 0 where a rekey brought it."""


@dataclass(frozen=True, slots=True)
class RekeyReceived(MemberEvent):
    """A rekey was accepted; further copies of it are not told."""

    name = "rekey_received"
    usual_level = Level.INFO
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

    @property
    def level(self) -> Level:
        """Debug for a reminder."""
        return Level.DEBUG if self.reminder else self.usual_level


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
    usual_level = Level.WARNING
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
    usual_level = Level.WARNING
    limit = None  # once an hour at most
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
    """The data plane could not do something with an SA: the group's packets may get lost."""

    name = "data_plane_failed"
    usual_level = Level.ERROR
    group: str
    command: SaChange
    """What was to be done."""
    spi: str
    cause: str


@dataclass(frozen=True, slots=True)
class ReceivesOnly(MemberEvent):
    """An SA is installed, but this host can't send on it as the policy would let it."""

    name = "receives_only"
    usual_level = Level.WARNING
    group: str
    spi: str
    cause: str


@dataclass(frozen=True, slots=True)
class MemberStarted(MemberEvent):
    """The member is ready, and registers."""

    name = "member_started"
    usual_level = Level.INFO
    counted = False
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
    usual_level = Level.INFO
    counted = False
    cause: str
    """A signal, an order, or what went wrong."""
    failed: bool

    @property
    def level(self) -> Level:
        """Error where it can't go on."""
        return Level.ERROR if self.failed else self.usual_level


@dataclass(frozen=True, slots=True)
class ServerNotTold(MemberEvent):
    """This member has left, but the server couldn't be told and still counts it as a member."""

    name = "server_not_told"
    usual_level = Level.WARNING
    counted = False
    server: str
    groups: tuple[str, ...]
    """Those that were left."""
    cause: str


@dataclass(frozen=True, slots=True)
class LeftGroup(MemberEvent):
    """This member has left a group and removed its SAs."""

    name = "left_group"
    usual_level = Level.INFO
    group: str
    cause: str
