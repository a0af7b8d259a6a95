"""Configurations that are read while the server runs: beside the event loop, one after the other.

Thousands of groups or secrets take seconds.  Meanwhile datagrams are answered; what was
read is taken over in one go, on the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from gcks.daemon.background import beside_the_loop
from gcks.daemon.config.loaded import ServerConfig
from gcks.daemon.internal_error import describe
from gcks.daemon.systemd import ServiceManager
from gcks.errors import LocalError

Loader = Callable[[Path | None], ServerConfig]
"""Reads the server's own configuration file, or another.  Raises `LocalError`."""
TakeOver = Callable[[ServerConfig], None]
"""Takes a configuration over, or raises `LocalError` and changes nothing."""
_REFUSED: Final = "running; the last reload was refused"


class Reloads:
    """Reloads in the order in which they were asked for; the service manager is told of each."""

    def __init__(
        self,
        load: Loader | None,
        take_over: TakeOver,
        manager: ServiceManager,
        refused: Callable[[str], object],
    ) -> None:
        """`refused` is told why a reload was; without `load` there is none."""
        self._load, self._take_over = load, take_over
        self._manager, self._refused = manager, refused
        self._one_reload, self._one_load = asyncio.Lock(), asyncio.Lock()
        self._wanted = self._begun = False
        self._task: asyncio.Task[None] | None = None

    @property
    def possible(self) -> bool:
        """Tell whether there is a file to read again."""
        return self._load is not None

    def begin(self) -> None:
        """The server is ready: do what a signal has asked for until now."""
        self._begun = True
        if self._wanted:
            self.signal()

    def signal(self) -> None:
        """Reload once more; signals that come before that has begun are one."""
        self._wanted = self._load is not None
        if self._begun and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._as_often_as_wanted())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _as_often_as_wanted(self) -> None:
        while self._wanted:
            self._wanted = False
            with suppress(Exception):  # which is in the log
                await self.now()

    async def now(self) -> None:
        """Take over the server's file.  Raises `LocalError`, and nothing has changed."""
        async with self._one_reload:
            self._manager.reloading(time.monotonic())
            try:
                self._take_over(await self.load(None))
            except Exception as error:
                ours = not isinstance(error, LocalError)
                self._refused(f"internal error: {describe(error)}" if ours else str(error))
                self._manager.ready(_REFUSED)
                raise

    async def load(self, path: Path | None) -> ServerConfig:
        """Read the server's own file, or another.  Raises `LocalError`."""
        if self._load is None:
            raise LocalError("this server has no configuration file: it runs with --dev")
        async with self._one_load:
            return await beside_the_loop(self._load, path)
