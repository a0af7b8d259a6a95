"""A group SA with its keys, from creation to the end of its Deactivation Time Delay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gcks.group.key_download import keymat_octets
from gcks.iana import ProtocolId
from gcks.journal import SaSaved
from gcks.wire.gsa import GsaPolicy, decode_gsa_policy


@dataclass(frozen=True, slots=True)
class LiveSa:
    """One SA; `*_at` are monotonic seconds, `*_wall` POSIX ones for the journal."""

    name: str
    """The policy's name, "" for the Rekey SA."""
    policy: GsaPolicy
    """As GSA_REKEY carries it: no GCAUTH, no attributes but the lifetime at creation."""
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

    def retired(self, at: float) -> LiveSa:
        """Return it as replaced, to be forgotten at `at` or when it expires."""
        return replace(self, retire_at=min(at, self.expires_at))

    def saved(self, group: str) -> SaSaved:
        """Return the journal entry that brings it back."""
        return SaSaved(
            group=group,
            protocol=self.protocol,
            spi=self.spi,
            name=self.name,
            policy=self.policy.encode(),
            keymat=self.keymat,
            created_at=self.created_wall,
            expires_at=self.created_wall + self.lifetime_seconds,
            retired=self.retire_at is not None,
        )


def create_sa(
    name: str, policy: GsaPolicy, now: float, wall: float, entropy: Callable[[int], bytes]
) -> LiveSa:
    """Make an SA with fresh keys of its own (RFC 9838 section 2.5.1: unique keys)."""
    keymat = entropy(keymat_octets(policy.transforms))
    lifetime = policy.lifetime_seconds or 0
    return LiveSa(name, policy, keymat, now, now + lifetime, wall)


def restore_sa(saved: SaSaved, now: float, wall: float, retire_at: float) -> LiveSa:
    """Bring an SA back; ages count on by the wall clock."""
    shift = now - wall
    sa = LiveSa(
        name=saved.name,
        policy=decode_gsa_policy(saved.policy),
        keymat=saved.keymat,
        created_at=saved.created_at + shift,
        expires_at=saved.expires_at + shift,
        created_wall=saved.created_at,
    )
    return sa.retired(retire_at) if saved.retired else sa
