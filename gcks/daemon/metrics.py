"""Prometheus metrics: tables from event to counter and from status to gauge.

Labels are group names from the configuration, reasons, protocols and
notification names: never what a peer can make up.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gcks import __version__
from gcks import events as e
from gcks.daemon.health import (
    XFRM_STATISTICS,
    LoopLag,
    certificate_ends,
    commit_histogram,
    packets_without_sa,
    registration_histogram,
    rekey_histogram,
)
from gcks.datagrams import Awaited
from gcks.errors import DropReason
from gcks.iana import ExchangeType
from gcks.ike.credentials import Credentials
from gcks.keyserver.status import ServerStatus
from gcks.member.status import MemberStatus


def _nothing(_: Any) -> tuple[str, ...]:
    return ()


def _group(event: Any) -> tuple[str, ...]:
    return (event.group,)


def _one(_: Any) -> float:
    return 1.0


_GROUP: Final = ("group",)


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One counter: which event, its name without prefix and _total, and what to make of the event.

    `values` gives the labels' values in their order, `amount` what is added.  `known` is
    what they can be, behind a group's name if that is the first, as far as alerts and
    panels ask for it.
    """

    event: type[e.Event]
    name: str
    text: str
    labels: tuple[str, ...] = ()
    values: Callable[[Any], tuple[str, ...]] = _nothing
    amount: Callable[[Any], float] = _one
    known: tuple[tuple[str, ...], ...] = ()

    def beginnings(self, group: str) -> Iterator[tuple[str, ...]]:
        """Yield the labels' values of a group's series that are there from the start."""
        if self.labels[:1] == _GROUP:
            for rest in ((),) if self.labels == _GROUP else self.known:
                yield (group, *rest)


def _sa(event: Any) -> tuple[str, ...]:
    return event.group, event.protocol.name.lower()


def _registration(event: e.MemberRegistered) -> tuple[str, ...]:
    return event.group, "reregistered" if event.again else "registered", ""


def _again(event: e.MemberRegistered) -> tuple[str, ...]:
    return event.group, "after_rekey" if event.hint else "unchanged"


def _refusal(event: e.RegistrationRefused) -> tuple[str, ...]:
    return event.group, "refused", event.reason.value


def _copy(event: e.RekeySent) -> tuple[str, ...]:
    if event.reminder:
        return event.group, "reminder"
    return event.group, "first" if event.copy == 1 else "repeat"


_REKEYED: Final = Row(e.IkeSaRekeyed, "ike_sas_rekeyed", "IKE SAs that a new one replaced")
_DROPS: Final = Row(
    e.DatagramDropped,
    "datagrams_dropped",
    "Datagrams dropped without an answer",
    ("reason",),
    lambda event: (event.reason.value,),
    known=tuple((reason.value,) for reason in DropReason),
)
_REFUSALS: Final = Row(
    e.RequestRefused,
    "requests_refused",
    "Requests outside registration answered with an error",
    ("notify",),
    lambda event: (event.notify.name.lower(),),
)
_RESULTS: Final = (
    "registrations",
    "Registrations by result, refused ones by reason",
    ("group", "result", "reason"),
)

