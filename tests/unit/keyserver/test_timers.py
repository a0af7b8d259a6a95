"""One heap with lazy deletion for the deadlines of all IKE SAs."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from random import Random

from gcks.keyserver.timers import Timers


@dataclass
class Stub:
    own_spi: bytes
    due: float
    timer_at: float = inf


def test_without_entries_there_is_nothing_to_wait_for() -> None:
    assert Timers().next == inf
    assert Timers().pop_over(1e9) == []


def test_the_earliest_deadline_comes_next() -> None:
    timers = Timers()
    for due in (30.0, 10.0, 20.0):
        timers.set(Stub(str(due).encode(), due))
    assert timers.next == 10.0
    assert [at for at, _ in timers.pop_over(20.0)] == [10.0, 20.0]
    assert timers.next == 30.0


def test_a_later_deadline_needs_no_entry_and_an_earlier_one_does() -> None:
    timers, sa = Timers(), Stub(b"sa", 10.0)
    timers.set(sa)
    sa.due = 50.0
    timers.set(sa)
    assert (len(timers), sa.timer_at) == (1, 10.0)
    sa.due = 5.0
    timers.set(sa)
    assert (len(timers), sa.timer_at) == (2, 5.0)


def test_it_is_never_late_whatever_happens() -> None:
    """Random deadlines, moved back and forth: an entry exists at or before each of them."""
    random, timers = Random(7), Timers()
    stubs = [Stub(bytes((n,)), random.uniform(0, 100)) for n in range(50)]
    for _ in range(2000):
        sa = random.choice(stubs)
        sa.due = random.uniform(0, 100)
        timers.set(sa)
        assert timers.next <= min(s.due for s in stubs if s.timer_at < inf)
