"""What registrations cost, and how many half-open IKE SAs that leaves room for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from gcks.errors import Discard, DropReason
from gcks.group.spread import DEFAULT_COST_SECONDS
from gcks.keyserver.load import (
    BACKLOG_SECONDS,
    LEAST_BACKLOG,
    PROMPT_SECONDS,
    WHOLE_PER_AUTH,
    Load,
    unmetered,
)
from tests.support.world import SERVER_SETTINGS

MANY = 400
"""Registrations after which the first ones don't count any more."""


@dataclass
class Half:
    spent_seconds: float = 0.0


class Bench:
    """A load, and a meter that the test moves."""

    def __init__(self) -> None:
        self.at = 100.0
        self.load = Load(lambda: self.at)

    def work(self, seconds: float, *, done: bool = True) -> Callable[[], bool]:
        def work() -> bool:
            self.at += seconds
            return done

        return work

    def register(self, seconds: float, *, waited: float = 0.0, times: int = 1) -> None:
        """Do registrations that cost so much in all."""
        for _ in range(times):
            work = self.work(seconds / WHOLE_PER_AUTH)
            self.load.measure(Half(), work, waited)  # type: ignore[arg-type]

    @property
    def limit(self) -> int:
        return self.load.backlog_limit(SERVER_SETTINGS)


def test_a_default_counts_until_something_is_measured() -> None:
    bench = Bench()
    assert bench.load.cost_seconds == DEFAULT_COST_SECONDS == 0.003
    assert bench.limit == int(BACKLOG_SECONDS / 0.003)


def test_the_mean_follows_what_registrations_cost() -> None:
    bench = Bench()
    for cost in (0.03, 0.0006):
        bench.register(cost, times=MANY)
        assert bench.load.cost_seconds == pytest.approx(cost, rel=0.01)
    bench.register(10.0)
    assert bench.load.cost_seconds < 0.0008, "a hiccup is one of many"


def test_a_meter_that_stands_still_measures_nothing() -> None:
    load = Load(unmetered)
    for _ in range(MANY):
        load.measure(Half(), lambda: True, 0.0)  # type: ignore[arg-type]
    assert load.cost_seconds == DEFAULT_COST_SECONDS


def test_fragments_count_together_and_once() -> None:
    bench, other = Bench(), Bench()
    half = Half()
    for _ in range(3):
        bench.load.measure(half, bench.work(0.5, done=False), 0.0)  # type: ignore[arg-type]
    assert bench.load.cost_seconds == DEFAULT_COST_SECONDS
    bench.load.measure(half, bench.work(0.5), 0.0)  # type: ignore[arg-type]
    other.register(2.0 * WHOLE_PER_AUTH)
    assert bench.load.cost_seconds > DEFAULT_COST_SECONDS
    assert bench.load.cost_seconds == pytest.approx(other.load.cost_seconds)


def test_garbage_counts_nothing() -> None:
    """Anybody can send it to a half-open IKE SA: it makes the server neither slow nor fast."""
    bench, half = Bench(), Half()

    def garbage() -> bool:
        bench.at += 1.0
        raise Discard(DropReason.BAD_INTEGRITY)

    for _ in range(MANY):
        with pytest.raises(Discard):
            bench.load.measure(half, garbage, 0.0)  # type: ignore[arg-type]
    assert (bench.load.cost_seconds, half.spent_seconds) == (DEFAULT_COST_SECONDS, 0.0)


@pytest.mark.parametrize(
    ("cost_seconds", "max_half_open", "limit", "for_senders"),
    [
        (0.0001, 20_000, 16_000, 20_000),
        (0.001, 20_000, 5_000, 6_250),
        (0.025, 20_000, 200, 250),
        (1.0, 20_000, LEAST_BACKLOG, 125),
        (0.025, 100, 80, 100),
        (0.025, 4, 4, 5),
    ],
)
def test_as_many_begin_as_can_be_served_in_time(
    cost_seconds: float, max_half_open: int, limit: int, for_senders: int
) -> None:
    bench = Bench()
    bench.register(cost_seconds, times=3 * MANY)
    settings = replace(SERVER_SETTINGS, max_half_open=max_half_open)
    assert bench.load.backlog_limit(settings) == pytest.approx(limit, rel=0.01)
    assert bench.load.senders_limit(settings) == pytest.approx(for_senders, rel=0.01)


def test_peers_that_only_begin_are_no_backlog() -> None:
    """Else a few addresses could keep everybody out of a slow server for ever."""
    bench = Bench()
    bench.register(0.1, times=MANY)
    assert bench.limit == LEAST_BACKLOG
    for _ in range(2 * LEAST_BACKLOG):
        bench.load.abandoned()
    assert bench.limit == 16_000
    assert bench.load.cost_seconds == pytest.approx(0.1, rel=0.01)
    bench.register(0.1, times=MANY)
    assert bench.limit == LEAST_BACKLOG


def test_a_server_that_is_late_itself_lets_no_more_in() -> None:
    """Those whose time is over while it works for others have not stayed away."""
    bench = Bench()
    bench.register(0.1, waited=2 * PROMPT_SECONDS, times=MANY)
    for _ in range(2 * LEAST_BACKLOG):
        bench.load.abandoned()
    assert bench.limit == LEAST_BACKLOG
    for _ in range(20 * LEAST_BACKLOG):
        bench.load.abandoned()
    assert bench.limit == 16_000, "by now nobody else comes"
