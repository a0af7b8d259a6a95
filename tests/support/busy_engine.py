"""A key server whose one thread takes its time, in virtual time: what it can't do yet waits.

Datagrams wait in a buffer as long as the socket's, which loses what is beyond.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from math import inf

from gcks.change import Change
from gcks.datagrams import Path
from gcks.events import IkeSaInitAnswered, MemberRegistered
from gcks.keyserver.commands import Command
from gcks.keyserver.engine import Engine
from gcks.keyserver.load import WHOLE_PER_AUTH

BUFFER_DATAGRAMS = 3_000
"""Of some 1,400 octets with what the kernel adds: 4 MB."""
INIT_SECONDS = 0.0005
"""An IKE_SA_INIT that is let in: a key pair."""
OTHER_SECONDS = 0.0001
"""Any other datagram: a cookie, a refusal, the response to our Delete."""


def ticking(cost_seconds: float) -> Callable[[], float]:
    """Return a meter by which each registration costs the server that much."""
    return count(0.0, cost_seconds / WHOLE_PER_AUTH).__next__


class BusyEngine:
    """Looks to the network like an engine, and does one thing after the other."""

    def __init__(self, engine: Engine, cost_seconds: float, buffer: int = BUFFER_DATAGRAMS) -> None:
        self.engine, self._buffer = engine, buffer
        self._spent = {
            IkeSaInitAnswered: INIT_SECONDS,
            MemberRegistered: cost_seconds - INIT_SECONDS,
        }
        self.lost = 0
        """Datagrams for which the buffer had no room."""
        self.busy_seconds = 0.0
        self._waiting: deque[tuple[bytes, Path]] = deque()
        self._free_at = 0.0

    def start(self, now: float) -> Change:
        return self._timed(self.engine.start(now), now)

    def command(self, command: Command, now: float) -> Change:
        return self._timed(self.engine.command(command, now), now)

    def receive(self, datagram: bytes, path: Path, now: float) -> Change:
        if len(self._waiting) < self._buffer:
            self._waiting.append((datagram, path))
        else:
            self.lost += 1
        return self._timed(Change(), now)

    def handle_timeout(self, now: float) -> Change:
        if now < self._free_at:
            return self._timed(Change(), now)
        if self._engine_due <= now:
            return self._timed(self.engine.handle_timeout(now), now)
        if not self._waiting:
            return self._timed(Change(), now)
        outcome = self.engine.receive(*self._waiting.popleft(), now)
        spent = OTHER_SECONDS + sum(self._spent.get(type(one), 0.0) for one in outcome.events)
        self.busy_seconds += spent
        self._free_at = now + spent
        return self._timed(outcome, now)

    @property
    def _engine_due(self) -> float:
        due = self.engine.next_timeout
        return inf if due is None else due

    def _timed(self, outcome: Change, now: float) -> Change:
        due = now if self._waiting else self._engine_due
        return replace(outcome, next_timeout=None if due == inf else max(due, self._free_at))
