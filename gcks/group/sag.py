"""What a GM can do, from its SAg payload (RFC 9838 sections 2.3.3, 2.3.4 and 4.3).

Proposals with one Proposal Num are a set: the group's policy fits a GM if, for
one number, each protocol of the policy has a proposal that holds all of its
transforms.  SPIs in SAg are never looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from gcks.group.policy import GroupPolicy
from gcks.iana import ProtocolId, TransformType
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.transform import Transform

Needs = tuple[tuple[int, tuple[Transform, ...]], ...]

_TITLES: Final[Mapping[int, str]] = {
    ProtocolId.GIKE_UPDATE: "Rekey SA",
    ProtocolId.ESP: "ESP Data-Security SA",
    ProtocolId.AH: "AH Data-Security SA",
}


def needs_of(policy: GroupPolicy) -> Needs:
    """Return the transforms that a GM must support, per protocol, in order."""
    needs: dict[int, dict[Transform, None]] = {}
    if policy.rekey is not None:
        wanted = (*policy.rekey.transforms, policy.rekey.gcauth)
        needs[ProtocolId.GIKE_UPDATE] = dict.fromkeys(wanted)
    for sa in policy.data_sas:
        needs.setdefault(sa.protocol, {}).update(dict.fromkeys(sa.transforms))
    return tuple((protocol, tuple(found)) for protocol, found in needs.items())


@lru_cache(maxsize=1024)
def first_mismatch(sag: SecurityAssociation, needs: Needs) -> str | None:
    """Return None where the GM can do the policy, else what it lacks first."""
    sets: dict[int, list[Proposal]] = {}
    for proposal in sag.proposals:
        sets.setdefault(proposal.number, []).append(proposal)
    misses = [_miss(proposals, needs) for proposals in sets.values()]
    if not misses or None in misses:
        return None if misses else "an empty SAg"
    return max((miss for miss in misses if miss), key=lambda miss: miss[0])[1]


def _miss(proposals: list[Proposal], needs: Needs) -> tuple[int, str] | None:
    """Return how far the set got and what it lacks, or None."""
    progress = 0
    for protocol, transforms in needs:
        fitting = [p for p in proposals if p.protocol == protocol]
        if not fitting:
            return progress, f"the GM does not announce {ProtocolId(protocol)}"
        lacks = [_lacking(p, transforms) for p in fitting]
        if all(lacks):
            closest = min((lack for lack in lacks if lack), key=len)
            done = progress + len(transforms) - len(closest)
            return done, f"the GM does not support {closest[0]} of the {_TITLES[protocol]}"
        progress += len(transforms)
    return None


def _lacking(proposal: Proposal, needed: tuple[Transform, ...]) -> list[Transform]:
    """Return what the proposal lacks; one without SN transforms doesn't restrict them."""
    offered = set(proposal.transforms)
    restricts_sn = any(t.type == TransformType.SN for t in offered)
    return [t for t in needed if t not in offered and (restricts_sn or t.type != TransformType.SN)]
