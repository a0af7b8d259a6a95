"""Prometheus metrics: a table from event to counter, gauges from the engine's status.

Labels are group names from the configuration, reasons and notification names:
never what a peer can make up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gcks import __version__
from gcks import events as e
from gcks.keyserver.engine import ServerStatus
from gcks.member.status import MemberStatus


class ServerMetrics:
    """Counts the key server's events."""

    def __init__(
        self, status: Callable[[], ServerStatus], groups: Callable[[], Collection[str]]
    ) -> None:
        self.registry = CollectorRegistry()
        self._groups = groups
        self._handlers: dict[type[e.Event], Callable[[Any], None]] = {
            e.DatagramDropped: self._dropped,
            e.RequestRefused: self._refused,
            e.CookieRequired: self._cookie,
            e.MemberRegistered: self._registered,
            e.RegistrationRefused: self._registration_refused,
            e.MemberLeft: self._left,
            e.RekeySent: self._rekey,
            e.IkeSaInitAnswered: self._init,
        }
        self._make_counters()
        self.registry.register(_ServerGauges(status))
        self.registry.register(_BuildInfo())

    def _make_counters(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"gcks_{name}", text, labels, registry=self.registry)

        self._registrations = counter("registrations", "Registrations by result", "group", "result")
        self._drops = counter("datagrams_dropped", "Datagrams dropped without answer", "reason")
        self._refusals = counter("requests_refused", "Other requests refused", "notify")
        self._cookies = counter("cookies_required", "IKE_SA_INIT answered with a cookie")
        self._inits = counter("ike_sa_inits", "IKE_SA_INIT requests accepted")
        self._leaves = counter("members_left", "Members that left", "group")
        self._rekeys = counter("rekeys_sent", "GSA_REKEY messages sent", "group", "copy")
        self._rekey_octets = counter("rekey_octets", "Octets of GSA_REKEY sent", "group")
        self.commits = counter("store_commits", "Transactions committed")

    def count(self, events: Iterable[e.Event]) -> None:
        for event in events:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)

    def _known(self, group: str) -> str:
        return group if group in self._groups() else ""

    def _dropped(self, event: e.DatagramDropped) -> None:
        self._drops.labels(event.reason.value).inc()

    def _refused(self, event: e.RequestRefused) -> None:
        self._refusals.labels(event.notify.name).inc()

    def _cookie(self, _: e.CookieRequired) -> None:
        self._cookies.inc()

    def _init(self, _: e.IkeSaInitAnswered) -> None:
        self._inits.inc()

    def _registered(self, event: e.MemberRegistered) -> None:
        result = "reregistered" if event.again else "registered"
        self._registrations.labels(event.group, result).inc()

    def _registration_refused(self, event: e.RegistrationRefused) -> None:
        self._registrations.labels(self._known(event.group), event.notify.name.lower()).inc()

    def _left(self, event: e.MemberLeft) -> None:
        self._leaves.labels(event.group).inc()

    def _rekey(self, event: e.RekeySent) -> None:
        self._rekeys.labels(event.group, "first" if event.copy == 1 else "repeat").inc()
        self._rekey_octets.labels(event.group).inc(event.octets)


class _ServerGauges(Collector):
    def __init__(self, status: Callable[[], ServerStatus]) -> None:
        self._status = status

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        sas = GaugeMetricFamily("gcks_ike_sas", "IKE SAs by state", labels=["state"])
        sas.add_metric(["half_open"], status.half_open)
        sas.add_metric(["established"], status.established)
        yield sas
        rows: list[tuple[str, str, Callable[[Any], float]]] = [
            ("members", "Registered members", lambda g: g.members),
            ("data_sas", "Current Data-Security SAs", lambda g: g.data_sas),
            ("sender_ids_left", "Sender-IDs not yet allocated", lambda g: g.sender_ids_left),
            ("rekey_next_message_id", "Message ID of the next GSA_REKEY",
             lambda g: g.next_message_id),
            ("rekey_sa_remaining_seconds", "Life left of the Rekey SA",
             lambda g: g.rekey_expires_in_seconds),
            ("last_rekey_timestamp_seconds", "When the newest GSA_REKEY was made",
             lambda g: g.last_rekey_at or 0.0),
        ]  # fmt: skip
        for name, text, value in rows:
            family = GaugeMetricFamily(f"gcks_{name}", text, labels=["group"])
            for group in status.groups:
                family.add_metric([group.group], value(group))
            yield family


class _BuildInfo(Collector):
    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("gcks_build_info", "Version of gcks", labels=["version"])
        family.add_metric([__version__], 1)
        yield family


class MemberMetrics:
    """Counts the member's events."""

    def __init__(self, status: Callable[[], MemberStatus]) -> None:
        self.registry = CollectorRegistry()
        self._status = status
        self._drops = Counter(
            "gcks_member_datagrams_dropped", "Datagrams dropped", ["reason"], registry=self.registry
        )
        self._events = Counter(
            "gcks_member_events", "Events by name", ["event", "group"], registry=self.registry
        )
        self.registry.register(_BuildInfo())

    def count(self, events: Iterable[e.Event]) -> None:
        for event in events:
            if isinstance(event, e.DatagramDropped):
                self._drops.labels(event.reason.value).inc()
            else:
                self._events.labels(event.name, getattr(event, "group", "")).inc()
