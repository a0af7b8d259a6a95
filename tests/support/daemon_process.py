"""The two daemons as processes of their own, started by their commands."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.repository import ROOT
from tests.support.waiting import wait_for

SERVE = [sys.executable, "-m", "gcks", "serve"]
MEMBER = [sys.executable, "-m", "gcks.cli.member_command", "run"]
PORTS = (10500, 10848, 14500)
MANY_MEMBERS = [sys.executable, str(ROOT / "tests" / "support" / "many_members.py")]
"""With FILE FIRST COUNT: that many member daemons in one process."""


class Daemon:
    """One daemon in a process of its own, its output in a file."""

    def __init__(self, command: list[str], output: Path, *, keep_descriptors: bool = False) -> None:
        self.output = output
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=file, cwd=ROOT, close_fds=not keep_descriptors
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def says(self, pattern: str, times: int = 1) -> None:
        wait_for(lambda: len(re.findall(pattern, self.text)) >= times, pattern)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(20)
