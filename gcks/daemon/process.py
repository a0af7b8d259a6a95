"""What the process may hold, and who may look into it."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

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
    soft, hard = (sys.maxsize if one == resource.RLIM_INFINITY else one for one in limits)
    return soft, hard
