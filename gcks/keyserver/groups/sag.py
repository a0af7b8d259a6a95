"""What a GM can do, from its SAg payload (RFC 9838 sections 2.3.3, 2.3.4 and 4.3).

Proposals with one Proposal Num are a set: the group's policy fits a GM if, for
one number, every SA of the group has a proposal of its protocol that holds all
of its transforms.  SPIs in SAg are never looked at.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from gcks.iana import ProtocolId, TransformType
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.transform import Transform

MAX_CACHED_SAGS: Final = 1024


class Need(NamedTuple):
    """What one SA of the group asks of its members."""

    title: str
    protocol: ProtocolId
    transforms: tuple[Transform, ...]


Needs = tuple[Need, ...]


def needs_of(policy: GroupPolicy, *, inband: bool = False) -> Needs:
    """Return what a GM must support, the Rekey SA first; equal SAs count once."""
    needs: dict[tuple[ProtocolId, tuple[Transform, ...]], Need] = {}
    if policy.rekey is not None and not inband:
        wanted = (*policy.rekey.transforms, policy.rekey.gcauth)
        need = Need("Rekey SA", ProtocolId.GIKE_UPDATE, wanted)
        needs[need.protocol, need.transforms] = need
    for sa in policy.data_sas:
        need = Need(f"{sa.protocol} SA {sa.name}", sa.protocol, sa.transforms)
        needs.setdefault((need.protocol, need.transforms), need)
    return tuple(needs.values())


@lru_cache(maxsize=MAX_CACHED_SAGS)
def first_mismatch(sag: SecurityAssociation, needs: Needs) -> str | None:
    """Return None where the GM can do the policy, else what it lacks first.

    Of several sets, the one that comes furthest speaks for the GM.
    """
    sets: dict[int, list[Proposal]] = {}
    for proposal in sag.proposals:
        sets.setdefault(proposal.number, []).append(proposal)
    misses = [_miss(proposals, needs) for proposals in sets.values()]
    if any(miss is None for miss in misses):
        return None
    empty = (0, "the SAg payload is empty")
    return max((miss for miss in misses if miss), key=lambda miss: miss[0], default=empty)[1]


def _miss(proposals: list[Proposal], needs: Needs) -> tuple[int, str] | None:
    """Return how many transforms the set got right and what it lacks then, or None."""
    progress = 0
    for need in needs:
        fitting = [p for p in proposals if p.protocol == need.protocol]
        if not fitting:
            return progress, f"the GM does not announce {need.protocol} (for the {need.title})"
        lacks = min((_lacking(p, need.transforms) for p in fitting), key=len)
        progress += len(need.transforms) - len(lacks)
        if lacks:
            return progress, f"the GM does not support {lacks[0]} of the {need.title}"
    return None


def _lacking(proposal: Proposal, needed: tuple[Transform, ...]) -> list[Transform]:
    """Return what the proposal lacks; one without SN transforms doesn't restrict them."""
    offered = set(proposal.transforms)
    restricts_sn = any(t.type == TransformType.SN for t in offered)
    return [t for t in needed if t not in offered and (restricts_sn or t.type != TransformType.SN)]