SERVER_ROWS: Final = (
    _DROPS,
    _REFUSALS,
    Row(e.CookieRequired, "cookies_required", "IKE_SA_INIT answered with a COOKIE"),
    Row(e.PuzzleRequired, "puzzles_required", "IKE_SA_INIT answered with a COOKIE and a PUZZLE"),
    Row(e.IkeSaInitAnswered, "ike_sa_inits", "IKE_SA_INIT requests accepted"),
    Row(e.PeerAuthenticated, "childless_ike_sas", "IKE SAs established by IKE_AUTH"),
    Row(e.IkeSaClosed, "ike_sas_closed", "IKE SAs closed"),
    _REKEYED,
    Row(e.MemberRegistered, *_RESULTS, _registration,
        known=(("registered", ""), ("reregistered", ""))),
    Row(e.RegistrationRefused, *_RESULTS, _refusal),
    Row(e.RegistrationAbandoned, *_RESULTS, lambda event: ("", "abandoned", event.reason.value)),
    Row(
        e.MemberRegistered, "reregistrations",
        "Members that came back: after a rekey that they may have missed, or with nothing changed",
        ("group", "cause"), _again, lambda event: float(event.again),
        known=(("after_rekey",), ("unchanged",)),
    ),
    Row(e.MemberLeft, "members_left", "Members that left", _GROUP, _group),
    Row(e.ServerRefused, "server_refusals",
        "Peers that don't accept the server's proof of who it is, new members aside"),
    Row(e.GroupStartedOver, "groups_started_over", "Times that all members had to register again",
        _GROUP, _group),
    Row(e.GroupReadAgain, "groups_read_again",
        "Times that an error in gcks broke a group, which was then read from the store again",
        _GROUP, _group),
    Row(e.GroupDelayed, "groups_delayed", "Times that what a group waits for could not be had",
        _GROUP, _group),
    Row(
        e.MemberCertificateEnded, "certificates_ended",
        "Registered members whose certificate expired or was revoked",
        ("group", "reason"), lambda event: (event.group, event.cause),
        known=(("certificate_expired",), ("certificate_revoked",)),
    ),
    Row(e.SaCreated, "sas_created", "SAs made", ("group", "protocol"), _sa),
    Row(e.SaEnded, "sas_deleted", "SAs deleted", ("group", "protocol"), _sa),
    Row(e.RekeySent, "rekeys_sent", "GSA_REKEY messages sent", ("group", "copy"), _copy,
        known=(("first",), ("repeat",), ("reminder",))),
    Row(
        e.RekeySent, "rekey_octets", "Octets of GSA_REKEY messages sent", _GROUP, _group,
        lambda event: event.octets,
    ),
    Row(e.SenderIdsLow, "sender_ids_low", "Times that only the reserve of Sender-IDs was left",
        _GROUP, _group),
    Row(
        e.SenderIdsExhausted, "sender_ids_exhausted",
        "Times that the Sender-IDs of a group ran out", _GROUP, _group,
    ),
)  # fmt: skip
MEMBER_ROWS: Final = (
    _DROPS,
    _REFUSALS,
    Row(e.IkeSaClosed, "ike_sas_closed", "IKE SAs closed"),
    _REKEYED,
    Row(e.Registering, "registration_attempts", "Registrations begun", _GROUP, _group),
    Row(e.Registered, "registrations", "Registrations completed", _GROUP, _group),
    Row(e.NothingToSendOn, "sender_mismatches",
        "Registrations as a sender without an SA to send on", _GROUP, _group),
    Row(e.RegistrationAttemptFailed, "registration_failures", "Registrations that failed",
        _GROUP, _group),
    Row(e.PolicyRefused, "registration_failures", "Registrations that failed", _GROUP, _group,
        lambda event: float(event.retry_seconds > 0)),
    Row(e.PolicyRefused, "policies_refused", "Policies beyond the ceiling", _GROUP, _group),
    Row(
        e.RekeyReceived, "rekeys", "GSA_REKEY messages carried out; a reminder told nothing new",
        ("group", "kind"),
        lambda event: (event.group, "reminder" if event.reminder else "rekey"),
        known=(("rekey",), ("reminder",)),
    ),
    Row(e.StrangeRekeysSeen, "strange_rekeys",
        "Times, one an hour at most, that rekeys came over an SA that this member doesn't have",
        _GROUP, _group),
    Row(
        e.DataPlaneFailed, "data_plane_failures",
        "What the data plane could not do with Data-Security SAs",
        ("command",), lambda event: (event.command.value,),
        known=tuple((command.value,) for command in e.SaChange),
    ),
    Row(e.ReceivesOnly, "receive_only_sas",
        "SAs installed that this host can't send on, though the policy lets it", _GROUP, _group),
    Row(
        e.Reregistering, "reregistrations", "Times that a registration had to be renewed",
        ("group", "cause"), lambda event: (event.group, event.reason.value),
        known=tuple((why.value,) for why in e.RegisterAgain),
    ),
    Row(e.LeftGroup, "groups_left", "Groups left", _GROUP, _group),
)  # fmt: skip


