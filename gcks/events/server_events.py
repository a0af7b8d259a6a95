"""What a key server has to say of itself, its peers and its members."""

from __future__ import annotations

from dataclasses import dataclass

from gcks.errors import RefusalReason
from gcks.events.base import Level, Limit, ServerEvent
from gcks.iana import NotifyType


@dataclass(frozen=True, slots=True)
class ServerStarted(ServerEvent):
    """The key server answers."""

    name = "server_started"
    usual_level = Level.INFO
    counted = False
    version: str
    config: str
    identity: str
    listening: tuple[str, ...]
    """Addresses and ports."""
    groups: int
    """How many are configured.  One that waits for a key begins later: `group_started`."""


@dataclass(frozen=True, slots=True)
class ServerStopping(ServerEvent):
    """The key server ends."""

    name = "server_stopping"
    usual_level = Level.INFO
    counted = False
    cause: str
    """A signal, or what went wrong."""
    failed: bool

    @property
    def level(self) -> Level:
        """Error where it can't go on."""
        return Level.ERROR if self.failed else self.usual_level


@dataclass(frozen=True, slots=True)
class IkeSaInitAnswered(ServerEvent):
    """A half-open IKE SA began: IKE_SA_INIT was answered."""

    name = "ike_sa_init_answered"
    usual_level = Level.DEBUG
    remote: str


@dataclass(frozen=True, slots=True)
class CookieRequired(ServerEvent):
    """A new peer was asked for a cookie (RFC 7296 section 2.6)."""

    name = "cookie_required"
    usual_level = Level.DEBUG
    remote: str


@dataclass(frozen=True, slots=True)
class PuzzleRequired(ServerEvent):
    """A new peer was given a puzzle (RFC 8019)."""

    name = "puzzle_required"
    usual_level = Level.DEBUG
    remote: str
    difficulty: int
    """Bits of work."""


@dataclass(frozen=True, slots=True)
class PeerAuthenticated(ServerEvent):
    """An IKEv2 peer proved who it is, and has registered to no group yet (RFC 6023)."""

    name = "peer_authenticated"
    usual_level = Level.INFO
    audited = True
    limit = None  # known peers only
    remote: str
    identity: str
    method: str


@dataclass(frozen=True, slots=True)
class MemberRegistered(ServerEvent):
    """A member was admitted to a group and got its policy and keys."""

    name = "member_registered"
    usual_level = Level.INFO
    audited = True
    limit = None  # known peers only
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
    usual_level = Level.WARNING
    audited = True
    limit = Limit("reason")
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
    usual_level = Level.WARNING
    limit = Limit("reason")
    remote: str
    reason: RefusalReason
    cause: str
    hint: str


@dataclass(frozen=True, slots=True)
class MemberLeft(ServerEvent):
    """A member left the group: by itself, excluded, or because its certificate ended."""

    name = "member_left"
    usual_level = Level.INFO
    audited = True
    group: str
    identity: str
    address: str
    """Where it registered from."""
    cause: str
    members: int
    hint: str = ""

    @property
    def level(self) -> Level:
        """Warning where it has a hint: something has to be repaired."""
        return Level.WARNING if self.hint else self.usual_level


@dataclass(frozen=True, slots=True)
class ServerRefused(ServerEvent):
    """A peer doesn't accept our proof of who we are; its memberships stay as they were."""

    name = "server_refused"
    usual_level = Level.WARNING
    limit = None  # known peers only
    remote: str
    identity: str
    cause: str
    hint: str


@dataclass(frozen=True, slots=True)
class MemberCertificateEnded(ServerEvent):
    """A registered member's certificate has expired or was revoked."""

    name = "member_certificate_ended"
    usual_level = Level.WARNING
    audited = True
    group: str
    identity: str
    cause: str
    removed: bool
    """Whether it had to leave because of that (`certificate_end`)."""
