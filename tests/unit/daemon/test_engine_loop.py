"""The loop around an engine: what is decided is carried out; an engine that breaks ends it all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gcks.change import Change
from gcks.daemon.engine_loop import TICK_SECONDS, EngineLoop
from gcks.datagrams import Endpoint, Path
from gcks.errors import LocalError
from gcks.events import Event, LeftGroup

HERE = Path(Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2))
LEFT = LeftGroup("keyid:a", "told to")
BROKEN = [RuntimeError("with a secret"), LocalError("internal error: half done")]


@dataclass
class SmallEngine:
    """Decides what the test says, or raises it."""

    next: Change | Exception = field(default_factory=Change)
    asked_at: list[float] = field(default_factory=list)

    def _decide(self, now: float) -> Change:
        self.asked_at.append(now)
        if isinstance(self.next, Exception):
            raise self.next
        return self.next

    def receive(self, datagram: bytes, path: Path, now: float) -> Change:
        return self._decide(now)

    def handle_timeout(self, now: float) -> Change:
        return self._decide(now)

    def command(self, now: float) -> Change:
        return self._decide(now)


class Watched:
    """A loop around a small engine, with all that came out of it."""

    def __init__(self) -> None:
        self.engine = SmallEngine()
        self.carried: list[Change] = []
        self.told: list[Event] = []
        self.failed: list[LocalError] = []
        self.loop: EngineLoop[Change] = EngineLoop(self.engine, self._carry, self.failed.append)

    def _carry(self, change: Change) -> None:
        self.carried.append(change)
        self.told += change.events

    def wake_after(self, seconds: float) -> float:
        """Have the engine ask for a wake-up; return when."""
        at = time.monotonic() + seconds
        self.engine.next = Change(next_timeout=at)
        self.loop.decide(self.engine.command)
        return at


@pytest.fixture
async def watched() -> Watched:
    return Watched()


Ask = Callable[[Watched], object]


def receive(watched: Watched) -> None:
    watched.loop.receive(b"", HERE)


def order(watched: Watched) -> None:
    with pytest.raises(LocalError, match="internal error"):
        watched.loop.decide(watched.engine.command)


# --- deciding ---------------------------------------------------------------------------


async def test_what_is_decided_is_carried_out_and_told(watched: Watched) -> None:
    watched.engine.next = Change(events=[LEFT])
    watched.loop.receive(b"", HERE)
    watched.loop.decide(watched.engine.command)
    assert watched.carried == [watched.engine.next] * 2
    assert watched.told == [LEFT] * 2


async def test_an_order_that_cant_be_carried_out_is_an_answer_and_no_end(watched: Watched) -> None:
    """What was decided before the refusal is carried out."""
    refusal = LocalError("there is no such group")
    watched.engine.next = Change(refusal=refusal)
    assert watched.loop.decide(watched.engine.command).refusal is refusal
    assert watched.carried == [watched.engine.next] and not watched.failed


@pytest.mark.parametrize("error", BROKEN)
@pytest.mark.parametrize("ask", [receive, order])
async def test_an_engine_that_breaks_down_is_asked_nothing_more(
    watched: Watched, ask: Ask, error: Exception
) -> None:
    watched.wake_after(2 * TICK_SECONDS)
    watched.engine.next, carried = error, list(watched.carried)
    ask(watched)
    assert len(watched.failed) == 1
    assert "internal error" in str(watched.failed[0]) and "secret" not in str(watched.failed[0])
    watched.engine.next, asked = Change(events=[LEFT]), len(watched.engine.asked_at)
    receive(watched)
    order(watched)
    await asyncio.sleep(4 * TICK_SECONDS)
    assert len(watched.engine.asked_at) == asked
    assert watched.carried == carried and not watched.told and len(watched.failed) == 1


@pytest.mark.parametrize("error", BROKEN)
async def test_a_timeout_that_fails_is_a_breakdown_whatever_it_raises(
    watched: Watched, error: Exception
) -> None:
    """A daemon that looks alive and never rekeys would be worse."""
    watched.wake_after(0.0)
    watched.engine.next = error
    await asyncio.sleep(4 * TICK_SECONDS)
    assert len(watched.failed) == 1 and "internal error" in str(watched.failed[0])
    order(watched)


async def test_a_stopped_loop_asks_nothing(watched: Watched) -> None:
    watched.wake_after(TICK_SECONDS)
    watched.loop.stop("it is over")
    asked = len(watched.engine.asked_at)
    receive(watched)
    with pytest.raises(LocalError, match="it is over"):
        watched.loop.decide(watched.engine.command)
    await asyncio.sleep(4 * TICK_SECONDS)
    assert len(watched.engine.asked_at) == asked and not watched.failed


# --- time -------------------------------------------------------------------------------


async def test_the_engine_is_asked_when_it_wants_and_not_before(watched: Watched) -> None:
    at = watched.wake_after(2.5 * TICK_SECONDS)
    watched.engine.next = Change()
    await asyncio.sleep(6 * TICK_SECONDS)
    assert len(watched.engine.asked_at) == 2
    assert watched.engine.asked_at[1] >= at - 0.002  # the event loop's clock has milliseconds


async def test_timeouts_of_one_tick_are_one_wake_up(watched: Watched) -> None:
    tick = (time.monotonic() // TICK_SECONDS + 3) * TICK_SECONDS
    wanted = set()
    for part in (0.2, 0.5, 0.9):
        watched.engine.next = Change(next_timeout=tick + part * TICK_SECONDS)
        watched.loop.decide(watched.engine.command)
        wanted.add(watched.loop.next_timeout)
    assert len(wanted) == 1
    watched.engine.next = Change()
    await asyncio.sleep(6 * TICK_SECONDS)
    assert len(watched.engine.asked_at) == 4


async def test_a_decision_that_cannot_be_carried_out_is_a_breakdown(watched: Watched) -> None:
    """The engine has changed, and the store perhaps not: it must not go on."""

    def break_down(_: Change) -> None:
        raise RuntimeError("a mistake of ours")

    engine = watched.engine
    loop: EngineLoop[Change] = EngineLoop(engine, break_down, watched.failed.append)
    engine.next = Change(next_timeout=time.monotonic())
    loop.receive(b"", HERE)
    assert len(watched.failed) == 1 and "internal error" in str(watched.failed[0])
    await asyncio.sleep(4 * TICK_SECONDS)
    loop.receive(b"", HERE)
    assert len(engine.asked_at) == 1, "it is asked nothing more"
