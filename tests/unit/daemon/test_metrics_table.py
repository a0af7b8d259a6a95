"""Every metric of both daemons, by a value that changes.

Shows gcks/daemon/metrics.py and gcks/daemon/health.py.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from gcks.daemon import health
from gcks.events import RegisterAgain
from tests.support.metrics_states import REKEY_OCTETS, WHICH, Ahead, Member, Server, ends

Value = float | Ahead | None
"""None: there is no such series."""


class Row(NamedTuple):
    name: str
    labels: dict[str, str]
    before: Value
    after: Value


def group(name: str, before: Value, after: Value, **labels: str) -> Row:
    return Row(name, {**WHICH, **labels}, before, after)


SERVER_TABLE = (
    # From the status.
    Row("gcks_ike_sas", {"state": "half_open"}, 3, 201),
    Row("gcks_ike_sas", {"state": "established"}, 4, 202),
    Row("gcks_admission_step", {}, 0, 2),
    Row("gcks_admission_total", {"result": "cookies_returned"}, 0, 203),
    Row("gcks_admission_total", {"result": "over_limit"}, None, 204),
    Row("gcks_registration_cost_seconds", {}, 0, 205.5),
    Row("gcks_backlog_limit", {}, 0, 206),
    group("gcks_members", 5, 207),
    group("gcks_rekey_next_message_id", 6, 208),
    group("gcks_data_sas", 2, 209),
    group("gcks_sender_ids_left", 99, 210),
    group("gcks_last_rekey_timestamp_seconds", 0, 211),
    group("gcks_rekey_sa_expiry_timestamp_seconds", None, Ahead(21_200)),
    group("gcks_replay_protected_sas", 0, 213),
    group("gcks_expected_members", 0, 214),
    group("gcks_data_sa_expiry_timestamp_seconds", Ahead(0), Ahead(21_500)),
    group("gcks_renewal_due_timestamp_seconds", Ahead(0), Ahead(21_550)),
    group("gcks_reregistration_spread_seconds", 0, 216.5),
    # From events.
    Row("gcks_datagrams_dropped_total", {"reason": "replay"}, 0, 10),
    Row("gcks_requests_refused_total", {"notify": "no_additional_sas"}, None, 11),
    Row("gcks_cookies_required_total", {}, 0, 12),
    Row("gcks_puzzles_required_total", {}, 0, 13),
    Row("gcks_ike_sa_inits_total", {}, 0, 14),
    Row("gcks_childless_ike_sas_total", {}, 0, 15),
    Row("gcks_ike_sas_closed_total", {}, 0, 16),
    Row("gcks_ike_sas_rekeyed_total", {}, 0, 17),
    group("gcks_registrations_total", 0, 18, result="registered", reason=""),
    group("gcks_registrations_total", 0, 19 + 20, result="reregistered", reason=""),
    group("gcks_registrations_total", None, 21, result="refused", reason="group_full"),
    group("gcks_reregistrations_total", 0, 19, cause="unchanged"),
    group("gcks_reregistrations_total", 0, 20, cause="after_rekey"),
    group("gcks_members_left_total", 0, 22),
    group("gcks_groups_started_over_total", 0, 23),
    group("gcks_certificates_ended_total", 0, 24, reason="certificate_expired"),
    group("gcks_sas_created_total", None, 25, protocol="esp"),
    group("gcks_sas_deleted_total", None, 26, protocol="ah"),
    group("gcks_rekeys_sent_total", 0, 27, copy="first"),
    group("gcks_rekeys_sent_total", 0, 28, copy="repeat"),
    group("gcks_rekeys_sent_total", 0, 29, copy="reminder"),
    group("gcks_rekey_octets_total", 0, REKEY_OCTETS),
    group("gcks_sender_ids_low_total", 0, 30),
    group("gcks_sender_ids_exhausted_total", 0, 31),
    Row("gcks_registrations_total",
        {"group": "", "result": "abandoned", "reason": "no_gsa_auth"}, None, 32),
    Row("gcks_server_refusals_total", {}, 0, 33),
    group("gcks_groups_read_again_total", 0, 34),
    group("gcks_groups_delayed_total", 0, 35),
    # From the edge.
    Row("gcks_store_commits_total", {}, 0, 40),
    Row("gcks_send_errors_total", {}, 0, 41),
    Row("gcks_tcp_connections", {}, 0, 42),
    Row("gcks_tcp_connections_refused_total", {}, 0, 43),
    Row("gcks_store_commit_seconds_sum", {}, 0, 44.5),
    Row("gcks_rekey_seconds_sum", {}, 0, 45.5),
    Row("gcks_registration_seconds_sum", {"exchange": "gsa_auth"}, 0, 46.5),
    Row("gcks_registration_seconds_sum", {"exchange": "gsa_registration"}, 0, 47.5),
    Row("gcks_limit", {"limit": "cookie_threshold"}, 500, 501),
    Row("gcks_certificate_expiry_timestamp_seconds", {"kind": "own"}, ends(30), ends(20)),
    Row("gcks_certificate_expiry_timestamp_seconds", {"kind": "trust_anchor"}, ends(365),
        ends(300)),
)  # fmt: skip
MEMBER_TABLE = (
    Row("gcks_member_ike_sas", {}, 0, 1),
    group("gcks_member_registered", 0, 1),
    group("gcks_member_data_sas", 0, 8),
    group("gcks_member_replay_protected_sas", 0, 7),
    group("gcks_member_sender_ids", 0, 3),
    group("gcks_member_rekey_next_message_id", 0, 301),
    group("gcks_member_reregistration_spread_seconds", 0, 305.5),
    group("gcks_member_rekeys_missed_total", 0, 306),
    group("gcks_member_sa_expiry_timestamp_seconds", None, Ahead(30_700)),
    Row("gcks_member_datagrams_dropped_total", {"reason": "replay"}, 0, 10),
    Row("gcks_member_requests_refused_total", {"notify": "invalid_syntax"}, None, 11),
    Row("gcks_member_ike_sas_closed_total", {}, 0, 12),
    Row("gcks_member_ike_sas_rekeyed_total", {}, 0, 13),
    group("gcks_member_registration_attempts_total", 0, 14),
    group("gcks_member_registrations_total", 0, 15),
    group("gcks_member_sender_mismatches_total", 0, 16),
    group("gcks_member_registration_failures_total", 0, 17 + 18),
    group("gcks_member_policies_refused_total", 0, 18),
    group("gcks_member_rekeys_total", 0, 19, kind="rekey"),
    *(
        group("gcks_member_reregistrations_total", 0, 20 + number, cause=why.value)
        for number, why in enumerate(RegisterAgain)
    ),
    group("gcks_member_groups_left_total", 0, 30),
    group("gcks_member_data_sas_not_installed", 0, 308),
    Row("gcks_member_data_plane_failures_total", {"command": "remove"}, 0, 31),
    group("gcks_member_strange_rekeys_total", 0, 32),
    group("gcks_member_receive_only_sas_total", 0, 33),
    Row("gcks_member_host_packets_without_sa_total", {}, 0, 70),
    Row("gcks_member_send_errors_total", {}, 0, 71),
    Row("gcks_member_certificate_expiry_timestamp_seconds", {"kind": "own"}, ends(30), ends(20)),
    Row("gcks_member_certificate_expiry_timestamp_seconds", {"kind": "trust_anchor"}, ends(365),
        ends(300)),
)  # fmt: skip
TABLES = {"server": SERVER_TABLE, "member": MEMBER_TABLE}
MEASURED = {
    "server": "gcks_loop_lag_seconds_sum",
    "member": "gcks_member_loop_lag_seconds_sum",
}
"""What can't be given a value: the loop's lag is shown below, of a loop that is late."""
CONSTANT = {"gcks_build_info"}
SUFFIX = {"counter": "_total", "histogram": "_sum"}


@pytest.fixture(params=["server", "member"])
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def daemon(role: str, tmp_path: Path) -> Server | Member:
    return Server() if role == "server" else Member(tmp_path / "xfrm_stat")


def value(registry: CollectorRegistry, name: str, labels: dict[str, str]) -> float | None:
    return registry.get_sample_value(name, labels)


def exported(registry: CollectorRegistry) -> set[str]:
    """Return what Prometheus is told, by one series of each; without the library's own."""
    names = {one.name + SUFFIX.get(one.type, "") for one in registry.collect()}
    return {name for name in names if not name.startswith("process_")}


