"""The SAs of one group: current ones, replaced ones in their delay, SPIs announced for the next."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gcks.iana import ProtocolId
from gcks.journal import SaDeleted, SaSaved, SpisReserved
from gcks.keyserver.groups.live_sa import LiveSa, live_sa
from gcks.keyserver.groups.policy import DataSaPolicy, RekeyPolicy
from gcks.wire.gsa import GsaPolicy

REKEY: Final = ""
"""The name under which the Rekey SA stands among the group's SAs."""


class SaSet:
    """SAs by policy name; journal entries alone change it."""

    __slots__ = ("current", "next_spis", "replaced")

    def __init__(self) -> None:
        self.current: dict[str, LiveSa] = {}
        self.replaced: list[LiveSa] = []
        self.next_spis: dict[str, bytes] = {}
        """Announced by GSA_NEXT_SPI, by the names of SAs."""

    @property
    def rekey(self) -> LiveSa | None:
        return self.current.get(REKEY)

    @property
    def data(self) -> list[LiveSa]:
        return [sa for name, sa in self.current.items() if name != REKEY]

    @property
    def spis(self) -> list[bytes]:
        """Return all SPIs that nobody else may have: of SAs, and announced ones."""
        sas = (*self.current.values(), *self.replaced)
        return [*(sa.spi for sa in sas), *self.next_spis.values()]

    def saved(self, entry: SaSaved, shift: float) -> None:
        """Put a new SA in its place, or note that a current one is replaced."""
        known = self.current.get(entry.name)
        earlier = (sa for sa in reversed(self.replaced) if sa.name == entry.name)
        sa = live_sa(entry, shift, known or next(earlier, None))
        if sa.retire_at is not None:
            self.replaced = [other for other in self.replaced if other.spi != sa.spi] + [sa]
            if known is not None and known.spi == sa.spi:
                del self.current[sa.name]
            return
        if known is not None and known.spi != sa.spi:
            self.replaced.append(replace(known, retire_at=known.expires_at))
        self.current[sa.name] = sa
        if self.next_spis.get(sa.name) == sa.spi:
            del self.next_spis[sa.name]

    def deleted(self, entry: SaDeleted) -> None:
        """Forget an SA."""
        self.replaced = [sa for sa in self.replaced if sa.spi != entry.spi]
        for name, sa in list(self.current.items()):
            if sa.spi == entry.spi:
                del self.current[name]

    def reserved(self, entry: SpisReserved) -> None:
        """Note the SPI of the next SA of that name."""
        self.next_spis[entry.name] = entry.spi


def protocol_of(policy: DataSaPolicy | None) -> ProtocolId:
    """Return the protocol of a Data-Security SA, or that of the Rekey SA."""
    return policy.protocol if policy is not None else ProtocolId.GIKE_UPDATE


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
