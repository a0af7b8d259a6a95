"""Our own bugs, where they must not stop the daemon: one line each, and not too many."""

from __future__ import annotations

import time
from traceback import extract_tb
from typing import Any, Final

_QUIET_SECONDS: Final = 10.0
_MAX_CHARACTERS: Final = 200


class InternalErrors:
    """Logs what should not have happened; most of a flood is only counted."""

    __slots__ = ("_logger", "_quiet_until", "_untold")

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._quiet_until, self._untold = 0.0, 0

    def tell(self, doing: str, error: Exception) -> None:
        """Say what failed and where; never fails itself."""
        now = time.monotonic()
        if now < self._quiet_until:
            self._untold += 1
            return
        self._logger.error("internal_error", doing=doing, cause=describe(error), more=self._untold)
        self._quiet_until, self._untold = now + _QUIET_SECONDS, 0


def describe(error: BaseException) -> str:
    """Return an error with the line that raised it."""
    return f"{error!r:.{_MAX_CHARACTERS}} at {_line(error)}"


def place(error: BaseException) -> str:
    """Return an error's kind with the line that raised it, and never its data."""
    return f"{type(error).__name__} at {_line(error)}"


def _line(error: BaseException) -> str:
    frames = extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "nowhere"
