"""What the edge can ask of the engine besides datagrams and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gcks.ike.credentials import Credentials
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class RekeyGroup:
    """Renew all SAs of a group now; `group` in text form."""

    group: str


@dataclass(frozen=True, slots=True)
class Reload:
    """Take over a changed configuration as a whole, or raise `LocalError` and change nothing."""

    settings: ServerSettings
    credentials: Credentials
    groups: Mapping[str, GroupPolicy]


@dataclass(frozen=True, slots=True)
class RenewCredentials:
    """Take over certificates, CRLs and keys whose files have changed."""

    credentials: Credentials


@dataclass(frozen=True, slots=True)
class Exclude:
    """Shut out of a group whom the operator names (`gcks.keyserver.groups.exclusions`)."""

    group: str
    kind: str
    names: tuple[str, ...]
    by: str
    """Who says so."""
    immediate: bool = False
    """Don't wait for others to share the message."""
    about: str = ""
    """For people: whose certificate it is."""
    members: tuple[str, ...] | None = None
    """The members that the names stand for now, by who has looked already."""


@dataclass(frozen=True, slots=True)
class Readmit:
    """Lift exclusions, by the names that they were made with."""

    group: str
    kind: str
    names: tuple[str, ...]
    by: str


GroupCommand = RekeyGroup | Exclude | Readmit
"""What concerns one group."""

Command = GroupCommand | Reload | RenewCredentials
"""Stopping needs no command: nothing that matters lives only in memory."""
