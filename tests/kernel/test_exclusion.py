"""Members are shut out of encrypted multicast in a real kernel, and the others read on."""

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
GROUP, ESP = "239.1.2.4", "50"
STAYS, ALSO_STAYS, SECOND_OUT, LOSER, FIRST_OUT = "gm1", "gm2", "gm3", "gm4", "gm5"
ANNOUNCED_SECONDS = 0.5 + 1.0 + 2.0 + 1.5
"""Window, spread and ATD, and what a slow guest takes beyond."""


@pytest.fixture(scope="module")
def report() -> Iterator[dict[str, Any]]:
    result = run_guest(Path(__file__).with_name("guest_exclusion.py"), TIMEOUT_SECONDS)
    assert result.code == 0, result.output
    yield json.loads((result.directory / "report.json").read_text())
    shutil.rmtree(result.directory)


def test_those_who_stay_lose_no_packet(report: dict[str, Any]) -> None:
    """RFC 9838 section 3.2.1: make before break, also where members are excluded."""
    sent = report["hosts"][STAYS]["sent"]
    different, received = report["hosts"][ALSO_STAYS]["received"][f"{GROUP} {STAYS}"]
    assert different == received == sent
    different, received = report["hosts"][STAYS]["received"][f"{GROUP} {ALSO_STAYS}"]
    assert different == received == sent


@pytest.mark.parametrize(("member", "when"), [(FIRST_OUT, "first"), (SECOND_OUT, "second")])
def test_the_excluded_stop_reading_within_the_announced_time(
    report: dict[str, Any], member: str, when: str
) -> None:
    last = report["hosts"][member]["last"][f"{GROUP} {STAYS}"]
    at = report["times"][when]
    assert at * report["rate"] <= last <= (at + ANNOUNCED_SECONDS) * report["rate"]
    assert report["events"][member]["registration_failed"] >= 1, "it may not come back"


def test_a_member_that_missed_the_rekey_recovers_by_itself(report: dict[str, Any]) -> None:
    """Section 2.4.1.3: GSA_NEXT_SPI tells of the lost rekey; it registers again."""
    assert report["events"][LOSER]["registered"] >= 2
    last = report["hosts"][LOSER]["last"][f"{GROUP} {STAYS}"]
    assert last == report["hosts"][STAYS]["sent"] - 1


@pytest.mark.parametrize("member", [STAYS, ALSO_STAYS])
def test_those_who_stay_never_register_again(report: dict[str, Any], member: str) -> None:
    assert report["events"][member]["registered"] == 1
    assert report["events"][member]["reregistering"] == 0


def test_nothing_is_ever_in_clear(report: dict[str, Any]) -> None:
    """What the excluded send goes nowhere: not in clear either."""
    assert report["eve"]["clear"] == report["eve"]["read"] == 0
    assert set(report["eve"]["seen"][GROUP]) == {ESP}
