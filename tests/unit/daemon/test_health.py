"""How the daemon itself is, from real sources: lag, certificates, packets without SA, build."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from gcks import __version__
from gcks.crypto.certificates import TrustStore
from gcks.daemon.health import (
    BEAT_SECONDS,
    XFRM_STATISTICS,
    LoopLag,
    certificate_ends,
    late_beats,
    packets_without_sa,
)
from gcks.ike.credentials import Credentials, OwnCredential
from tests.support.authority import DAY, NOW, Authority
from tests.support.metrics_states import Member, Server


def told(metrics: Iterator[Metric]) -> dict[str, float]:
    """Return the one family's value by its label, or by ""."""
    return {
        next(iter(sample.labels.values()), ""): sample.value
        for family in metrics
        for sample in family.samples
    }


# --- certificates -------------------------------------------------------------------------


def true_end(der: bytes) -> float:
    return x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()


def test_a_certificate_ends_when_it_says_so() -> None:
    ca = Authority()
    own = ca.issue("gcks.dev")
    found = told(certificate_ends("gcks_", Credentials(own=(own,), trust=ca.trust)))
    anchor = ca.trust.anchors[0]
    assert found == {"own": true_end(own.chain[0]), "trust_anchor": true_end(anchor)}
    assert found["own"] == (NOW + 30 * DAY).timestamp()


def test_the_certificate_that_ends_first_counts() -> None:
    """Of several credentials, of a chain, and of the trust anchors."""
    roots = [Authority(f"CA {days}", NOW + days * DAY) for days in (50, 40, 60)]
    leaves = [roots[0].issue("gcks.dev", until=NOW + days * DAY) for days in (20, 12, 17)]
    (intermediate,) = Authority("CA", NOW + 11 * DAY).trust.anchors
    chained = OwnCredential((*leaves[2].chain, intermediate), leaves[2].key)
    trust = TrustStore([root.trust.anchors[0] for root in roots])
    found = told(certificate_ends("gcks_", Credentials(own=(*leaves[:2], chained), trust=trust)))
    assert found == {
        "own": (NOW + 11 * DAY).timestamp(),
        "trust_anchor": (NOW + 40 * DAY).timestamp(),
    }


def test_without_certificates_there_is_no_end() -> None:
    assert told(certificate_ends("gcks_", Credentials())) == {}


# --- packets without SA -------------------------------------------------------------------

KERNEL = """XfrmInError                     \t1
XfrmInBufferError               \t2
XfrmInHdrError                  \t3
XfrmInNoStates                  \t4711
XfrmInStateProtoError           \t5
XfrmInStateModeError            \t6
XfrmInStateSeqError             \t7
XfrmInNoPols                    \t8
XfrmOutNoStates                 \t9
"""
"""The beginning of a kernel's page, as of Linux 6.1."""


def test_packets_without_sa_are_what_the_kernel_counts(tmp_path: Path) -> None:
    path = tmp_path / "xfrm_stat"
    path.write_text(KERNEL)
    assert told(packets_without_sa(path)) == {"": 4711}


@pytest.mark.parametrize("text", [None, "", "XfrmInError 1\n", "XfrmInNoStates\n"])
def test_a_kernel_that_does_not_count_is_no_zero(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "xfrm_stat"
    if text is not None:
        path.write_text(text)
    assert told(packets_without_sa(path)) == {}


@pytest.mark.skipif(not XFRM_STATISTICS.exists(), reason="this kernel has no XFRM statistics")
def test_this_kernel_counts_them() -> None:
    (count,) = told(packets_without_sa(XFRM_STATISTICS)).values()
    assert count >= 0


# --- build --------------------------------------------------------------------------------


def test_build_info_is_the_version(tmp_path: Path) -> None:
    for daemon in (Server(), Member(tmp_path / "xfrm_stat")):
        (family,) = (f for f in daemon.metrics.registry.collect() if f.name == "gcks_build_info")
        (sample,) = family.samples
        assert (sample.labels, sample.value) == ({"version": __version__}, 1)


# --- the event loop -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("late_seconds", "beats", "within"),
    [
        (-0.001, 1, {0.0: 1}),
        (0.0, 1, {0.0: 1}),
        (0.06, 1, {0.05: 0, 0.1: 1}),
        (1.01, 11, {0.1: 1, 0.5: 5, 1.0: 10}),
    ],
)
def test_every_beat_that_a_hanging_loop_missed_counts(
    late_seconds: float, beats: int, within: dict[float, int]
) -> None:
    """A percentile of the lag is then one of the time."""
    late = late_beats(late_seconds)
    assert len(late) == beats
    assert {bound: sum(one <= bound for one in late) for bound in within} == within


async def test_a_loop_that_hung_says_so_and_goes_on_until_it_is_stopped() -> None:
    registry = CollectorRegistry()

    def beats(within: str = "+Inf") -> float:
        return registry.get_sample_value("x_loop_lag_seconds_bucket", {"le": within}) or 0.0

    lag = LoopLag("x_", registry)
    lag.start()
    time.sleep(5.5 * BEAT_SECONDS)
    async with asyncio.timeout(10):
        while not beats():
            await asyncio.sleep(0)
        hung = beats()
        assert hung >= 5 and hung - beats("0.25") >= 2
        while beats() == hung:
            await asyncio.sleep(BEAT_SECONDS / 10)
    lag.stop()
    ended = beats()
    await asyncio.sleep(2 * BEAT_SECONDS)
    assert beats() == ended
