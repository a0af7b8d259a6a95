"""GSA_REKEY messages on their way: bit-identical copies, spread in time (section 2.4.1.3)."""

from __future__ import annotations

from dataclasses import dataclass

from gcks.events import Event, RekeySent
from gcks.outcome import Path, Transmit


@dataclass(slots=True)
class PendingCopies:
    """One message and what of it is still to be sent."""

    message_id: int
    datagrams: tuple[bytes, ...]
    path: Path
    copies: int
    interval_seconds: float
    next_at: float
    sent: int = 0

    @property
    def done(self) -> bool:
        return self.sent >= self.copies

    def send(self, group: str) -> tuple[list[Transmit], Event]:
        """Return the next copy; the caller has made sure that it is due."""
        self.sent += 1
        self.next_at += self.interval_seconds
        transmits = [Transmit(octets, self.path, multicast=True) for octets in self.datagrams]
        octets = sum(map(len, self.datagrams))
        return transmits, RekeySent(group, self.message_id, self.sent, self.copies, octets)


def schedule_copies(
    message_id: int,
    datagrams: tuple[bytes, ...],
    path: Path,
    copies: int,
    spread_seconds: float,
    now: float,
) -> PendingCopies:
    """Plan `copies` transmissions, the first at `now`, the last `spread_seconds` later."""
    interval = spread_seconds / (copies - 1) if copies > 1 else 0.0
    return PendingCopies(message_id, datagrams, path, copies, interval, now)
