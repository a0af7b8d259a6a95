"""The key log's file: for debugging only, since whoever reads it reads the group's traffic."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final

from gcks.decode.key_log_format import HEADER, encode_entry
from gcks.errors import LocalError
from gcks.events import KeysAreLogged, Tell
from gcks.group.sa_key_log_entry import KeyLogEntry, group_sa_entry
from gcks.journal import JournalEntry, SaSaved
from gcks.wire.gsa import decode_gsa_policy

UNDER_SYSTEMD: Final = "--key-log-under-systemd"
_SYSTEMD: Final = ("INVOCATION_ID", "NOTIFY_SOCKET")
_PRIVATE: Final = 0o600
_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class KeyLogOptions:
    """What the command line says."""

    path: Path
    under_systemd: bool = False
    """Whether it was said that a service may log keys, too."""


class KeyLogFile:
    """Appends a line for each SA to a file that only its owner reads."""

    def __init__(self, path: Path) -> None:
        """Open the file.  Raises `LocalError` where it isn't ours alone."""
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            self._descriptor = os.open(path, flags, _PRIVATE)
        except OSError as error:
            raise LocalError(
                f"can't write the key log {path}: {error.strerror}; "
                "name a file in a directory of the user that gcks runs as"
            ) from None
        try:
            self._check()
        except LocalError:
            os.close(self._descriptor)
            raise
        if os.fstat(self._descriptor).st_size == 0:
            self._write(HEADER)

    def _check(self) -> None:
        state = os.fstat(self._descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise LocalError(f"the key log {self.path} is no regular file; name another")
        if state.st_uid != os.geteuid() or state.st_mode & _OTHERS:
            raise LocalError(
                f"others can read the key log {self.path}; chmod 600 it, or name a new file"
            )

    def warn(self, tell: Tell) -> None:
        """Say in the log what is going on, however little is logged."""
        tell((KeysAreLogged(warning(self.path)),))

    def __call__(self, entry: KeyLogEntry) -> None:
        self._write(encode_entry(entry))

    def add(self, entries: Iterable[KeyLogEntry]) -> None:
        """Append lines."""
        for entry in entries:
            self(entry)

    def restored(self, entries: Iterable[JournalEntry]) -> Iterator[JournalEntry]:
        """Pass on what a store gives back; append the SAs that go on after a restart."""
        for entry in entries:
            if isinstance(entry, SaSaved):
                self(_entry(entry))
            yield entry

    def journal(self, entries: Iterable[JournalEntry]) -> None:
        """Append the SAs that are new; a replaced one stands there already."""
        self.add(
            _entry(entry)
            for entry in entries
            if isinstance(entry, SaSaved) and entry.retire_at == inf
        )

    def _write(self, line: str) -> None:
        # A full disk costs the log, not the group.
        with suppress(OSError):
            os.write(self._descriptor, f"{line}\n".encode())


def _entry(saved: SaSaved) -> KeyLogEntry:
    return group_sa_entry(saved.group, decode_gsa_policy(saved.policy), saved.keymat)


def open_key_log(options: KeyLogOptions, environment: Mapping[str, str]) -> KeyLogFile:
    """Open the key log.  Raises `LocalError`, also in a service that wasn't told twice."""
    if not options.under_systemd and any(name in environment for name in _SYSTEMD):
        raise LocalError(
            "a service must not log keys by mistake: take --key-log out of the unit,"
            f" or say {UNDER_SYSTEMD} as well"
        )
    return KeyLogFile(options.path)


def warning(path: Path) -> str:
    """Return what an operator must be told, loudly."""
    return (
        f"WARNING: all keys are written to {path}. Whoever gets this file reads every"
        " registration and all traffic of the groups, what was recorded before included."
        " For debugging only; docs/decode.md says how to be rid of it afterwards."
    )
