"""Log lines on their way out: written by a thread, so that the event loop never waits for a log.

A pipe that nobody reads, a terminal that stands still or a hung journal would stop
the keys.  Lines that find no room are counted, and the log says how many.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

MAX_WAITING_OCTETS: Final = 4 << 20
FLUSH_SECONDS: Final = 2.0
"""How long an ending daemon waits for the next line to be taken."""
STANDARD_ERROR: Final = 2

Write = Callable[[], object]
"""Writes one line.  Raises `OSError`, or `ValueError` where it can't be encoded."""


class LogQueue:
    """Lines of the event loop's thread, in their order; put never waits."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Write, int]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._put_octets = self._full = 0
        """Counted by the event loop's thread, the next two by the writing one."""
        self._taken_octets = self._failed = 0
        self._told = 0

    @property
    def _waiting_octets(self) -> int:
        return self._put_octets - self._taken_octets

    def put(self, write: Write, octets: int) -> None:
        """Have one line of about so many octets written, unless too much waits already."""
        if self._waiting_octets + octets > MAX_WAITING_OCTETS:
            self._full += 1
            return
        self._put_octets += octets
        self._queue.put((write, octets))
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="gcks-log", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            write, octets = self._queue.get()
            try:
                write()
            except (OSError, ValueError):  # nobody reads any more, or the disk is full
                self._failed += 1
            finally:
                self._taken_octets += octets

    def take_lost(self) -> int:
        """Return how many lines were lost since the last time, as soon as it can be told."""
        lost = self._full + self._failed - self._told
        if not lost or self._waiting_octets > MAX_WAITING_OCTETS // 2:
            return 0
        self._told += lost
        return lost

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until all is written; False where nobody takes it."""
        if self._thread is None:
            return True
        done = threading.Event()
        taken = self._taken_octets
        self._queue.put((done.set, 0))
        while not done.wait(seconds):
            if self._taken_octets == taken:
                return False
            taken = self._taken_octets
        return True


LOG_QUEUE: Final = LogQueue()
"""The process has one standard error."""


def write_standard_error(line: bytes) -> None:
    """Write one line without Python's buffer: its lock would hold up a process that ends."""
    while line:
        line = line[os.write(STANDARD_ERROR, line) :]