def test_the_tables_hold_every_metric_and_no_other(role: str, daemon: Server | Member) -> None:
    daemon.go_on()
    shown = {row.name for row in TABLES[role]} | CONSTANT | {MEASURED[role]}
    assert shown == exported(daemon.metrics.registry)


def test_every_metric_follows_what_it_tells(role: str, daemon: Server | Member) -> None:
    registry = daemon.metrics.registry
    for row in TABLES[role]:
        assert row.before != row.after
        assert value(registry, row.name, row.labels) == row.before, (row.name, "before")
    daemon.go_on()
    for row in TABLES[role]:
        assert value(registry, row.name, row.labels) == row.after, (row.name, "after")


def test_no_metric_can_stand_in_for_another(role: str) -> None:
    """Truth values and the certificates' ends apart, which both daemons tell alike."""
    told = [row.after for row in TABLES[role] if isinstance(row.after, int) and row.after > 3]
    assert len(told) == len(set(told))


async def test_the_lag_of_the_loop_is_for_how_long_it_was_blocked(
    role: str, daemon: Server | Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat, blocked = 0.01, 0.1
    monkeypatch.setattr(health, "BEAT_SECONDS", beat)
    registry, name = daemon.metrics.registry, MEASURED[role]
    assert value(registry, name, {}) == 0
    began = time.monotonic()
    daemon.metrics.loop_lag.start()
    time.sleep(blocked)
    while not value(registry, name.replace("_sum", "_count"), {}):
        await asyncio.sleep(0)
    daemon.metrics.loop_lag.stop()
    lag, elapsed = value(registry, name, {}), time.monotonic() - began
    assert lag is not None
    assert of_all_beats(blocked - beat, beat) <= lag <= of_all_beats(elapsed - beat, beat)


def of_all_beats(late: float, beat: float) -> float:
    """Add up how late every beat was that one delay has missed."""
    return sum(late - number * beat for number in range(1 + int(late / beat)))
