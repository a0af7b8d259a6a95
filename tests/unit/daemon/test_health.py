"""How the daemon itself is: ends of certificates, packets without SA, build, from real sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from prometheus_client.core import Metric

from gcks import __version__
from gcks.crypto.certificates import TrustStore
from gcks.daemon.health import XFRM_STATISTICS, certificate_ends, packets_without_sa
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
