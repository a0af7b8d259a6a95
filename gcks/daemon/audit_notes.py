"""What the audit log has to say about itself: lines that only it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class AuditNote:
    """Base of these lines; docs/events.md is made of the classes, as for events."""

    name: ClassVar[str]
    """The stable name of the line."""


@dataclass(frozen=True, slots=True)
class AuditOpened(AuditNote):
    """The server has opened the log."""

    name = "audit_opened"
    version: str
    """Of gcks."""


@dataclass(frozen=True, slots=True)
class AuditTorn(AuditNote):
    """The line before it was cut off by a crash or a full disk."""

    name = "audit_torn"
    octets: int
    """Its length."""


@dataclass(frozen=True, slots=True)
class AuditLost(AuditNote):
    """There is room on the disk again."""

    name = "audit_lost"
    count: int
    """How many lines were lost."""


@dataclass(frozen=True, slots=True)
class RefusalsNotRecorded(AuditNote):
    """More registrations or orders were refused in a second than are recorded."""

    name = "refusals_not_recorded"
    count: int
    """How many were left out."""


NOTES = (AuditOpened, AuditTorn, AuditLost, RefusalsNotRecorded)
