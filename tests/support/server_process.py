"""A real key server in a child process, started by fork and killed at will.

The parent has imported everything already, so that a start costs milliseconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from gcks.daemon.config.loaded import ServerConfig
from gcks.daemon.key_log_file import KeyLogFile
from gcks.daemon.process import run_to_end
from gcks.daemon.server_runtime import ServerRuntime


@dataclass
class ServerProcess:
    """One child; `log` takes what it prints."""

    pid: int

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the child so far, from its clock."""
        return time.clock_gettime(clock_of(self.pid))

    @property
    def resident_octets(self) -> int:
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def clock_of(pid: int) -> int:
    """Return the CPU clock of a process (clock_getcpuclockid(3))."""
    return (~pid << 3) | 2


def start_server(config: ServerConfig, log: Path, key_log: Path | None = None) -> ServerProcess:
    """Fork a server and wait until it listens."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _serve(config, log, write_end, key_log)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        if pipe.readline() != "ready\n":
            os.waitpid(pid, 0)
            raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")
    return ServerProcess(pid)


def _serve(config: ServerConfig, log: Path, write_end: int, key_log: Path | None) -> None:
    code = 1
    try:
        with log.open("a") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)

            def ready(_: ServerRuntime) -> None:
                os.write(write_end, b"ready\n")
                os.close(write_end)

            keys = KeyLogFile(key_log) if key_log else None
            code = run_to_end(lambda: ServerRuntime(config, key_log=keys).run(ready))
    finally:
        sys.stdout.flush()
        os._exit(code)
