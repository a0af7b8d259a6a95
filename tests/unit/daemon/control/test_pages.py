"""Long lists come page by page, and the event loop is never held for long.

Shows gcks/keyserver/listing.py, gcks/daemon/control/state.py and gcks/daemon/control/plan.py.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import generate_latest

from gcks.daemon.control import plan, state
from gcks.daemon.control.plan import in_slices
from gcks.daemon.control.requests import ShowRequest
from gcks.daemon.exposition import Exposition
from gcks.daemon.metrics import ServerMetrics
from gcks.keyserver import group_rows
from gcks.keyserver.commands import Exclude
from gcks.keyserver.groups.policy_change import PolicyChange
from tests.support.initiator import Server
from tests.support.world import group_policy


class Running:
    """What the views need of a running server, with groups of several shapes."""

    def __init__(self, exclusions: int = 0) -> None:
        shapes = [group_policy(f"g{at}", number=8 + at, data_sas=at % 3 + 1) for at in range(7)]
        shapes[2] = replace(shapes[2], rekey=None)
        shapes[4] = replace(shapes[4], excluded=("fqdn:x", "fqdn:y*"))
        self.exchange = Server(shapes)
        self.engine = self.exchange.engine
        if exclusions:
            names = tuple(f"fqdn:gm{at}.dev" for at in range(exclusions))
            self.engine.command(Exclude("keyid:g3", "identity", names, "root"), 1.0)

    def now(self) -> float:
        return 2.0


def pages(server: Any, what: str, limit: int) -> list[list[Any]]:
    found, start = [], 0
    while True:
        asked = ShowRequest.model_validate(
            {"do": "show", "what": what, "start": start, "limit": limit}
        )
        answer = state.show(server, asked).model_dump()
        found.append(answer[what])
        if answer["next"] is None:
            return found
        start = answer["next"]


@pytest.mark.parametrize("what", ["sas", "rekeys", "exclusions"])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 1000])
def test_pages_put_together_are_the_whole_list(what: str, limit: int) -> None:
    server = Running(exclusions=9)
    ((*whole,),) = pages(server, what, 1000)
    assert len(whole) == {"sas": 19, "rekeys": 6, "exclusions": 11}[what]
    found = pages(server, what, limit)
    assert [row for page in found for row in page] == whole
    assert {len(page) for page in found[:-1]} <= {limit} and len(found[-1]) <= limit


def test_a_page_is_no_longer_than_the_server_likes() -> None:
    found = pages(Running(exclusions=1_000), "exclusions", 1000)
    assert [len(page) for page in found] == [200] * 5 + [2]


def test_a_page_makes_its_own_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    server: Any = Running(exclusions=1_000)
    made: list[object] = []
    row = group_rows.exclusion_status
    monkeypatch.setattr(group_rows, "exclusion_status", lambda *of: made.append(of) or row(*of))
    asked = ShowRequest.model_validate(
        {"do": "show", "what": "exclusions", "start": 900, "limit": 10}
    )
    state.show(server, asked)
    assert 10 <= len(made) <= 11


def test_a_start_behind_the_end_is_an_empty_page() -> None:
    asked = ShowRequest.model_validate({"do": "show", "what": "sas", "start": 10_000})
    server: Any = Running()
    answer = state.show(server, asked).model_dump()
    assert (answer["sas"], answer["next"]) == ([], None)


# --- others are let in between ------------------------------------------------------------


async def turns_during(work: Any) -> int:
    """Return how often others came to run while something was done."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    await work
    other.cancel()
    return turns


async def test_a_plan_lets_others_in_between_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_SLICE_SECONDS", 0.0)
    changes = [PolicyChange(f"keyid:{at}", 0) for at in range(20)]
    assert await turns_during(in_slices(iter(changes))) >= 20
    assert await in_slices(iter(changes)) == tuple(changes)


async def test_a_scrape_lets_others_in_between_metrics() -> None:
    server = Running()
    metrics = ServerMetrics(lambda: server.engine.status(2.0), lambda: server.engine.group_names)
    exposition = Exposition(metrics.registry)
    assert await turns_during(exposition.render()) > 10
    page, whole = await exposition.render(), generate_latest(metrics.registry)
    names = [line for line in page.splitlines() if line.startswith(b"#")]
    assert names == [line for line in whole.splitlines() if line.startswith(b"#")]
    assert b'gcks_members{group="keyid:g6"} 0.0' in page
