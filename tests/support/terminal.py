"""A pseudo-terminal, and what a process draws on it."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from typing import NamedTuple

from tests.support.frames import check, frames, has_colour, plain
from tests.support.repository import ROOT
from tests.support.waiting import wait_for


class Screen(NamedTuple):
    """A terminal of so many columns and rows, with something in its environment."""

    columns: int
    rows: int
    environment: dict[str, str]


LARGE, SMALL = Screen(160, 50, {}), Screen(80, 24, {"NO_COLOR": "1"})


class Terminal:
    """A process on a pseudo-terminal, and all that it drew."""

    def __init__(self, command: list[str], screen: Screen = LARGE) -> None:
        self._master, slave = pty.openpty()
        size = struct.pack("4H", screen.rows, screen.columns, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        environment = {**os.environ, "TERM": "xterm-256color", **screen.environment}
        for name in ("COLUMNS", "LINES"):  # of another terminal
            environment.pop(name, None)
        self.screen = screen
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment
        )
        os.close(slave)
        self.drawn = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        """Take what is drawn at once: who draws waits for it."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        with contextlib.suppress(OSError):
            while True:
                self.drawn += decoder.decode(os.read(self._master, 1 << 16))

    def shows(self, pattern: str) -> None:
        wait_for(lambda: re.search(pattern, plain(self.drawn)), pattern)

    def reads_well(self) -> None:
        """All that was drawn fits, is whole, and has no colour where none is wanted."""
        check(frames(self.drawn), self.screen.columns, self.screen.rows)
        assert has_colour(self.drawn) is not ("NO_COLOR" in self.screen.environment)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        finally:
            self._reader.join(20)
            os.close(self._master)
