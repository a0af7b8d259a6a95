"""How the daemon itself is: lag of its event loop, time of commits, ends of certificates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gcks.crypto.certificate_reading import validity
from gcks.iana import ExchangeType
from gcks.ike.credentials import Credentials

BEAT_SECONDS: Final = 0.1
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
XFRM_STATISTICS: Final = Path("/proc/net/xfrm_stat")
_WITHOUT_SA: Final = "XfrmInNoStates"


def late_beats(late_seconds: float) -> list[float]:
    """Return by how many seconds each beat is late, the oldest by `late_seconds`."""
    late = max(0.0, late_seconds)
    return [late - beat * BEAT_SECONDS for beat in range(1 + int(late / BEAT_SECONDS))]


class LoopLag:
    """Measures by how much the event loop is late, for as long as it runs.

    Every beat counts that came due while the loop hung: else a second of standing
    still would count no more than a moment, and no percentile would show it.
    """

    def __init__(self, prefix: str, registry: CollectorRegistry) -> None:
        self._histogram = Histogram(
            f"{prefix}loop_lag_seconds", "How late the event loop was", registry=registry,
            buckets=_BUCKETS,
        )  # fmt: skip
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._wait(time.monotonic() + BEAT_SECONDS)

    def _wait(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(due - time.monotonic(), self._beat, due)

    def _beat(self, due: float) -> None:
        beats = late_beats(time.monotonic() - due)
        for late in beats:
            self._histogram.observe(late)
        self._wait(due + len(beats) * BEAT_SECONDS)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def commit_histogram(registry: CollectorRegistry) -> Histogram:
    """Return where the seconds go that commits take, the wait for the disk included."""
    return Histogram(
        "gcks_store_commit_seconds", "Time that a commit took", registry=registry, buckets=_BUCKETS
    )


def registration_histogram(registry: CollectorRegistry) -> Histogram:
    """Return where the seconds go until a registration is answered.

    In GSA_AUTH they count from IKE_SA_INIT: the peer's share and the network's are in them.
    Over an IKE SA that is there, the server can't know when its peer began.
    """
    histogram = Histogram(
        "gcks_registration_seconds",
        "Time until a registration was answered: from IKE_SA_INIT, or the GSA_REGISTRATION request",
        ("exchange",),
        registry=registry,
        buckets=(*_BUCKETS, 5.0, 10.0, 30.0),
    )
    for exchange in (ExchangeType.GSA_AUTH, ExchangeType.GSA_REGISTRATION):
        histogram.labels(exchange.name.lower())  # with 0, before the first
    return histogram


def rekey_histogram(registry: CollectorRegistry) -> Histogram:
    """Return where the seconds go in which a new GSA_REKEY is built, committed and sent."""
    return Histogram(
        "gcks_rekey_seconds",
        "Time from the decision to rekey until the first copy left: built, signed, committed",
        registry=registry,
        buckets=(*_BUCKETS, 5.0),
    )


def certificate_ends(prefix: str, credentials: Credentials) -> Iterator[Metric]:
    """Yield when the first of the own certificates and of the trust anchors expires."""
    text = "When the first certificate of a kind expires, POSIX time"
    family = GaugeMetricFamily(
        f"{prefix}certificate_expiry_timestamp_seconds", text, labels=["kind"]
    )
    own = [der for credential in credentials.own for der in credential.chain]
    anchors = credentials.trust.anchors if credentials.trust is not None else ()
    for kind, certificates in (("own", own), ("trust_anchor", anchors)):
        ends = _ends(certificates)
        if ends is not None:
            family.add_metric([kind], ends)
    yield family


def _ends(certificates: Iterable[bytes]) -> float | None:
    return min((validity(der)[1] for der in certificates), default=None)


def packets_without_sa(statistics: Path) -> Iterator[Metric]:
    """Yield how many packets came to this host for which it had no SA, of whatever program."""
    try:
        lines = statistics.read_text().splitlines()
    except OSError:
        return
    counters = dict(line.split() for line in lines if len(line.split()) == 2)
    if _WITHOUT_SA in counters:
        text = "IPsec packets to this host without an SA for them (XfrmInNoStates)"
        yield CounterMetricFamily(
            "gcks_member_host_packets_without_sa", text, value=int(counters[_WITHOUT_SA])
        )
