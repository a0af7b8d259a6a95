"""GSA_REKEY messages on their way: bit-identical copies, spread in time (section 2.4.1.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address
from math import inf
from typing import Final

from gcks.change import Change
from gcks.datagrams import Awaited, Endpoint, Path, Transmit
from gcks.events import RekeySent
from gcks.iana import ExchangeType
from gcks.journal import RekeyMessageSaved
from gcks.keyserver.groups.policy import RekeyPolicy
from gcks.wire.traffic_selector import TrafficSelector

SETTLE_SECONDS: Final = 1.0
"""How long after the last copy a message counts as sent: its journal entry is durable
before the copy itself has left."""

NATT_PORT: Final = 4500
"""Four zero octets precede a GSA_REKEY to this port (section 2.4.1.1), as any IKE message."""


@dataclass(slots=True)
class PendingCopies:
    """One message and what of it is still to be sent."""

    saved: RekeyMessageSaved
    path: Path
    copies: int
    interval_seconds: float
    next_at: float
    sent: int = 0
    reminder: bool = False
    """Part of a reminder."""
    late: bool = False
    """Out once already: a crash need not repeat it."""

    @property
    def all_sent(self) -> bool:
        return self.sent >= self.copies

    def send(self, change: Change) -> None:
        """Write the next copy into a change; the caller has made sure that it is due."""
        due, self.sent = self.next_at, self.sent + 1
        self.next_at += SETTLE_SECONDS if self.all_sent else self.interval_seconds
        saved = self.saved
        transmits = [Transmit(octets, self.path, multicast=True) for octets in saved.datagrams]
        if self.sent == 1 and not self.reminder and transmits:
            awaited = Awaited(ExchangeType.GSA_REKEY, due)
            transmits[-1] = replace(transmits[-1], awaited=awaited)
        octets = sum(map(len, saved.datagrams))
        change.transmits += transmits
        change.events.append(
            RekeySent(saved.group, saved.message_id, self.sent, self.copies, octets, self.reminder)
        )


def interval_seconds(copies: int, spread_seconds: float) -> float:
    """Return the time between copies, of which the last goes out `spread_seconds` late."""
    return spread_seconds / (copies - 1) if copies > 1 else 0.0


class Outbox:
    """All messages of one group that are on their way."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: list[PendingCopies] = []

    def __len__(self) -> int:
        """Count the messages that are on their way."""
        return len(self._pending)

    @property
    def next_at(self) -> float:
        return min((copies.next_at for copies in self._pending), default=inf)

    def add(self, saved: RekeyMessageSaved, rekey: RekeyPolicy, now: float) -> None:
        """Plan the copies."""
        interval = interval_seconds(rekey.copies, rekey.spread_seconds)
        self._pending.append(PendingCopies(saved, _path(saved), rekey.copies, interval, now))

    def remind(self, saved: RekeyMessageSaved, now: float, *, late: bool = False) -> None:
        """Plan one copy of a reminder, or a late one of an earlier message."""
        self._pending.append(
            PendingCopies(saved, _path(saved), 1, 0.0, now, reminder=True, late=late)
        )

    def send_due(self, now: float, change: Change) -> list[RekeyMessageSaved]:
        """Write the copies that are due into a change; return the messages that are all out."""
        out: list[RekeyMessageSaved] = []
        for copies in [pending for pending in self._pending if pending.next_at <= now]:
            if not copies.all_sent:
                copies.send(change)
                continue
            self._pending.remove(copies)
            if not copies.late:
                out.append(copies.saved)
        return out

    def send_all(self, change: Change) -> None:
        """Write all copies that are yet to be sent into a change."""
        for copies in self._pending:
            while not copies.all_sent:
                copies.send(change)
        self._pending.clear()


def _path(saved: RekeyMessageSaved) -> Path:
    source, destination = Endpoint(*saved.source), Endpoint(*saved.destination)
    return Path(source, destination, marker=destination.port == NATT_PORT)


def address_of(selector: TrafficSelector) -> tuple[str, int]:
    """Return the address and port that a Rekey SA's selector begins with."""
    return str(ip_address(selector.start_address)), selector.start_port
