"""What `gcks show` and `gcks plan` print: the models behind every --json."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from gcks.daemon.control.event_lines import SCHEMA_VERSION

_CONFIG: Final = ConfigDict(
    extra="forbid",
    frozen=True,
    use_attribute_docstrings=True,
    json_schema_serialization_defaults_required=True,
)


def _iso(at: object) -> object:
    """Return POSIX seconds as ISO 8601, in UTC; None where there is no time."""
    if not isinstance(at, int | float):
        return at
    return None if at == inf else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _tenths(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


Time = Annotated[str, BeforeValidator(_iso)]
MaybeTime = Annotated[str | None, BeforeValidator(_iso)]
"""None: never, or not yet."""
Seconds = Annotated[float, AfterValidator(_tenths)]
MaybeSeconds = Annotated[float | None, AfterValidator(_tenths)]


class View(BaseModel):
    model_config = _CONFIG
    schema_version: Literal[1] = SCHEMA_VERSION


class ViewRow(BaseModel):
    model_config = _CONFIG

    @classmethod
    def of(cls, record: object) -> Self:
        """Return the row that shows a record: each field that of the same name."""
        return cls.model_validate(record, from_attributes=True)


class ServerView(View):
    version: str
    identity: str
    listening: list[str]
    groups: int
    """Those that serve members."""
    groups_not_ready: int
    """Those that can't yet: they wait for a key, or for their part of the store."""
    members: int
    ike_sas: int
    half_open: int
    admission: str
    """What new peers have to prove: nothing, a cookie, a puzzle."""
    uptime_seconds: Seconds


class GroupRow(ViewRow):
    group: str
    members: int
    expected_members: int | None
    """None: the configuration doesn't say."""
    capacity: int
    senders: int
    mode: str
    key_management: str
    rekeyed_by: str
    data_sas: int
    excluded: int
    sender_ids_left: int | None
    """None: no cipher of the group needs them."""
    next_rekey_seconds: Seconds


class GroupsView(View):
    groups: list[GroupRow]


class MemberRow(ViewRow):
    identity: str
    group: str
    address: str
    registered_at: Time
    role: str
    rekeyed_by: str
    sender_ids: list[int]
    certificate_ends: MaybeTime
    fragments: bool


class MembersView(View):
    group: str
    """Empty: of all groups."""
    members: list[MemberRow]
    next: int | None
    """Where the next page starts; None: this was the last."""


class SaRow(ViewRow):
    group: str
    name: str
    protocol: str
    spi: str
    state: str
    algorithms: str
    source: str
    destination: str
    senders: str
    replay: str
    """What receivers can tell of replayed packets, and why."""
    next_spi: str | None
    age_seconds: Seconds
    renews_in_seconds: MaybeSeconds
    expires_in_seconds: Seconds


class SasView(View):
    sas: list[SaRow]
    next: int | None


class RekeyRow(ViewRow):
    group: str
    spi: str
    next_message_id: int
    source: str
    destination: str
    authentication: str
    copies: int
    spread_seconds: float
    last_sent_at: MaybeTime
    renews_in_seconds: Seconds
    waiting_for: str
    """What is being done besides: exclusions that share a message, new Data-Security SAs."""


class RekeysView(View):
    rekeys: list[RekeyRow]
    next: int | None


class SenderRow(ViewRow):
    group: str
    identity: str
    address: str
    sender_ids: list[int]
    sends_on: list[str]
    alone_on: list[str]
    """SAs on which nobody else sends, so that receivers can see replays."""


class SendersView(View):
    senders: list[SenderRow]
    next: int | None


class ExclusionRow(ViewRow):
    group: str
    kind: str
    name: str
    excluded_at: MaybeTime
    by: str
    about: str = ""
    """Of a certificate: its subject and serial number."""


class ExclusionsView(View):
    exclusions: list[ExclusionRow]
    next: int | None


class CensusRow(ViewRow):
    group: str
    members: int
    announced: list[str]
    """Protocol and transforms, one text per proposal; empty: nothing was announced."""


class CensusView(View):
    census: list[CensusRow]


class LockedOut(ViewRow):
    identity: str
    lacks: str


class GroupPlan(ViewRow):
    group: str
    members: int
    effects: list[str]
    """What will happen, in words; empty: nothing."""
    begins: bool
    ends: bool
    starts_over: list[str]
    created: list[str]
    renewed: list[str]
    dropped: list[str]
    grace_seconds: float
    excluded: list[str]
    locked_out: list[LockedOut]
    unknown: int
    options: list[str]


class PlanView(View):
    config: str
    usable: bool
    """Whether a reload would take it over."""
    needs_restart: list[str]
    server: list[str]
    """Options of the server as a whole that would count from then on."""
    groups: list[GroupPlan]


class DoneView(View):
    done: str


class ExclusionView(View):
    group: str
    excluded: list[str]
    """Members that are none any more; others that were named stay out."""
    how: str
    starts_over: bool
    """Whether everybody has to register again."""
    dry_run: bool


class EventsView(View):
    events: list[dict[str, Any]]
    """Those that were asked for, the oldest first."""


class VersionView(View):
    program: str
    version: str
    python: str
    cryptography: str
    openssl: str


class AuditView(View):
    entries: int
    """Lines that were read, those of all files."""
    first_at: str
    """When the first was written; "" without entries, as `last_at` is."""
    last_at: str
    number: int
    """Of the last line, which with its hash is a checkpoint."""
    hash: str
    problem: str
    """Where and why the chain is broken; "" if it isn't."""


class FeatureRow(ViewRow):
    document: str
    title: str
    on: bool


class AlgorithmRow(ViewRow):
    kind: str
    names: list[str]


class FeaturesView(View):
    features: list[FeatureRow]
    algorithms: list[AlgorithmRow]
