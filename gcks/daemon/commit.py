"""Group commit: journals of many outcomes become durable in one transaction, then they leave.

Order is strictly first in, first out: nothing overtakes an outcome whose journal
is still being written.  The engine is never blocked by the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from gcks.datagrams import Transmit
from gcks.errors import LocalError, origin
from gcks.journal import JournalEntry
from gcks.store.interface import Store

MAX_WAITING: Final = 4096
"""Outcomes that wait for the disk; above it the sockets aren't read."""

Send = Callable[[Sequence[Transmit]], None]
Fail = Callable[[LocalError], object]
T = TypeVar("T")


@dataclass(slots=True)
class _Batch:
    """What is written by one transaction, and what leaves and begins then."""

    journal: list[JournalEntry] = field(default_factory=list)
    transmits: list[Transmit] = field(default_factory=list)
    then: list[Callable[[], object]] = field(default_factory=list)
    outcomes: int = 0


class CommitPipeline:
    """Feed it outcomes; it sends their transmits once their journal is durable."""

    def __init__(
        self, store: Store, send: Send, fail: Fail, observe: Callable[[float], object] | None = None
    ) -> None:
        """`observe` is told how many seconds each commit took."""
        self._store, self._send, self._fail = store, send, fail
        self._observe, self._began = observe, 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gcks-store")
        self._next = _Batch()
        self._waiting = 0
        self._writing = self._closed = False
        self._asked: set[asyncio.Future[None]] = set()
        self._failure: LocalError | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self.commits = 0

    @property
    def full(self) -> bool:
        return self._waiting >= MAX_WAITING

    def submit(
        self,
        journal: Sequence[JournalEntry],
        transmits: Sequence[Transmit],
        then: Callable[[], object] | None = None,
    ) -> None:
        """Queue one outcome; without a journal and with nothing waiting it leaves at once.

        `then` is called once all of this and of what came before is durable and sent.
        """
        if not journal and not self._waiting:
            self._send(transmits)
            if then is not None:
                then()
            return
        batch = self._next
        batch.journal.extend(journal)
        batch.transmits.extend(transmits)
        if then is not None:
            batch.then.append(then)
        batch.outcomes += 1
        self._waiting += 1
        if not self._writing:
            self._writing = True
            self._idle.clear()
            # After this turn of the loop: what else it reads joins the same commit.
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        batch, self._next = self._next, _Batch()
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        future = loop.run_in_executor(self._thread, self._commit, batch.journal)
        future.add_done_callback(partial(self._written, batch))

    def _commit(self, journal: Sequence[JournalEntry]) -> None:
        if journal:
            self._store.apply(journal)

    def _written(self, batch: _Batch, done: asyncio.Future[None]) -> None:
        if self._closed or self._failure is not None:
            return  # whoever had to know is gone
        error = done.exception()
        if error is not None:
            # Nothing of this or a later outcome may leave: the peer would see what is lost.
            self._break_down(error if isinstance(error, LocalError) else LocalError(repr(error)))
            return
        self.commits += 1
        if self._observe is not None:
            self._observe(asyncio.get_running_loop().time() - self._began)
        self._waiting -= batch.outcomes
        if self._waiting:
            self._write()
        else:
            self._writing = False
            self._idle.set()
        try:  # the disk works on the next batch meanwhile
            self._send(batch.transmits)
            for begin in batch.then:
                begin()
        except Exception as mistake:  # what was to follow is lost, and the engine waits for it
            self._break_down(LocalError(f"internal error: {origin(mistake)}"))

    def _break_down(self, cause: LocalError) -> None:
        self._failure = cause
        self._idle.set()
        for asked in list(self._asked):
            self._answer(asked)
        self._fail(cause)

    async def read(self, work: Callable[..., T], *arguments: object) -> T:
        """Return what the store's own thread reads, behind all that was given to it before."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def committed(self) -> None:
        """Wait until what was submitted before is durable and sent.

        Raises `LocalError` where it can't be.
        """
        if self._failure is not None:
            raise self._failure
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.add(asked)
        self.submit([], [], partial(self._answer, asked))
        await asked

    def _answer(self, asked: asyncio.Future[None]) -> None:
        self._asked.discard(asked)
        if asked.done():  # whoever has asked is gone
            return
        if self._failure is not None:
            asked.set_exception(self._failure)
        else:
            asked.set_result(None)

    async def drain(self) -> None:
        """Wait until all that was submitted is durable and sent, or a commit failed."""
        await self._idle.wait()

    def close(self) -> None:
        """Write what is being written; nothing leaves any more."""
        self._closed = True
        self._thread.shutdown(wait=True)
