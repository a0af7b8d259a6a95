"""Opens the files that a configuration names: never waits, and never for anything but a file.

A FIFO would hold up who opens it until somebody writes, a device may do worse.
What is judged of a file is judged of what was opened: its name may lead elsewhere by then.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP


class Stamp(NamedTuple):
    """What changes with a file's content."""

    modified_ns: int
    octets: int
    inode: int


def stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


def read_file(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """Return a file's content, of which one octet more than `most` tells that it is too large.

    Raises OSError, also where it is no ordinary file.
    """
    number = os.open(path, _FLAGS)
    try:
        status = os.fstat(number)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "no ordinary file")
        with open(number, "rb", closefd=False) as file:
            return file.read(most + 1), status
    finally:
        os.close(number)


def open_to_others(status: os.stat_result) -> bool:
    """Tell whether others than the owner can change a file, or others than its group read it."""
    return bool(status.st_mode & _OTHERS)
