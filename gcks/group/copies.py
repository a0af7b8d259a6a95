"""GSA_REKEY messages on their way: bit-identical copies, spread in time (section 2.4.1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gcks.events import Event, RekeySent
from gcks.outcome import Path, Transmit

SETTLE_SECONDS: Final = 1.0
"""How long after the last copy a message counts as sent: its journal entry is durable
before the copy itself has left."""


@dataclass(slots=True)
class PendingCopies:
    """One message and what of it is still to be sent."""

    spi: bytes
    message_id: int
    datagrams: tuple[bytes, ...]
    path: Path
    copies: int
    interval_seconds: float
    next_at: float
    sent: int = 0

    @property
    def all_sent(self) -> bool:
        return self.sent >= self.copies

    def send(self, group: str) -> tuple[list[Transmit], Event]:
        """Return the next copy; the caller has made sure that it is due."""
        self.sent += 1
        self.next_at += SETTLE_SECONDS if self.all_sent else self.interval_seconds
        transmits = [Transmit(octets, self.path, multicast=True) for octets in self.datagrams]
        octets = sum(map(len, self.datagrams))
        return transmits, RekeySent(group, self.message_id, self.sent, self.copies, octets)


def interval_seconds(copies: int, spread_seconds: float) -> float:
    """Return the time between copies, of which the last goes out `spread_seconds` late."""
    return spread_seconds / (copies - 1) if copies > 1 else 0.0
