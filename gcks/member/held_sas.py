"""The SAs that a member holds: what they are, and when each of them changes.

All times are monotonic seconds, `inf` for never.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

from gcks.crypto.encr import Cipher
from gcks.ike.fragments import Reassembly
from gcks.member.data_plane import InstallSa, JoinMulticast
from gcks.member.opening import SaKey
from gcks.wire.traffic_selector import TrafficSelector

Selectors = tuple[TrafficSelector, TrafficSelector, bytes]
"""Source, destination and label of the traffic that an SA is for."""


@dataclass(frozen=True, slots=True)
class DataSa:
    """One Data-Security SA."""

    install: InstallSa
    generation: int
    """The message it came in: SAs of one message never replace each other."""
    soft_at: float
    hard_at: float
    activate_at: float
    """When sending begins; `inf` once active, and for an inbound SA."""
    active: bool = False
    remove_at: float = inf

    @property
    def key(self) -> SaKey:
        """What the SA is known by."""
        return (self.install.protocol, self.install.spi)

    @property
    def selectors(self) -> Selectors:
        """What the SA is for: two SAs with the same selectors and label replace each other."""
        return (self.install.source, self.install.destination, self.install.label)

    @property
    def ends_at(self) -> float:
        """When the SA is removed."""
        return min(self.hard_at, self.remove_at)

    def removed_at(self, at: float) -> DataSa:
        """Return the same, to be removed at that time, or sooner."""
        return replace(self, remove_at=min(self.remove_at, at))

    def following(self, old: DataSa | None) -> DataSa:
        """Return this SA in the place of `old`; under the same keys `old` goes on undisturbed.

        Its sequence numbers and its Sender-IDs stay in use, so nothing repeats.
        """
        if old is None or not self._is_same(old):
            return self
        return replace(self, install=old.install, active=old.active, activate_at=old.activate_at)

    def _is_same(self, old: DataSa) -> bool:
        """Compare all but Sender-IDs and remaining lifetime."""
        alike = replace(
            self.install,
            sender_ids=old.install.sender_ids,
            sender_id_bits=old.install.sender_id_bits,
            lifetime_seconds=old.install.lifetime_seconds,
        )
        return alike == old.install


@dataclass(frozen=True, slots=True)
class RekeySa:
    """One Rekey SA, inbound only (RFC 9838 section 2.3.3)."""

    spi: bytes
    """16 octets."""
    cipher: Cipher = field(repr=False)
    kwa: int
    gsk_w: bytes = field(repr=False)
    join: JoinMulticast
    next_message_id: int
    """The least Message ID that is new."""
    soft_at: float
    hard_at: float
    remove_at: float = inf
    last_datagram: bytes = field(default=b"", repr=False)
    """To tell the copies of the last message from replays; b"" where it came in fragments."""
    reassembly: Reassembly = field(default_factory=Reassembly, compare=False, repr=False)
    """Grows with each authentic fragment; no decision rests on it."""

    @property
    def ends_at(self) -> float:
        """When the SA is removed."""
        return min(self.hard_at, self.remove_at)

    def removed_at(self, at: float) -> RekeySa:
        """Return the same, to be removed at that time, or sooner."""
        return replace(self, remove_at=min(self.remove_at, at))
