"""What the server's engine decides is carried out: durable, then sent, then told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from gcks.change import Waiting
from gcks.daemon.commit import CommitPipeline, Fail
from gcks.daemon.engine_loop import LoopDecision
from gcks.daemon.key_log_file import KeyLogFile
from gcks.daemon.metrics import ServerMetrics
from gcks.daemon.server_sockets import ServerSockets
from gcks.daemon.waits import Resume, Waits
from gcks.datagrams import Transmit
from gcks.events import Event, Tell
from gcks.journal import JournalEntry
from gcks.store.interface import Store


class ServerDecision(LoopDecision, Protocol):
    """What has to be carried out in order."""

    @property
    def journal(self) -> Sequence[JournalEntry]: ...

    @property
    def transmits(self) -> Sequence[Transmit]: ...

    @property
    def events(self) -> Sequence[Event]: ...

    @property
    def waits(self) -> Sequence[Waiting]: ...


class Carrier:
    """Gives journals to the store; datagrams are left to the kernel while the disk is behind."""

    def __init__(
        self,
        store: Store,
        sockets: ServerSockets,
        metrics: ServerMetrics,
        *,
        resume: Resume,
        fail: Fail,
        key_log: KeyLogFile | None,
        tell: Tell,
    ) -> None:
        """`resume` is told what came of a wait, `fail` why nothing can be committed.

        `tell` hears of what has happened: nobody is told of what a full disk made undone.
        """
        self._store, self._sockets, self._metrics = store, sockets, metrics
        self._key_log, self._tell = key_log, tell
        self.pipeline = CommitPipeline(store, self._send, fail, metrics.commit_seconds.observe)
        self._waits = Waits(self._load, resume, tell)
        self._held_back = False

    def carry(self, decision: ServerDecision) -> None:
        """Begin; the loop goes on meanwhile."""
        if decision.journal or decision.transmits or decision.events or decision.waits:
            then = partial(self._follow, decision.events, decision.waits)
            self.pipeline.submit(decision.journal, decision.transmits, then)
            if self.pipeline.full and not self._held_back:
                self._held_back = True
                self._sockets.pause()
        if self._key_log is not None:
            self._key_log.journal(decision.journal)

    def _send(self, transmits: Sequence[Transmit]) -> None:
        for transmit in transmits:
            if self._sockets.send(transmit) and transmit.awaited is not None:
                self._metrics.sent(transmit.awaited, time.monotonic())
        if self._held_back and not self.pipeline.full:
            self._held_back = False
            self._sockets.resume()

    def _follow(self, events: Sequence[Event], waits: Sequence[Waiting]) -> None:
        if events:
            self._tell(events)
        self._waits.meet(waits)

    async def _load(self, group: str) -> Sequence[JournalEntry]:
        return await self.pipeline.read(self._store.load_group, group)

    def stop(self) -> None:
        """Take nothing more; what was taken can still be drained."""
        self._held_back = False
        self._sockets.pause()
        self._waits.close()

    def close(self) -> None:
        self.pipeline.close()
        self._store.close()