class _Counters:
    """The counters of a table, fed with events."""

    def __init__(self, prefix: str, rows: Iterable[Row], registry: CollectorRegistry) -> None:
        made: dict[str, Counter] = {}
        self._rows: dict[type[e.Event], list[tuple[Row, Counter]]] = {}
        for row in rows:
            if row.name not in made:
                made[row.name] = Counter(
                    f"{prefix}{row.name}", row.text, row.labels, registry=registry
                )
            self._rows.setdefault(row.event, []).append((row, made[row.name]))
            for values in row.known if row.labels[:1] != _GROUP else ():
                made[row.name].labels(*values)

    def begin(self, group: str) -> None:
        """Show what a group counts with 0: its first event is then an increase for Prometheus.

        A series that begins with 1 has not increased, and no alert would see it.
        """
        for rows in self._rows.values():
            for row, counter in rows:
                for values in row.beginnings(group):
                    counter.labels(*values)

    def count(self, events: Iterable[e.Event]) -> None:
        for event in events:
            for row, counter in self._rows.get(type(event), ()):
                values = row.values(event)
                (counter.labels(*values) if values else counter).inc(row.amount(event))


class ServerMetrics:
    """Counts the key server's events.

    `status` and `groups` (the names that are configured now) are asked when
    Prometheus comes, `commits` and `send_errors` too.
    """

    def __init__(
        self,
        status: Callable[[], ServerStatus],
        groups: Callable[[], Collection[str]],
        *,
        commits: Callable[[], int] | None = None,
        send_errors: Callable[[], int] | None = None,
        streams: Callable[[], tuple[int, int]] | None = None,
        limits: Callable[[], Mapping[str, float]] | None = None,
        credentials: Callable[[], Credentials] | None = None,
    ) -> None:
        """`streams` gives the TCP connections: open ones, and how many were refused."""
        self.registry = _registry(_Gauges(lambda: _server_gauges(status())))
        self._groups = groups
        self._counters = _Counters("gcks_", SERVER_ROWS, self.registry)
        self.registry.register(_Gauges(lambda: _edge_counters(commits, send_errors)))
        self.loop_lag = LoopLag("gcks_", self.registry)
        self.commit_seconds = commit_histogram(self.registry)
        self._rekey_seconds = rekey_histogram(self.registry)
        self._registration_seconds = registration_histogram(self.registry)
        if credentials is not None:
            self.registry.register(_Gauges(lambda: certificate_ends("gcks_", credentials())))
        if limits is not None:
            self.registry.register(_Gauges(lambda: _limit_gauges(limits())))
        if streams is not None:
            self.registry.register(_Gauges(lambda: _stream_gauges(*streams())))

    def count(self, events: Iterable[e.Event]) -> None:
        """Add events; never fails."""
        events = tuple(events)
        for event in events:
            if type(event) is e.GroupStarted:
                self._counters.begin(event.group)
        self._counters.count(map(self._bounded, events))

    def sent(self, awaited: Awaited, now: float) -> None:
        """Measure how long was waited for what has just left."""
        histogram = (
            self._rekey_seconds
            if awaited.exchange is ExchangeType.GSA_REKEY
            else self._registration_seconds.labels(awaited.exchange.name.lower())
        )
        histogram.observe(now - awaited.since)

    def _bounded(self, event: e.Event) -> e.Event:
        """Leave out the name of a group that a peer asked for and we don't serve."""
        if isinstance(event, e.RegistrationRefused) and event.group not in self._groups():
            return dataclasses.replace(event, group="")
        return event


