"""One outstanding request and its repetitions (RFC 7296 sections 2.1 and 2.4).

Window size 1: each side has at most one request under way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Retransmission:
    """Exponential back-off of one request (RFC 7296 section 2.4)."""

    first_seconds: float = 1.0
    factor: float = 1.8
    tries: int = 6
    """Transmissions in all, the first one included."""

    def delay(self, sent: int) -> float:
        """Return the seconds to wait after the `sent`-th transmission (1, 2, ...)."""
        return float(self.first_seconds * self.factor ** (sent - 1))


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A request that waits for its response."""

    exchange: int
    message_id: int
    datagrams: tuple[bytes, ...]
    """The same octets every time: the message, or its fragments."""
    sent: int
    """Transmissions so far."""
    tries: int
    due: float
    """When to send it again, or to give up."""

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
    datagrams: tuple[bytes, ...],
    settings: Retransmission,
    now: float,
    *,
    tries: int | None = None,
) -> PendingRequest:
    """Make the record of a request that is sent now (RFC 7296 section 2.1).

    `tries` are its transmissions in all; None: as many as `settings` say.
    """
    due = now + settings.delay(1)
    return PendingRequest(exchange, message_id, datagrams, 1, tries or settings.tries, due)
