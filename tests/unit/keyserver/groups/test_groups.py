"""Groups begun, restored, reloaded as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from gcks.change import Change
from gcks.events import GroupEnded, GroupStarted, RekeySent
from gcks.journal import GroupRemoved, JournalEntry
from gcks.keyserver.commands import RekeyGroup, Reload
from gcks.keyserver.engine import Engine
from gcks.keyserver.groups.policy import GroupPolicy
from tests.support.world import PSK, SERVER_SETTINGS, group_policy

ONE, TWO = group_policy("one", number=1), group_policy("two", number=2)


def named(*policies: GroupPolicy) -> dict[str, GroupPolicy]:
    return {policy.name: policy for policy in policies}


def engine_with(*policies: GroupPolicy, stored: Sequence[JournalEntry] = ()) -> Engine:
    return Engine(
        SERVER_SETTINGS,
        PSK,
        named(*policies),
        stored,
        entropy=os.urandom,
        wall=lambda: 1_800_000_000.0,
        now=0.0,
    )


def removed(outcome: Change) -> list[str]:
    return [entry.group for entry in outcome.journal if isinstance(entry, GroupRemoved)]


def started(outcome: Change) -> list[tuple[str, bool]]:
    return [(e.group, e.restored) for e in outcome.events if isinstance(e, GroupStarted)]


def test_start_makes_the_configured_groups() -> None:
    engine = engine_with(ONE, TWO)
    outcome = engine.start(0.0)
    assert started(outcome) == [("keyid:one", False), ("keyid:two", False)]
    assert outcome.next_timeout == engine.next_timeout is not None


def test_start_goes_on_with_stored_groups_and_forgets_unwanted_ones() -> None:
    stored = engine_with(ONE, TWO).start(0.0).journal
    outcome = engine_with(ONE, stored=stored).start(0.0)
    assert started(outcome) == [("keyid:one", True)]
    assert removed(outcome) == ["keyid:two"]


def test_reload_adds_changes_and_removes() -> None:
    engine = engine_with(ONE, TWO)
    engine.start(0.0)
    spi = engine.groups["keyid:one"].sas.rekey.spi
    three = group_policy("three", number=3)
    outcome = engine.command(Reload(SERVER_SETTINGS, PSK, named(ONE, three)), 1.0)
    assert list(engine.groups) == ["keyid:one", "keyid:three"]
    assert "keyid:two" in removed(outcome)
    assert GroupEnded("keyid:two", members=0) in outcome.events
    assert engine.groups["keyid:one"].sas.rekey.spi == spi, "an unchanged group keeps its SAs"
    told = {event.group for event in outcome.events if isinstance(event, RekeySent)}
    assert told == {"keyid:two"}, "its members are told that it is gone"


def test_a_group_that_comes_back_is_a_new_one() -> None:
    engine = engine_with(ONE)
    engine.start(0.0)
    spi = engine.groups["keyid:one"].sas.rekey.spi
    engine.command(Reload(SERVER_SETTINGS, PSK, {}), 1.0)
    assert engine.next_timeout is None
    engine.command(Reload(SERVER_SETTINGS, PSK, named(ONE)), 2.0)
    assert engine.groups["keyid:one"].sas.rekey.spi != spi


def test_an_operator_rekeys_one_group() -> None:
    engine = engine_with(ONE, TWO)
    engine.start(0.0)
    outcome = engine.command(RekeyGroup("keyid:one"), 1.0)
    sent = [event.group for event in outcome.events if isinstance(event, RekeySent)]
    assert sent == ["keyid:one"]
    refused = engine.command(RekeyGroup("keyid:nobody"), 1.0)
    assert "keyid:nobody" in str(refused.refusal) and not refused.journal


def test_the_first_group_that_is_due_decides_the_timeout() -> None:
    engine = engine_with(ONE, TWO)
    engine.start(0.0)
    due = min(group.next_timeout for group in engine.groups.values())
    assert engine.next_timeout == due
    assert engine.handle_timeout(due - 1.0) == Change(next_timeout=due)
    outcome = engine.handle_timeout(due)
    assert {e.group for e in outcome.events if isinstance(e, RekeySent)} == set(engine.groups)


def test_status_shows_every_group() -> None:
    engine = engine_with(ONE, TWO)
    engine.start(0.0)
    status = engine.status(0.0)
    assert [group.group for group in status.groups] == ["keyid:one", "keyid:two"]
    assert (status.half_open, status.established) == (0, 0)
    assert status.groups[0].rekey_expires_in_seconds == pytest.approx(2000)
