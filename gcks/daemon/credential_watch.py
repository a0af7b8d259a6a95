"""Certificates, CRLs, OCSP responses and keys are read again when their files change.

CRLs last for days or hours and some tool replaces the files: nobody should have
to tell the daemon.  What can't be read leaves everything as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from gcks.daemon.background import beside_the_loop
from gcks.daemon.config.loaded import CredentialSource
from gcks.daemon.config.opening import Stamp, stamp
from gcks.daemon.internal_error import InternalErrors
from gcks.errors import LocalError
from gcks.events import CredentialsNotRenewed, CredentialsRenewed, Tell
from gcks.ike.credentials import Credentials

LOOK_SECONDS: Final = 60.0

Stamps = Mapping[Path, Stamp | None]


class CredentialWatch:
    """Looks at the files once a minute; everything but the taking over is done in a thread."""

    def __init__(
        self,
        source: CredentialSource | None,
        take_over: Callable[[Credentials], None],
        tell: Tell,
    ) -> None:
        self._take_over, self._tell = take_over, tell
        self._errors = InternalErrors(tell)
        self._task: asyncio.Task[None] | None = None
        self.use(source)

    def use(self, source: CredentialSource | None) -> None:
        """Watch the files of another configuration, from what they were when it was read."""
        self._source = source
        self._seen: Stamps = source.files if source else {}

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_looking())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception as error:  # or expired CRLs would lock everybody out one day
                self._errors.tell("the look at the credentials' files", error)

    async def look(self) -> None:
        """Read everything again if a file has changed."""
        source = self._source
        if source is None:
            return
        stamps = await asyncio.to_thread(_stamps, source.files)
        changed = (*sorted(str(path) for path in stamps if stamps[path] != self._seen.get(path)),)
        if not changed or source is not self._source:
            return
        self._seen = stamps
        try:
            credentials = await beside_the_loop(source.read)
            if source is not self._source:
                return  # a reload has read them meanwhile, and others perhaps
            self._take_over(credentials)
        except LocalError as error:
            self._tell((CredentialsNotRenewed(changed, str(error)),))
        else:
            self._tell((CredentialsRenewed(changed),))


def _stamps(files: Iterable[Path]) -> Stamps:
    return {path: _stamp(path) for path in files}


def _stamp(path: Path) -> Stamp | None:
    try:
        return stamp(path.stat())
    except OSError:
        return None
