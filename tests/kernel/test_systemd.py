"""The Debian package, with the shipped configurations, under a real systemd in a guest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.uml import requires_kernel, run_guest

pytestmark = [
    pytest.mark.kernel,
    requires_kernel,
    pytest.mark.skipif(
        not Path("/lib/systemd/systemd").exists() or shutil.which("openssl") is None,
        reason="systemd or openssl is not installed",
    ),
]

TIMEOUT_SECONDS = 600
NET_BIND_SERVICE, NET_ADMIN = 1 << 10, 1 << 12


@pytest.fixture(scope="module")
def report(packaged: Path) -> Iterator[dict[str, Any]]:
    script = Path(__file__).with_name("guest_systemd.py")
    result = run_guest(script, TIMEOUT_SECONDS, str(packaged), systemd=True)
    assert result.code == 0, result.output + (result.directory / "journal").read_text()[-8000:]
    yield json.loads((result.directory / "report.json").read_text())
    shutil.rmtree(result.directory)


@pytest.mark.parametrize(
    ("name", "capabilities"),
    [("server", NET_BIND_SERVICE), ("member", NET_BIND_SERVICE | NET_ADMIN), ("activated", 0)],
)
def test_a_daemon_serves_with_the_least_privileges(
    report: dict[str, Any], name: str, capabilities: int
) -> None:
    process = report[name]
    assert process["ActiveState"] == "active" and process["SubState"] == "running"
    assert int(process["CapEff"], 16) == capabilities
    assert (process["NoNewPrivs"], process["Seccomp"]) == ("1", "2")
    assert all(int(uid) >= 61184 for uid in process["Uid"].split()), "a dynamic user"
    assert process["memory's owner"] == "0", "who can't look into it (PR_SET_DUMPABLE)"


def test_status_tells_what_is_served(report: dict[str, Any]) -> None:
    assert report["server"]["StatusText"] == "serving 1 group"
    assert report["member"]["StatusText"] == "fqdn:gm1.example"


def test_the_member_reaches_the_kernel_out_of_its_sandbox(report: dict[str, Any]) -> None:
    """And what many senders share is only received: Linux knows no Sender-IDs (RFC 6054)."""
    policies = report["xfrm"].replace("\n\t", " ").splitlines()
    shared = [line for line in policies if "239.1.2.3/32" in line]
    assert any("dir in" in line and "action block" not in line for line in shared)
    assert all("action block" in line for line in shared if "dir out" in line)


def test_the_journal_has_fields(report: dict[str, Any]) -> None:
    (entry,) = report["journal"]
    assert entry["GCKS_IDENTITY"] == "fqdn:gm1.example"
    assert entry["GCKS_GROUP"] == "keyid:video"
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == ("6", "gcks")
    assert entry["_TRANSPORT"] == "journal"


def test_the_documented_commands_find_a_failed_registration(report: dict[str, Any]) -> None:
    assert len(report["documented"]) == 2
    for command, output in report["documented"].items():
        assert output.count("the pre-shared keys differ") >= 1, command
        assert "compare both PSKs" in output, command


def test_the_daily_commands_answer(report: dict[str, Any]) -> None:
    """docs/operating.md, on what its own commands have installed."""
    said = report["daily"]
    assert "keyid:video" in said["gcks show groups"]
    assert "fqdn:gm1.example" in said["gcks show members"]
    assert "member_registered" in said["gcks events -n 20"]
    assert "nothing changes" in said["gcks plan"]
    assert "registered" in said["gcks-member status"]
    assert "new keys" in said["gcks rekey keyid:video"]


def test_a_reload_is_told_to_who_asked_for_it(report: dict[str, Any]) -> None:
    assert report["reloaded"] == 7
    assert report["refused"] != 0
    assert report["after_refusal"]["ActiveState"] == "active"
    assert report["after_refusal"]["StatusText"] == "running; the last reload was refused"
    (refusal,) = report["refusals"]
    assert refusal["PRIORITY"] == "3"
    assert "/etc/gcks/gcks.yaml:" in refusal["GCKS_CAUSE"]
    assert "groups[0].atd" in refusal["GCKS_CAUSE"]


def test_killed_and_hung_it_comes_back_with_the_same_group(report: dict[str, Any]) -> None:
    assert "status=9/KILL" in report["messages"]
    assert "Watchdog timeout" in report["messages"]
    assert report["members_after"] == report["registered"] == 1
    before, after = report["rekey_sas"]
    assert before != after, "and the member followed: its rekey_received was waited for"


def test_they_stop_cleanly(report: dict[str, Any]) -> None:
    for unit in report["stopped"]:
        assert (unit["ActiveState"], unit["Result"]) == ("inactive", "success")


def test_the_socket_starts_the_server_and_outlives_it(report: dict[str, Any]) -> None:
    assert report["waiting"] == "inactive", "the first datagram started it"
    assert report["failed"] == 0, "a registration during a restart waited, and was answered"


def test_a_unix_group_may_look_and_nobody_else(report: dict[str, Any]) -> None:
    """With the socket's drop-in: a user namespace of its own would hide all groups."""
    access = report["access"]
    assert access["looker show"].startswith("group")
    assert "may read, not order" in access["looker rekey"]
    assert "may not use this socket" in access["stranger show"]
    assert "may not use this socket" in access["stranger rekey"]


def test_the_package_starts_nothing_restarts_what_runs_and_stops_it(report: dict[str, Any]) -> None:
    assert report["fresh"] == "inactive"
    for before, after in report["updated"]:
        assert before != after and "0" not in (before, after)
    assert report["removed"] == ["inactive"] * 3
    assert report["left"] == ["/etc/gcks/gcks.yaml"]
