"""The loop around an engine: datagrams and time in; what it decides is carried out.

An engine that breaks down is asked nothing more, and nothing of that decision leaves
or is written: what is in memory may differ from what is durable.  The daemon ends, and
the service manager starts it again from what is durable.  A daemon that looks alive and
rekeys nobody, or with SAs that its store doesn't know, would be worse.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import ceil
from typing import Final, Generic, Protocol, TypeVar

from gcks.datagrams import Path
from gcks.errors import LocalError, origin

TICK_SECONDS: Final = 0.02
"""Timeouts are rounded up to it: many IKE SAs that end together cost one wake-up."""


class LoopDecision(Protocol):
    """What the loop itself looks at; the rest is for whoever carries it out."""

    @property
    def next_timeout(self) -> float | None: ...


D = TypeVar("D", bound=LoopDecision)
D_co = TypeVar("D_co", bound=LoopDecision, covariant=True)


class DrivenEngine(Protocol[D_co]):
    """What both engines are asked by the loop itself."""

    def receive(self, datagram: bytes, path: Path, now: float) -> D_co: ...

    def handle_timeout(self, now: float) -> D_co: ...


class EngineLoop(Generic[D]):
    """Asks an engine, and has carried out what it says.

    `carry` does what must be in order: durable first, then sent, then told.  `fail` is
    told why the daemon has to end.
    """

    def __init__(
        self,
        engine: DrivenEngine[D],
        carry: Callable[[D], None],
        fail: Callable[[LocalError], None],
    ) -> None:
        self._engine, self._carry, self._fail = engine, carry, fail
        self._timer: asyncio.TimerHandle | None = None
        self.next_timeout: float | None = None
        """Monotonic seconds at which the engine is asked what is due; None: not at all."""
        self._ended = ""
        """Why the engine is asked nothing any more."""

    def receive(self, datagram: bytes, path: Path) -> None:
        if self._ended:
            return
        try:
            self._carry_out(self._engine.receive(datagram, path, time.monotonic()))
        except Exception as error:
            self.break_down(error)

    def decide(self, call: Callable[[float], D]) -> D:
        """Have the engine decide by `call(now)`, carry that out, and return it.

        An engine refuses with what it returns.  Raises `LocalError` where it breaks down,
        whatever it raises, or is asked no more.
        """
        if self._ended:
            raise LocalError(self._ended)
        try:
            decision = call(time.monotonic())
            self._carry_out(decision)
        except Exception as error:
            raise self.break_down(error) from error
        return decision

    def break_down(self, error: Exception) -> LocalError:
        """Ask the engine nothing more, and end the daemon; return why."""
        failure = error if isinstance(error, LocalError) else LocalError(_told(error))
        self.stop(str(failure))
        self._fail(failure)
        return failure

    def stop(self, cause: str = "the daemon is about to end") -> None:
        """Ask the engine nothing more."""
        self._ended = self._ended or cause
        self._wake_at(None)

    def _timeout(self) -> None:
        self._timer = self.next_timeout = None
        try:
            self._carry_out(self._engine.handle_timeout(time.monotonic()))
        except Exception as error:
            self.break_down(error)

    def _carry_out(self, decision: D) -> None:
        self._wake_at(decision.next_timeout)
        self._carry(decision)

    def _wake_at(self, at: float | None) -> None:
        if at is not None:
            at = ceil(at / TICK_SECONDS) * TICK_SECONDS
        if at == self.next_timeout:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.next_timeout = None, at
        if at is not None:
            delay = max(0.0, at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._timeout)


def _told(error: Exception) -> str:
    return f"internal error: {origin(error)}"
