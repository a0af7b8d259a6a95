"""The daemon as a service: signals, failures, its end, and what the service manager hears."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from typing import Final

from gcks.daemon.systemd import ServiceManager
from gcks.errors import LocalError

FEEDS_PER_WATCHDOG_INTERVAL: Final = 3


class Service:
    """Runs until it is told to stop, or something fails; the first cause is the one that counts."""

    def __init__(self) -> None:
        self.manager = ServiceManager()
        self.failure: LocalError | None = None
        self._told = ""
        self._over = asyncio.Event()

    def handle(self, action: Callable[[], None], *numbers: signal.Signals) -> None:
        """Do something when a signal comes."""
        for number in numbers:
            asyncio.get_running_loop().add_signal_handler(number, action)

    def stop_on(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            self.handle(partial(self.stop, f"stopped by {number.name}"), number)

    # --- the end ------------------------------------------------------------------------

    def stop(self, cause: str = "told to") -> None:
        self._told = self._told or cause
        self._over.set()

    def fail(self, error: LocalError) -> None:
        """End, and say why in the exit code, too."""
        self.failure = self.failure or error
        self._over.set()

    @property
    def cause(self) -> str:
        """Why the daemon ends."""
        return str(self.failure) if self.failure is not None else self._told

    async def wait_for_the_end(self) -> None:
        await self._over.wait()

    def raise_failure(self) -> None:
        """Raise the `LocalError` that ended the daemon, if one did."""
        if self.failure is not None:
            raise self.failure

    # --- the service manager ------------------------------------------------------------

    def ready(self, summary: str) -> None:
        """Tell that the daemon works, and from now on that its loop runs."""
        self._feed_watchdog()
        self.manager.ready(summary)

    def close(self) -> None:
        """Tell that the daemon ends; the watchdog is fed for as long as the loop runs."""
        self.manager.stopping()

    def _feed_watchdog(self) -> None:
        seconds = self.manager.watchdog_seconds
        if seconds is not None:
            self.manager.watchdog()
            interval = seconds / FEEDS_PER_WATCHDOG_INTERVAL
            asyncio.get_running_loop().call_later(interval, self._feed_watchdog)
