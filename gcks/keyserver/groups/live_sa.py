"""A group SA with its keys, from creation to the end of its Deactivation Time Delay."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

from gcks.iana import ProtocolId
from gcks.journal import SaDeleted, SaSaved
from gcks.wire.gsa import SUBSTRUCTURE, GsaPolicy, decode_gsa_policy


@dataclass(frozen=True, slots=True)
class LiveSa:
    """One SA; `*_at` are monotonic seconds, `created_wall` is POSIX time."""

    name: str
    """The policy's name, "" for the Rekey SA."""
    policy: GsaPolicy
    """As GSA_REKEY carries it: no GCAUTH, no attributes but the lifetime at creation."""
    encoded: bytes
    """The same, as the journal has it."""
    keymat: bytes = field(repr=False)
    created_at: float
    expires_at: float
    created_wall: float
    retire_at: float | None = None
    """When a replaced SA is forgotten; None while it is current."""

    @property
    def spi(self) -> bytes:
        return self.policy.spi

    @property
    def protocol(self) -> ProtocolId:
        return ProtocolId(self.policy.protocol)

    @property
    def lifetime_seconds(self) -> int:
        return self.policy.lifetime_seconds or 0

    def remaining_seconds(self, now: float) -> int:
        """Return what is left of the SA for a GM that registers now, in whole seconds."""
        end = self.expires_at if self.retire_at is None else self.retire_at
        return int(end - now)

    def saved(self, group: str, *, retire_at: float = inf) -> SaSaved:
        """Return the journal entry of this SA, replaced if it is forgotten at a POSIX time."""
        expires_at = self.created_wall + self.lifetime_seconds
        return SaSaved(
            group=group,
            protocol=self.protocol,
            spi=self.spi,
            name=self.name,
            policy=self.encoded,
            keymat=self.keymat,
            created_at=self.created_wall,
            expires_at=expires_at,
            retire_at=retire_at if retire_at == inf else min(retire_at, expires_at),
        )

    def deleted(self, group: str) -> SaDeleted:
        """Return the journal entry that forgets this SA."""
        return SaDeleted(group, self.protocol, self.spi)


def live_sa(saved: SaSaved, shift: float, known: LiveSa | None = None) -> LiveSa:
    """Return the SA of a journal entry; `shift` makes monotonic seconds of POSIX ones.

    A `known` SA of that name, itself or an earlier one, mostly saves decoding the policy.
    """
    return LiveSa(
        name=saved.name,
        policy=_policy(saved, known),
        encoded=saved.policy,
        keymat=saved.keymat,
        created_at=saved.created_at + shift,
        expires_at=saved.expires_at + shift,
        created_wall=saved.created_at,
        retire_at=None if saved.retire_at == inf else saved.retire_at + shift,
    )


def _policy(saved: SaSaved, known: LiveSa | None) -> GsaPolicy:
    """Return an SA's policy, made of a known one's where only the SPI differs."""
    if known is not None and _but_spi(saved.policy, saved.spi) == _but_spi(
        known.encoded, known.spi
    ):
        return replace(known.policy, spi=saved.spi)
    return decode_gsa_policy(saved.policy)


def _but_spi(encoded: bytes, spi: bytes) -> tuple[bytes, bytes]:
    """Return what stands before and behind the SPI."""
    return encoded[: SUBSTRUCTURE.size], encoded[SUBSTRUCTURE.size + len(spi) :]
