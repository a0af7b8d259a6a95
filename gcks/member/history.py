"""What has happened in one group so far, whichever phase it is in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class History:
    """For the screen."""

    registrations: int = 0
    rekeys: int = 0
    """Reminders aren't counted."""
    last_error: str = ""

    def registered(self) -> None:
        """Note a registration: earlier errors are over."""
        self.registrations += 1
        self.last_error = ""
