"""The SAs of one group: current ones, replaced ones in their delay, SPIs announced for the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gcks.iana import ProtocolId
from gcks.journal import JournalEntry, SaDeleted, SpisReserved
from gcks.keyserver.groups.live_sa import LiveSa, create_sa
from gcks.keyserver.groups.policy import DataSaPolicy, RekeyPolicy
from gcks.keyserver.groups.spi import SpiPool
from gcks.wire.gsa import GsaPolicy

REKEY = ""
"""The name under which the Rekey SA stands among the group's SAs."""


class SaSet:
    """Keeps SAs by policy name; every change returns what must be journaled."""

    __slots__ = ("_entropy", "_group", "_spis", "current", "next_spis", "replaced")

    def __init__(self, group: str, spis: SpiPool, entropy: Callable[[int], bytes]) -> None:
        self._group, self._spis, self._entropy = group, spis, entropy
        self.current: dict[str, LiveSa] = {}
        self.replaced: list[LiveSa] = []
        self.next_spis: dict[str, bytes] = {}

    @property
    def rekey(self) -> LiveSa:
        return self.current[REKEY]

    @property
    def data(self) -> list[LiveSa]:
        return [sa for name, sa in self.current.items() if name != REKEY]

    def replace(
        self, name: str, policy: GsaPolicy, now: float, wall: float, retire_at: float
    ) -> list[JournalEntry]:
        """Put a new SA under `name`; what stood there stays until `retire_at`."""
        journal = self.retire(name, retire_at)
        sa = create_sa(name, policy, now, wall, self._entropy)
        self.current[name] = sa
        return [*journal, sa.saved(self._group), self._reserve(name, sa.protocol)]

    def retire(self, name: str, retire_at: float) -> list[JournalEntry]:
        """Take the SA under `name`, if any, out of use."""
        old = self.current.pop(name, None)
        if old is None:
            return []
        retired = old.retired(retire_at)
        self.replaced.append(retired)
        return [retired.saved(self._group)]

    def forget_due(self, now: float) -> list[LiveSa]:
        """Drop and return the replaced SAs whose delay is over."""
        due: list[LiveSa] = []
        kept: list[LiveSa] = []
        for sa in self.replaced:
            over = sa.retire_at is not None and sa.retire_at <= now
            (due if over else kept).append(sa)
        self.replaced = kept
        self.release(sa.spi for sa in due)
        return due

    def deleted(self, sas: Iterable[LiveSa]) -> list[JournalEntry]:
        return [SaDeleted(self._group, sa.protocol, sa.spi) for sa in sas]

    def claim(self, spis: Iterable[bytes]) -> None:
        """Keep restored SPIs from being drawn again."""
        for spi in spis:
            self._spis.claim(spi)

    def release(self, spis: Iterable[bytes]) -> None:
        for spi in spis:
            self._spis.release(spi)

    def take_spi(self, name: str, protocol: int) -> bytes:
        """Return the SPI announced for the next SA of that name, or a fresh one."""
        return self.next_spis.pop(name, None) or self._spis.draw(protocol)

    def _reserve(self, name: str, protocol: int) -> JournalEntry:
        spi = self._spis.draw(protocol)
        self.next_spis[name] = spi
        return SpisReserved(self._group, name, protocol, spi)


def data_gsa_policy(policy: DataSaPolicy, spi: bytes) -> GsaPolicy:
    """Return the GSA TEK policy of a Data-Security SA."""
    return GsaPolicy(
        policy.protocol,
        spi,
        policy.source,
        policy.destination,
        policy.transforms,
        policy.lifetime_seconds,
        label=policy.label,
    )


def rekey_gsa_policy(policy: RekeyPolicy, spi: bytes) -> GsaPolicy:
    """Return the GSA KEK policy of a Rekey SA, as GSA_REKEY carries it (without GCAUTH)."""
    source, destination = policy.selectors
    return GsaPolicy(
        ProtocolId.GIKE_UPDATE,
        spi,
        source,
        destination,
        policy.transforms,
        policy.lifetime_seconds,
    )
