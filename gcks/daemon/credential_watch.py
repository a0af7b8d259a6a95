"""Certificates, CRLs, OCSP responses and keys are read again when their files change.

CRLs last for days or hours and some tool replaces the files: nobody should have
to tell the daemon.  What can't be read leaves everything as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from gcks.daemon.config.loaded import CredentialSource
from gcks.errors import LocalError
from gcks.ike.credentials import Credentials

LOOK_SECONDS: Final = 60.0

Stamps = dict[Path, tuple[int, int, int] | None]


class CredentialWatch:
    """Looks at the files once a minute."""

    def __init__(
        self,
        source: CredentialSource | None,
        take_over: Callable[[Credentials], None],
        logger: Any,
    ) -> None:
        self._take_over, self._logger = take_over, logger
        self._timer: asyncio.TimerHandle | None = None
        self.use(source)

    def use(self, source: CredentialSource | None) -> None:
        """Watch the files of another configuration, which has just been read."""
        self._source = source
        self._seen = _stamps(source.files if source else ())

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_again)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look_again(self) -> None:
        self.look()
        self.start()

    def look(self) -> None:
        """Read everything again if a file has changed."""
        source = self._source
        if source is None or (found := _stamps(source.files)) == self._seen:
            return
        changed = sorted(str(path) for path in found if found[path] != self._seen.get(path))
        self._seen = found
        try:
            self._take_over(source.read())
        except LocalError as error:
            self._logger.error("credentials_not_renewed", files=changed, cause=str(error))
        else:
            self._logger.info("credentials_renewed", files=changed)


def _stamps(files: Iterable[Path]) -> Stamps:
    return {path: _stamp(path) for path in files}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
