"""One outstanding request and its repetitions (RFC 7296 sections 2.1 and 2.4).

Window size 1: a member has at most one request under way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gcks.member.settings import Retransmission
from gcks.outcome import Path, Transmit


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A request that waits for its response."""

    exchange: int
    message_id: int
    datagram: bytes
    path: Path
    sent: int
    """Transmissions so far."""
    tries: int
    due: float
    """When to send it again, or to give up."""

    def transmit(self) -> Transmit:
        """Return the datagram to send: the same octets every time."""
        return Transmit(self.datagram, self.path)

    @property
    def exhausted(self) -> bool:
        """Tell whether it is time to give up."""
        return self.sent >= self.tries

    def repeated(self, settings: Retransmission, now: float) -> PendingRequest:
        """Note one more transmission."""
        sent = self.sent + 1
        return replace(self, sent=sent, due=now + settings.delay(sent))


def first_transmission(
    exchange: int,
    message_id: int,
    datagram: bytes,
    path: Path,
    settings: Retransmission,
    now: float,
    *,
    tries: int | None = None,
) -> PendingRequest:
    """Make the record of a request that is sent now."""
    return PendingRequest(
        exchange,
        message_id,
        datagram,
        path,
        sent=1,
        tries=tries or settings.tries,
        due=now + settings.delay(1),
    )
