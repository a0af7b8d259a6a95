"""How late the event loop was, so that a percentile of it is one of the time."""

from __future__ import annotations

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from gcks.daemon.health import BEAT_SECONDS, LoopLag


@pytest.mark.parametrize(
    ("late_seconds", "beats", "within"),
    [(0.0, 1, {0.1: 1}), (0.06, 1, {0.05: 0, 0.1: 1}), (1.01, 11, {0.1: 1, 0.5: 5, 1.0: 10})],
)
def test_every_beat_that_a_hanging_loop_missed_counts(
    late_seconds: float, beats: int, within: dict[float, int]
) -> None:
    registry = CollectorRegistry()

    def observed(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"x_loop_lag_seconds_{name}", labels)

    async def hang() -> None:
        lag = LoopLag("x_", registry)
        due = time.monotonic() - late_seconds
        lag._beat(due)
        assert isinstance(lag._timer, asyncio.TimerHandle)
        assert lag._timer.when() == pytest.approx(due + beats * BEAT_SECONDS, abs=0.04)
        lag.stop()

    asyncio.run(hang())
    assert observed("count") == beats
    assert {bound: observed("bucket", le=str(bound)) for bound in within} == within
