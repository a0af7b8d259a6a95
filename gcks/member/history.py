"""What has happened in one group so far, whichever phase it is in."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(slots=True)
class History:
    """For the screen, and for how soon to try again."""

    registrations: int = 0
    registered_at: float = -inf
    """Monotonic seconds of the last registration."""
    failures: int = 0
    """Attempts in a row that have failed."""
    rekeys: int = 0
    """Reminders aren't counted."""
    last_error: str = ""

    def registered(self, now: float) -> None:
        """Note a registration: earlier failures are over."""
        self.registrations += 1
        self.registered_at, self.failures, self.last_error = now, 0, ""
