"""Token buckets: as many as memory allows, and no more."""

from __future__ import annotations

import pytest

from gcks.keyserver.rates import BURST_SECONDS, MAX_BUCKETS, Rates


def taken(rates: Rates, peer: str, rate: float, now: float, tries: int) -> int:
    return sum(rates.take(peer, rate, now) for _ in range(tries))


def test_a_burst_and_then_the_rate() -> None:
    rates = Rates()
    assert taken(rates, "a", 5.0, 0.0, 1000) == 5.0 * BURST_SECONDS
    assert not rates.has("a", 5.0, 0.0)
    assert taken(rates, "a", 5.0, 1.0, 1000) == 5
    assert taken(rates, "a", 5.0, 3.0, 1000) == 10
    assert taken(rates, "a", 5.0, 1e6, 1000) == 5.0 * BURST_SECONDS


def test_peers_don_t_share() -> None:
    rates = Rates()
    taken(rates, "a", 1.0, 0.0, 100)
    assert taken(rates, "b", 1.0, 0.0, 100) == BURST_SECONDS


def test_zero_is_no_limit_and_keeps_nothing() -> None:
    rates = Rates()
    assert taken(rates, "a", 0.0, 0.0, 10_000) == 10_000
    assert len(rates) == 0


def test_a_small_rate_still_lets_one_through() -> None:
    rates = Rates()
    assert taken(rates, "a", 0.01, 0.0, 10) == 1
    assert taken(rates, "a", 0.01, 99.0, 10) == 0
    assert taken(rates, "a", 0.01, 101.0, 10) == 1


def test_who_has_not_asked_lately_is_forgotten() -> None:
    rates = Rates()
    for number in range(1000):
        rates.take(number, 1.0, 0.0)
    assert len(rates) == 1000
    for number in range(600):
        rates.take(f"late {number}", 1.0, BURST_SECONDS + 1)
    assert len(rates) == 600


@pytest.mark.parametrize("step", [0.0, 0.0001])
def test_memory_is_bounded_whoever_comes(step: float) -> None:
    rates = Rates()
    for number in range(2 * MAX_BUCKETS):
        rates.take(number, 1.0, number * step)
        assert len(rates) <= MAX_BUCKETS + 1
