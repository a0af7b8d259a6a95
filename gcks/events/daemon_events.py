"""What the daemons have to say about themselves: their files, sockets, logs and mistakes."""

from __future__ import annotations

from dataclasses import dataclass

from gcks.events.base import Event, Level, ServerEvent


@dataclass(frozen=True, slots=True)
class CredentialsRenewed(Event):
    """Certificates, CRLs, OCSP responses or keys were read again."""

    name = "credentials_renewed"
    usual_level = Level.INFO
    counted = False
    files: tuple[str, ...]
    """Those that had changed."""


@dataclass(frozen=True, slots=True)
class CredentialsNotRenewed(Event):
    """Changed certificates, CRLs or keys can't be used: what was read before still counts."""

    name = "credentials_not_renewed"
    usual_level = Level.ERROR
    counted = False
    files: tuple[str, ...]
    """Those that had changed."""
    cause: str


@dataclass(frozen=True, slots=True)
class RekeyNotSent(ServerEvent):
    """A copy of a GSA_REKEY did not leave."""

    name = "rekey_not_sent"
    usual_level = Level.ERROR
    counted = False  # among send errors
    group: str
    """The group; missing where only its old address is known."""
    destination: str
    """The address and port that it was for."""
    cause: str


@dataclass(frozen=True, slots=True)
class SocketsNotUsed(ServerEvent):
    """The service manager passed sockets that no listener is for."""

    name = "sockets_not_used"
    usual_level = Level.WARNING
    counted = False
    sockets: tuple[str, ...]
    """Their addresses."""
    hint: str


@dataclass(frozen=True, slots=True)
class NoControlSocket(Event):
    """The control socket, at its default path, could not be opened."""

    name = "no_control_socket"
    usual_level = Level.WARNING
    counted = False
    cause: str


@dataclass(frozen=True, slots=True)
class KeysAreLogged(Event):
    """Keys are written to a file: at every start with `--key-log`, however little is logged."""

    name = "keys_are_logged"
    usual_level = Level.CRITICAL
    counted = False
    warning: str
    """What that means."""


@dataclass(frozen=True, slots=True)
class InternalErrorSeen(Event):
    """A bug of gcks, which didn't stop it; told once in ten seconds at most."""

    name = "internal_error"
    usual_level = Level.ERROR
    counted = False
    doing: str
    """What failed."""
    cause: str
    """Error and place."""
    more: int
    """How many were not told since the last one."""


@dataclass(frozen=True, slots=True)
class LogLinesLost(Event):
    """Nobody took the lines of the log, and there was no more room for them."""

    name = "log_lines_lost"
    usual_level = Level.WARNING
    counted = False
    count: int
    """How many were lost."""


@dataclass(frozen=True, slots=True)
class AuditCheckpoint(ServerEvent):
    """How far the audit log has come, at the start, every hour and at the end: see audit.md."""

    name = "audit_checkpoint"
    usual_level = Level.INFO
    counted = False
    path: str
    """The audit log."""
    number: int
    """Of its newest line."""
    hash: str
    """SHA-256 of that line."""


@dataclass(frozen=True, slots=True)
class AuditFailed(ServerEvent):
    """The audit log could not be written or opened; or it can be written again."""

    name = "audit_failed"
    usual_level = Level.ERROR
    counted = False
    path: str
    """The audit log."""
    cause: str
    """Why, in one sentence; `over` when lines are written again."""
