"""Metrics: names as Prometheus wants them, no label that a peer can make up."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gcks import events as e
from gcks.daemon.http import serve_metrics
from gcks.daemon.metrics import (
    MEMBER_ROWS,
    SERVER_ROWS,
    SERVER_UNCOUNTED,
    MemberMetrics,
    ServerMetrics,
)
from gcks.errors import DropReason, LocalError, RefusalReason
from gcks.ike.credentials import Credentials
from gcks.keyserver.status import GroupStatus, ServerStatus
from gcks.member.status import DataSaStatus, MemberStatus
from gcks.member.status import GroupStatus as MembershipStatus
from gcks.outcome import Endpoint
from tests.exchange.test_member_certificates import Authority
from tests.unit.daemon.conftest import ROOT
from tests.unit.daemon.samples import kinds, sample

GROUP = "keyid:demo"
SERVER_STATUS = ServerStatus(
    3, 4, (GroupStatus(GROUP, 5, 6, "00", 2, 99, 1e9, 77.5),), 1, {"cookies_returned": 1}
)
SA = DataSaStatus("ESP", "00", "in", "any", "239.1.2.3", False, True, 60.0)
MEMBER_STATUS = MemberStatus(
    "fqdn:gm1.dev",
    "192.0.2.1:848",
    "established",
    (MembershipStatus(GROUP, "registered", "00", 6, "", (SA,), (1, 2), 1, 0, "", None),),
)
CA = Authority()
CERTIFIED = Credentials(own=(CA.issue("gcks.dev"),), trust=CA.trust)
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
    "exchange",
}


def server() -> ServerMetrics:
    return ServerMetrics(
        lambda: SERVER_STATUS,
        lambda: [GROUP],
        commits=lambda: 8,
        send_errors=lambda: 9,
        streams=lambda: (7, 6),
        limits=lambda: {"cookie_threshold": 500},
        credentials=lambda: CERTIFIED,
    )


def member() -> MemberMetrics:
    return MemberMetrics(lambda: MEMBER_STATUS, lambda: CERTIFIED)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_every_event_is_counted_or_said_not_to_be() -> None:
    counted = {row.event for row in (*SERVER_ROWS, *MEMBER_ROWS)}
    assert counted | SERVER_UNCOUNTED == set(kinds())


@pytest.mark.parametrize("metrics", [server(), member()], ids=["server", "member"])
def test_every_event_can_be_counted(metrics: ServerMetrics | MemberMetrics) -> None:
    metrics.count([sample(kind) for kind in kinds()])
    rows = SERVER_ROWS if isinstance(metrics, ServerMetrics) else MEMBER_ROWS
    text = generate_latest(metrics.registry).decode()
    for row in rows:
        assert re.search(rf"^gcks_(member_)?{row.name}_total(\{{.*\}})? [1-9]", text, re.M), (
            row.name
        )


@pytest.mark.parametrize("metrics", [server(), member()], ids=["server", "member"])
def test_names_and_labels_are_as_they_should_be(metrics: ServerMetrics | MemberMetrics) -> None:
    """Prefix, base units, _total on counters only, bounded labels, a help text."""
    metrics.count([sample(kind) for kind in kinds()])
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


def test_the_documentation_names_every_metric_and_no_other() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    told = set(re.findall(r"`(gcks_[a-z_]+)`", text))
    made: set[str] = set()
    for metrics in (server(), member()):
        metrics.count([sample(kind) for kind in kinds()])
        page = generate_latest(metrics.registry).decode()
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


@pytest.mark.parametrize("metrics", [server(), member()], ids=["server", "member"])
def test_drops_begin_at_zero_for_every_reason(metrics: ServerMetrics | MemberMetrics) -> None:
    prefix = "gcks_" if isinstance(metrics, ServerMetrics) else "gcks_member_"
    for reason in DropReason:
        name = f"{prefix}datagrams_dropped_total"
        assert value(metrics.registry, name, reason=reason.value) == 0


def test_gauges_show_the_status() -> None:
    registry = server().registry
    assert value(registry, "gcks_ike_sas", state="half_open") == 3
    assert value(registry, "gcks_ike_sas", state="established") == 4
    assert value(registry, "gcks_members", group=GROUP) == 5
    assert value(registry, "gcks_sender_ids_left", group=GROUP) == 99
    ends = value(registry, "gcks_rekey_sa_expiry_timestamp_seconds", group=GROUP)
    assert ends is not None and ends - time.time() == pytest.approx(77.5, abs=1)
    assert value(registry, "gcks_store_commits_total") == 8
    assert value(registry, "gcks_send_errors_total") == 9
    registry = member().registry
    assert value(registry, "gcks_member_registered", group=GROUP) == 1
    assert value(registry, "gcks_member_sender_ids", group=GROUP) == 2
    assert value(registry, "gcks_member_ike_sas") == 1


def test_members_that_come_back_are_counted_by_cause() -> None:
    metrics = server()
    hint = "it comes back after a rekey"
    for again, why in ((False, ""), (True, ""), (True, hint), (True, hint)):
        metrics.count([sample(e.MemberRegistered, group=GROUP, again=again, hint=why)])
    name = "gcks_reregistrations_total"
    assert value(metrics.registry, name, group=GROUP, cause="unchanged") == 1
    assert value(metrics.registry, name, group=GROUP, cause="after_rekey") == 2


@pytest.mark.parametrize("why", e.RegisterAgain)
def test_a_member_counts_why_it_registers_again(why: e.RegisterAgain) -> None:
    metrics = member()
    metrics.count([sample(e.Reregistering, group=GROUP, reason=why)])
    name = "gcks_member_reregistrations_total"
    assert value(metrics.registry, name, group=GROUP, cause=why.value) == 1


def test_without_sas_there_is_no_end_of_one() -> None:
    bare = replace(MEMBER_STATUS.groups[0], data_sas=())
    metrics = MemberMetrics(lambda: replace(MEMBER_STATUS, groups=(bare,)))
    name = "gcks_member_sa_expiry_timestamp_seconds"
    assert value(metrics.registry, name, group=GROUP) is None
    ends = value(member().registry, name, group=GROUP)
    assert ends is not None and ends > time.time()


def test_two_servers_in_one_process_do_not_share_counters() -> None:
    first, second = server(), server()
    first.count([sample(e.CookieRequired)])
    assert value(second.registry, "gcks_cookies_required_total") == 0


# --- over HTTP --------------------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


async def start() -> tuple[asyncio.Server, int]:
    listening = await serve_metrics(Endpoint("127.0.0.1", 0), server().registry)
    return listening, listening.sockets[0].getsockname()[1]


async def test_prometheus_gets_its_page() -> None:
    listening, port = await start()
    answer = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b'gcks_members{group="keyid:demo"} 5.0' in body
    headers, _, nothing = (await ask(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")).partition(
        b"\r\n\r\n"
    )
    assert headers.startswith(b"HTTP/1.0 200 OK") and b"Content-Length: " in headers
    assert nothing == b""
    listening.close()


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.1\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n", b"\r\n\r\n"]
)
async def test_other_requests_find_nothing(request_: bytes) -> None:
    listening, port = await start()
    assert (await ask(port, request_)).startswith(b"HTTP/1.0 404")
    listening.close()


async def test_a_request_without_end_is_cut_off() -> None:
    listening, port = await start()
    with contextlib.suppress(ConnectionError):
        assert await ask(port, b"GET /" + b"a" * 100_000) == b""
    assert (await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.0 200")
    listening.close()


async def test_an_occupied_port_is_one_clear_error(port: int) -> None:
    """The fixture holds the port."""
    with pytest.raises(LocalError, match=f"can't serve metrics on TCP 127.0.0.1:{port}: .* in use"):
        await serve_metrics(Endpoint("127.0.0.1", port), server().registry)
