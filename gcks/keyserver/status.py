"""What operators are shown of the server: frozen records, made when somebody asks.

Times are POSIX seconds, `..._seconds` are from now.  `gcks.keyserver.listing` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some rows of a list, and where the next page starts; None: this was the last."""

    rows: list[R]
    next: int | None
    group: str = ""
    """Empty: of all groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatus:
    """What metrics and screens show of a group."""

    group: str
    members: int
    next_message_id: int
    rekey_spi: str
    """In hexadecimal; empty where the group has no Rekey SA."""
    data_sas: int
    sender_ids_left: int
    last_rekey_at: float | None
    rekey_expires_in_seconds: float | None
    """None where the group has no Rekey SA."""
    replay_protected_sas: int = 0
    expected_members: int = 0
    """0: the configuration doesn't say."""
    data_sa_expires_in_seconds: float = 0.0
    renewal_due_in_seconds: float = 0.0
    """Until the first SA is renewed; negative: it should have been."""
    spread_seconds: float = 0.0
    """Over how long the members are told to come back, if all have to."""
    capacity: int = 0
    senders: int = 0
    excluded: int = 0
    """Exclusions by operators."""
    mode: str = ""
    key_management: str = ""
    rekeyed_by: str = ""
    counter_mode: bool = False
    """Whether a cipher of the group needs Sender-IDs."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    half_open: int
    established: int
    groups: tuple[GroupStatus, ...]
    step: int = 0
    """What new peers have to prove: 0 nothing, 1 a cookie, 2 a puzzle."""
    admission: Mapping[str, int] = field(default_factory=dict)
    """What became of cookies and puzzles, since the start."""
    registration_cost_seconds: float = 0.0
    """Mean of what a registration costs the server's one thread."""
    backlog_limit: int = 0
    """Half-open IKE SAs beyond which only known senders may begin."""
    not_ready: int = 0
    """Groups that can't decide yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredMember:
    """One member of a group."""

    group: str
    identity: str
    address: str
    registered_at: float
    role: str
    rekeyed_by: str
    sender_ids: tuple[int, ...]
    certificate_ends: float
    """Infinite without certificate."""
    fragments: bool
    """Whether it takes fragments of GSA_REKEY."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderStatus:
    """One member that may send, and on which SAs."""

    group: str
    identity: str
    address: str
    sender_ids: tuple[int, ...]
    sends_on: tuple[str, ...]
    alone_on: tuple[str, ...]
    """SAs on which nobody else sends, so that receivers can see replays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaStatus:
    """One SA of a group, current or in its Deactivation Time Delay."""

    group: str
    name: str
    protocol: str
    spi: str
    """In hexadecimal, as `next_spi`."""
    state: str
    algorithms: str
    source: str
    destination: str
    senders: str
    replay: str
    """What receivers can tell of replayed packets, and why."""
    next_spi: str | None
    age_seconds: float
    renews_in_seconds: float | None
    expires_in_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RekeyStatus:
    """The Rekey SA of a group, and how GSA_REKEY messages are sent over it."""

    group: str
    spi: str
    next_message_id: int
    source: str
    destination: str
    authentication: str
    copies: int
    spread_seconds: float
    last_sent_at: float | None
    renews_in_seconds: float
    waiting_for: str
    """What is being done besides: exclusions that share a message, new Data-Security SAs."""


@dataclass(frozen=True, slots=True)
class ConfiguredExclusion:
    """An exclusion by the configuration, with the fields of an operator's (`ExclusionSaved`)."""

    group: str
    name: str
    kind: ClassVar[str] = "identity"
    excluded_at: ClassVar[None] = None
    by: ClassVar[str] = "configuration"
    about: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class CensusEntry:
    """How many members of a group announced the same."""

    group: str
    members: int
    announced: tuple[str, ...]
    """Protocol and transforms, one text per proposal; empty: nothing was announced."""


@dataclass(frozen=True, slots=True)
class ExclusionPreview:
    """What an exclusion would do to a group."""

    group: str
    members: tuple[str, ...]
    """Those that the names stand for now."""
    how: str
    starts_over: bool
    """Whether everybody has to register again."""
