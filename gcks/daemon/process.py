"""A daemon as a process: how it runs and ends, what it may hold, who may look into it."""

from __future__ import annotations

import ctypes
import resource
import sys
from collections.abc import Callable
from typing import Any, Final

import uvloop

from gcks.crypto.errors import CryptoError
from gcks.daemon.log_queue import LOG_QUEUE
from gcks.errors import LocalError

EXIT_FAILED: Final = 1

_PR_SET_DUMPABLE: Final = 4
"""prctl(2)"""


def keep_memory_private() -> None:
    """Leave no core dump, and let no process of our user read or trace us: keys are in memory."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def descriptor_limit() -> int:
    """Return how many file descriptors the process may have."""
    return _descriptor_limits()[0]


def raise_descriptor_limit(wanted: int) -> None:
    """Have so many, or as many as the hard limit gives; never fewer than before."""
    soft, hard = _descriptor_limits()
    most = min(wanted, hard)
    if soft < most:
        # Not setrlimit: a service's system call filter stops that one.
        resource.prlimit(0, resource.RLIMIT_NOFILE, (most, hard))


def _descriptor_limits() -> tuple[int, int]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (sys.maxsize if limit == resource.RLIM_INFINITY else limit for limit in limits)
    return soft, hard


# --- to its end ---------------------------------------------------------------------------


def run_to_end(main: Callable[[], Any], program: str = "gcks") -> int:
    """Run a daemon's main coroutine on uvloop; one clear message where it fails."""

    async def start() -> None:
        try:
            await main()
        finally:
            LOG_QUEUE.flush()

    keep_memory_private()
    try:
        uvloop.run(start())
    except (LocalError, CryptoError) as error:
        return refuse(error, program)
    except KeyboardInterrupt:
        return 0
    return 0


def refuse(error: Exception, program: str = "gcks") -> int:
    """Say in one line why the daemon doesn't run; return the exit code."""
    if LOG_QUEUE.flush():
        print(f"{program}: {error}", file=sys.stderr)
    return EXIT_FAILED
