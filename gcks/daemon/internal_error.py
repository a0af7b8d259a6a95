"""Our own bugs, where they must not stop the daemon: one line each, and not too many."""

from __future__ import annotations

import time
from typing import Final

from gcks.errors import raised_in
from gcks.events import InternalErrorSeen, Tell

_QUIET_SECONDS: Final = 10.0
_MAX_CHARACTERS: Final = 200


class InternalErrors:
    """Tells what should not have happened; most of a flood is only counted."""

    __slots__ = ("_quiet_until", "_tell", "_untold")

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._quiet_until, self._untold = 0.0, 0

    def tell(self, doing: str, error: Exception) -> None:
        """Say what failed and where; never fails itself, as `tell` doesn't."""
        now = time.monotonic()
        if now < self._quiet_until:
            self._untold += 1
            return
        more, self._untold = self._untold, 0
        self._quiet_until = now + _QUIET_SECONDS
        self._tell((InternalErrorSeen(doing, describe(error), more),))


def describe(error: BaseException) -> str:
    """Return an error with its data, and where it was raised."""
    return f"{error!r:.{_MAX_CHARACTERS}}{raised_in(error)}"
