"""Encrypted multicast in a real kernel: one key server, three members, and a stranger."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.uml import requires_kernel, run_guest

pytestmark = [pytest.mark.kernel, requires_kernel]

TIMEOUT_SECONDS = 240
MEMBERS = ("gm1", "gm2", "gm3")
ESP, AH = "50", "51"
EACH, SHARED, TRANSPORT, AUTHENTICATED = "239.1.2.3", "239.1.2.4", "239.1.2.5", "239.1.2.6"
SIX = "ff15::5"
GROUPS = {
    "gcm_sa_per_sender": EACH,
    "shared_cbc_sa": SHARED,
    "transport_mode": TRANSPORT,
    "ah": AUTHENTICATED,
    "ipv6": SIX,
}
SERVED = 4
RECEIVES_ONLY = ("gm3", SIX)


@pytest.fixture(scope="module")
def report() -> Iterator[dict[str, Any]]:
    result = run_guest(Path(__file__).with_name("guest_multicast.py"), TIMEOUT_SECONDS)
    assert result.code == 0, result.output
    yield json.loads((result.directory / "report.json").read_text())
    shutil.rmtree(result.directory)


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("receiver", MEMBERS)
def test_not_one_packet_is_lost_through_rekeys_and_a_killed_server(
    report: dict[str, Any], receiver: str, group: str
) -> None:
    """RFC 9838 section 4.4.3.1.1, RFC 5374 section 4.2.1: make before break."""
    host = report["hosts"][receiver]
    for sender in MEMBERS:
        if sender != receiver and (sender, group) != RECEIVES_ONLY:
            different, received = host["received"][f"{group} {sender}"]
            assert different == received == report["hosts"][sender]["sent"]


@pytest.mark.parametrize("member", MEMBERS)
def test_nothing_is_held_back_but_what_a_receiver_sends(
    report: dict[str, Any], member: str
) -> None:
    """RFC 9838 section 2.3.3: a GM that is not a sender installs SAs inbound only."""
    host = report["hosts"][member]
    refused = [(member, group) for group, _ in host["blocked"]]
    assert refused == [RECEIVES_ONLY] * (host["sent"] if member == RECEIVES_ONLY[0] else 0)


@pytest.mark.parametrize("member", MEMBERS)
def test_rekeys_came_under_traffic_before_and_after_the_kill(
    report: dict[str, Any], member: str
) -> None:
    events, before = report["events"][member], report["rekeys_before_kill"][member]
    assert before >= 2 * SERVED
    assert events["rekey_received"] >= before + SERVED
    assert events["registered"] == SERVED
    assert events["reregistering"] == events["data_plane_failed"] == events["policy_refused"] == 0


def test_the_killed_server_goes_on_with_the_same_groups(report: dict[str, Any]) -> None:
    assert report["restored"] == [False] * SERVED + [True] * SERVED


def test_the_stranger_sees_only_esp_and_reads_nothing(report: dict[str, Any]) -> None:
    eve = report["eve"]
    for group in GROUPS.values():
        senders = [member for member in MEMBERS if (member, group) != RECEIVES_ONLY]
        sent = sum(report["hosts"][member]["sent"] for member in senders)
        assert eve["seen"][group] == {AH if group == AUTHENTICATED else ESP: sent}
    assert eve["read"] == 0
    assert eve["clear"] == 0
