"""Metrics: names as Prometheus wants them, no label that a peer can make up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gcks import events as e
from gcks.daemon.metrics import (
    MEMBER_ROWS,
    SERVER_ROWS,
    MemberMetrics,
    ServerMetrics,
)
from gcks.errors import DropReason, RefusalReason
from tests.support.event_samples import sample
from tests.support.metrics_states import GROUP, Member, Server
from tests.support.repository import ROOT

BOUNDED_LABELS = {
    "group",
    "reason",
    "notify",
    "result",
    "copy",
    "protocol",
    "state",
    "version",
    "limit",
    "kind",
    "le",
    "cause",
    "command",
    "exchange",
}


@pytest.fixture(params=["server", "member"])
def metrics(request: pytest.FixtureRequest, tmp_path: Path) -> ServerMetrics | MemberMetrics:
    server = request.param == "server"
    return Server().metrics if server else Member(tmp_path / "xfrm_stat").metrics


def server() -> ServerMetrics:
    return Server().metrics


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_every_event_is_counted_or_said_not_to_be() -> None:
    counted = {row.event for row in (*SERVER_ROWS, *MEMBER_ROWS)}
    assert counted == {kind for kind in e.KINDS if kind.counted}


def test_every_event_can_be_counted(metrics: ServerMetrics | MemberMetrics) -> None:
    metrics.count([sample(kind) for kind in e.KINDS])
    rows = SERVER_ROWS if isinstance(metrics, ServerMetrics) else MEMBER_ROWS
    text = generate_latest(metrics.registry).decode()
    for row in rows:
        assert re.search(rf"^gcks_(member_)?{row.name}_total(\{{.*\}})? [1-9]", text, re.M), (
            row.name
        )


def test_names_and_labels_are_as_they_should_be(metrics: ServerMetrics | MemberMetrics) -> None:
    """Prefix, base units, _total on counters only, bounded labels, a help text."""
    metrics.count([sample(kind) for kind in e.KINDS])
    text = generate_latest(metrics.registry).decode()
    families = list(text_string_to_metric_families(text))
    assert len(families) > 15
    for family in families:
        if family.name.startswith("process_"):
            continue
        assert re.fullmatch(r"gcks_[a-z0-9_]+", family.name)
        assert not re.search(r"_(ms|minutes|hours|bytes_total|kib)", family.name)
        assert family.documentation
        for one in family.samples:
            assert (family.type == "counter") == one.name.endswith("_total")
            assert set(one.labels) <= BOUNDED_LABELS


def test_the_documentation_names_every_metric_and_no_other(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    told = set(re.findall(r"`(gcks_[a-z_]+)`", text))
    made: set[str] = set()
    for daemon in (Server(), Member(tmp_path / "xfrm_stat")):
        daemon.go_on()
        page = generate_latest(daemon.metrics.registry).decode()
        lines = set(re.findall(r"^(gcks_[a-z_]+)", page, re.M))
        histograms = set(re.findall(r"^# TYPE (\S+) histogram", page, re.M))
        made |= {
            re.sub(r"_(bucket|sum|count)$", "", one) if "_seconds_" in one else one for one in lines
        }
        assert histograms <= made
    assert told == made


def test_a_group_that_a_peer_made_up_is_no_label() -> None:
    metrics = server()
    for number in range(1000):
        refused = sample(
            e.RegistrationRefused, group=f"keyid:x{number}", reason=RefusalReason.UNKNOWN_GROUP
        )
        metrics.count([refused])
    labels = {"group": "", "result": "refused", "reason": "unknown_group"}
    assert value(metrics.registry, "gcks_registrations_total", **labels) == 1000
    assert b"x17" not in generate_latest(metrics.registry)


def test_registrations_are_told_apart_by_result_and_reason() -> None:
    metrics = server()
    metrics.count([sample(e.MemberRegistered, group=GROUP, again=again) for again in (0, 0, 1)])
    reasons = (RefusalReason.PSK_MISMATCH, RefusalReason.PSK_MISMATCH, RefusalReason.GROUP_FULL)
    metrics.count([sample(e.RegistrationRefused, group=GROUP, reason=one) for one in reasons])
    counts = {
        ("registered", ""): 2,
        ("reregistered", ""): 1,
        ("refused", "psk_mismatch"): 2,
        ("refused", "group_full"): 1,
    }
    for (result, reason), count in counts.items():
        labels = {"group": GROUP, "result": result, "reason": reason}
        assert value(metrics.registry, "gcks_registrations_total", **labels) == count


def test_rekeys_are_counted_with_their_octets() -> None:
    metrics = server()
    metrics.count(
        [
            sample(e.RekeySent, group=GROUP, copy=copy, octets=500, reminder=False)
            for copy in (1, 2, 3)
        ]
    )
    assert value(metrics.registry, "gcks_rekeys_sent_total", group=GROUP, copy="first") == 1
    assert value(metrics.registry, "gcks_rekeys_sent_total", group=GROUP, copy="repeat") == 2
    assert value(metrics.registry, "gcks_rekey_octets_total", group=GROUP) == 1500


def test_drops_begin_at_zero_for_every_reason(metrics: ServerMetrics | MemberMetrics) -> None:
    prefix = "gcks_" if isinstance(metrics, ServerMetrics) else "gcks_member_"
    for reason in DropReason:
        name = f"{prefix}datagrams_dropped_total"
        assert value(metrics.registry, name, reason=reason.value) == 0


def test_members_that_come_back_are_counted_by_cause() -> None:
    metrics = server()
    hint = "it comes back after a rekey"
    for again, why in ((False, ""), (True, ""), (True, hint), (True, hint)):
        metrics.count([sample(e.MemberRegistered, group=GROUP, again=again, hint=why)])
    name = "gcks_reregistrations_total"
    assert value(metrics.registry, name, group=GROUP, cause="unchanged") == 1
    assert value(metrics.registry, name, group=GROUP, cause="after_rekey") == 2


@pytest.mark.parametrize("why", e.RegisterAgain)
def test_a_member_counts_why_it_registers_again(why: e.RegisterAgain, tmp_path: Path) -> None:
    metrics = Member(tmp_path / "xfrm_stat").metrics
    metrics.count([sample(e.Reregistering, group=GROUP, reason=why)])
    name = "gcks_member_reregistrations_total"
    assert value(metrics.registry, name, group=GROUP, cause=why.value) == 1


def test_two_servers_in_one_process_do_not_share_counters() -> None:
    first, second = server(), server()
    first.count([sample(e.CookieRequired)])
    assert value(second.registry, "gcks_cookies_required_total") == 0