class MemberMetrics:
    """Counts the member's events."""

    def __init__(
        self,
        status: Callable[[], MemberStatus],
        credentials: Callable[[], Credentials] | None = None,
        statistics: Path = XFRM_STATISTICS,
        send_errors: Callable[[], int] | None = None,
    ) -> None:
        self.registry = _registry(_Gauges(lambda: _member_gauges(status())))
        self.registry.register(_Gauges(lambda: _send_errors("gcks_member_", send_errors)))
        self.loop_lag = LoopLag("gcks_member_", self.registry)
        self.registry.register(_Gauges(lambda: packets_without_sa(statistics)))
        if credentials is not None:
            ends = "gcks_member_"
            self.registry.register(_Gauges(lambda: certificate_ends(ends, credentials())))
        self._counters = _Counters("gcks_member_", MEMBER_ROWS, self.registry)
        for group in status().groups:
            self._counters.begin(group.group)

    def count(self, events: Iterable[e.Event]) -> None:
        """Add events; never fails."""
        self._counters.count(events)


# --- gauges, made when Prometheus comes ---------------------------------------------------

GaugeRows = tuple[tuple[str, str, Callable[[Any], float | None]], ...]
"""Name, text, and the value; None: there is none now."""


def _at(seconds: float | None) -> float | None:
    """Return the POSIX time so many seconds from now."""
    return None if seconds is None else time.time() + seconds


_SERVER_GROUP_ROWS: Final[GaugeRows] = (
    ("members", "Registered members", lambda g: g.members),
    ("expected_members", "Members that the configuration expects, 0: nothing said",
     lambda g: g.expected_members),
    ("data_sa_expiry_timestamp_seconds",
     "When the first Data-Security SA ends that nothing has replaced, POSIX time",
     lambda g: _at(g.data_sa_expires_in_seconds)),
    ("renewal_due_timestamp_seconds", "When the first SA is to be renewed, POSIX time",
     lambda g: _at(g.renewal_due_in_seconds)),
    ("data_sas", "Current Data-Security SAs", lambda g: g.data_sas),
    ("replay_protected_sas", "Current Data-Security SAs whose receivers can see replayed packets",
     lambda g: g.replay_protected_sas),
    ("sender_ids_left", "Sender-IDs not yet allocated", lambda g: g.sender_ids_left),
    ("rekey_next_message_id", "Message ID of the next GSA_REKEY", lambda g: g.next_message_id),
    ("rekey_sa_expiry_timestamp_seconds", "When the Rekey SA ends, POSIX time",
     lambda g: _at(g.rekey_expires_in_seconds)),
    ("last_rekey_timestamp_seconds", "When the newest GSA_REKEY was made, POSIX time",
     lambda g: g.last_rekey_at or 0.0),
    ("reregistration_spread_seconds", "How long members are told to take for coming back",
     lambda g: g.spread_seconds),
)  # fmt: skip
_LOAD_ROWS: Final[GaugeRows] = (
    ("registration_cost_seconds", "Mean server time of a registration",
     lambda s: s.registration_cost_seconds),
    ("backlog_limit", "Half-open IKE SAs beyond which only known senders may begin",
     lambda s: s.backlog_limit),
)  # fmt: skip
_MEMBER_GROUP_ROWS: Final[GaugeRows] = (
    ("registered", "1 while this member is registered", lambda g: g.state == "registered"),
    ("data_sas", "Data-Security SAs held", lambda g: len(g.data_sas)),
    ("data_sas_not_installed", "Data-Security SAs held that the data plane could not install",
     lambda g: g.sas_not_installed),
    (
        "replay_protected_sas",
        "Data-Security SAs received on with a replay window",
        lambda g: sum(sa.replay_protection for sa in g.data_sas),
    ),
    ("sender_ids", "Sender-IDs held", lambda g: len(g.sender_ids)),
    ("rekey_next_message_id", "Least Message ID accepted", lambda g: g.next_message_id),
    ("sa_expiry_timestamp_seconds",
     "When the first Data-Security SA ends that nothing has replaced, POSIX time",
     lambda g: _at(g.data_sa_ends_in_seconds)),
    ("reregistration_spread_seconds", "Longest random delay before registering again",
     lambda g: g.spread_seconds),
)  # fmt: skip


