"""The audit log on the event loop: on the disk within a second, checkpoints in the ordinary log."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gcks.daemon.audit import AuditLog
from gcks.errors import LocalError
from gcks.events import AuditCheckpoint, AuditFailed, Event, Tell

SYNC_SECONDS: Final = 1.0
CHECKPOINT_SECONDS: Final = 3600.0


class AuditTrail:
    """An `AuditLog` with its timers."""

    def __init__(self, path: Path, tell: Tell) -> None:
        """Raise `LocalError` where the file can't be opened."""
        self.path, self._tell = path, tell
        self._log = AuditLog(path, time.time)
        self._sync: asyncio.TimerHandle | None = None
        self._said = ""
        self._checkpoint()

    def write(self, events: Sequence[Event], now: float) -> None:
        before = self._log.number
        self._log.write(events, now)
        if self._log.failed != self._said:
            self._said = self._log.failed
            self._failed(self._said or "over")
        if self._log.number != before and self._sync is None:
            loop = asyncio.get_running_loop()
            self._sync = loop.call_later(SYNC_SECONDS, self._to_disk)

    def _to_disk(self) -> None:
        self._sync = None
        loop = asyncio.get_running_loop()
        waiting = loop.run_in_executor(None, _sync, self._log.duplicate())
        waiting.add_done_callback(lambda done: self._synced(done.exception()))

    def _synced(self, error: BaseException | None) -> None:
        if error is not None:
            self._failed(str(error))

    def _failed(self, cause: str) -> None:
        self._tell((AuditFailed(str(self.path), cause),))

    def _checkpoint(self) -> None:
        number, digest = self._log.checkpoint
        self._tell((AuditCheckpoint(str(self.path), number, digest),))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(CHECKPOINT_SECONDS, self._checkpoint)

    def reopen(self) -> None:
        """Go on in a new file after a rotation."""
        try:
            self._log.reopen()
        except LocalError as error:
            self._failed(str(error))

    def close(self) -> None:
        self._timer.cancel()
        if self._sync is not None:
            self._sync.cancel()
        self._log.finish()
        self._checkpoint()
        self._timer.cancel()
        try:
            _sync(self._log.duplicate())
        except OSError as error:
            self._synced(error)
        self._log.close()


def reopened(trail: AuditTrail | None, path: Path | None, tell: Tell) -> AuditTrail | None:
    """Go on in a new file: after a rotation, or where the configuration says so."""
    if trail is not None and path == trail.path:
        trail.reopen()
        return trail
    try:
        successor = AuditTrail(path, tell) if path is not None else None
    except LocalError as error:
        tell((AuditFailed(str(path), str(error)),))
        return trail  # what was recorded before goes on to be
    if trail is not None:
        trail.close()
    return successor


def _sync(descriptor: int) -> None:
    """Wait until the lines are on the disk."""
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