class _Gauges(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        return self._collect()


def _registry(gauges: Collector) -> CollectorRegistry:
    # Off: a second series for every counter, a gauge called _created.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    registry.register(gauges)
    registry.register(_Gauges(_build_info))
    ProcessCollector(registry=registry)
    return registry


def _server_gauges(status: ServerStatus) -> Iterator[Metric]:
    sas = GaugeMetricFamily("gcks_ike_sas", "IKE SAs by state", labels=["state"])
    sas.add_metric(["half_open"], status.half_open)
    sas.add_metric(["established"], status.established)
    yield sas
    text = "What new peers must prove: 0 nothing, 1 a cookie, 2 a puzzle"
    yield GaugeMetricFamily("gcks_admission_step", text, value=status.step)
    text = "Cookies and puzzles by what became of them"
    admission = CounterMetricFamily("gcks_admission", text, labels=["result"])
    for result, count in status.admission.items():
        admission.add_metric([result], count)
    yield admission
    for name, text, value in _LOAD_ROWS:
        yield GaugeMetricFamily(f"gcks_{name}", text, value=value(status))
    yield from _by_group("gcks_", _SERVER_GROUP_ROWS, status.groups)


def _member_gauges(status: MemberStatus) -> Iterator[Metric]:
    established = GaugeMetricFamily("gcks_member_ike_sas", "Established IKE SAs")
    established.add_metric([], status.ike_sa == "established")
    yield established
    yield from _by_group("gcks_member_", _MEMBER_GROUP_ROWS, status.groups)
    text = "GSA_REKEY messages that never came, by gaps in the Message IDs"
    missed = CounterMetricFamily("gcks_member_rekeys_missed", text, labels=["group"])
    for group in status.groups:
        missed.add_metric([group.group], group.rekeys_missed)
    yield missed


def _by_group(prefix: str, rows: GaugeRows, groups: Iterable[Any]) -> Iterator[Metric]:
    for name, text, value in rows:
        family = GaugeMetricFamily(prefix + name, text, labels=["group"])
        for group in groups:
            if (number := value(group)) is not None:
                family.add_metric([group.group], number)
        yield family


def _edge_counters(
    commits: Callable[[], int] | None, send_errors: Callable[[], int] | None
) -> Iterator[Metric]:
    if commits is not None:
        yield CounterMetricFamily("gcks_store_commits", "Transactions committed", value=commits())
    yield from _send_errors("gcks_", send_errors)


def _send_errors(prefix: str, count: Callable[[], int] | None) -> Iterator[Metric]:
    if count is not None:
        text = "Datagrams that the kernel did not take"
        yield CounterMetricFamily(f"{prefix}send_errors", text, value=count())


def _limit_gauges(limits: Mapping[str, float]) -> Iterator[Metric]:
    family = GaugeMetricFamily("gcks_limit", "Thresholds of the configuration", labels=["limit"])
    for name, value in limits.items():
        family.add_metric([name], value)
    yield family


def _stream_gauges(held: int, refused: int) -> Iterator[Metric]:
    yield GaugeMetricFamily("gcks_tcp_connections", "Open TCP connections", value=held)
    text = "TCP connections beyond the limits"
    yield CounterMetricFamily("gcks_tcp_connections_refused", text, value=refused)


def _build_info() -> Iterator[Metric]:
    family = GaugeMetricFamily("gcks_build_info", "Version of gcks", labels=["version"])
    family.add_metric([__version__], 1)
    yield family
