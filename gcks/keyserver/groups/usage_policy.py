"""Which use of its Data-Security SAs a group's policy asks for, and who can follow.

Mode, AGGFRAG and IPComp hold for all of them (RFC 9838 sections 2.3.3, 2.3.4 and 6.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gcks.errors import NoProposalChosen, RefusalReason
from gcks.group.usage import IPCOMP, TRANSPORT, TUNNEL, Usage
from gcks.iana import IpcompTransform, ProtocolId
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.wire.sa_usage import AggFrag, IpComp

_HINT: Final = (
    "let the GM announce it (gcks-member: ike.announce_transforms, and data_plane.features for a"
    " hook that can do it), or leave aggfrag or ipcomp out of the group"
)


def usage_of(policy: GroupPolicy) -> Usage:
    """Return what GMs are told: tunnel mode unless said otherwise (section 2.3.4).

    Flags of USE_AGGFRAG are never set: a GM must take fragments of packets, and
    no congestion information can come back (section 6.3).

    Ruling 47: IPCOMP_SUPPORTED of the response holds the well-known CPI, which is
    the transform's number (RFC 3173 section 3.3).  A negotiated one is the choice
    of the one receiver; the receivers of a group share theirs, which the SA's
    destination address and this CPI tell.
    """
    transform = IPCOMP.get(policy.ipcomp or "")
    return Usage(
        policy.mode,
        AggFrag() if policy.aggfrag else None,
        (IpComp(transform, transform),) if transform is not None else (),
    )


def usage_text(policy: GroupPolicy) -> str:
    """Return the mode and what else holds for all SAs, as text to be stored and compared."""
    words = (policy.mode, "aggfrag" if policy.aggfrag else "", policy.ipcomp or "")
    return " ".join(filter(None, words))


def check_announced(policy: GroupPolicy, announced: Usage) -> None:
    """Refuse a GM that doesn't say it can use the SAs as the group does.

    Unlike algorithms, few data planes can: silence is no yes.  Raises
    `NoProposalChosen`.
    """
    lack = next(_lacks(policy, announced), None)
    if lack is not None:
        raise NoProposalChosen(lack, RefusalReason.POLICY_UNSUPPORTED, hint=_HINT)


def _lacks(policy: GroupPolicy, announced: Usage) -> Iterator[str]:
    wanted = usage_of(policy)
    if wanted.aggfrag is not None:
        aggfrag = announced.aggfrag
        if aggfrag is None:
            yield "the GM does not announce USE_AGGFRAG, which the group uses"
        elif aggfrag.dont_fragment:
            yield "the GM takes no fragments of inner packets (D in USE_AGGFRAG)"
        elif aggfrag.congestion_control:
            yield "the GM wants congestion control (C in USE_AGGFRAG), impossible with multicast"
    transforms = {method.transform for method in announced.ipcomp}
    for method in wanted.ipcomp:
        if method.transform not in transforms:
            name = IpcompTransform(method.transform)
            yield f"the GM does not announce IPCOMP_SUPPORTED with {name}, which the group uses"


def usage_problems(policy: GroupPolicy) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with a group's policy: where, why, and what to do."""
    if policy.mode not in (TUNNEL, TRANSPORT):
        yield "mode", f"{policy.mode!r} is neither tunnel nor transport", "choose one of them"
    if policy.ipcomp is not None and policy.ipcomp not in IPCOMP:
        yield "ipcomp", f"{policy.ipcomp!r} is none of {', '.join(IPCOMP)}", "choose one of these"
    if policy.aggfrag:
        yield from _aggfrag_problems(policy)


def _aggfrag_problems(policy: GroupPolicy) -> Iterator[tuple[str, str, str]]:
    """Section 6.3: only ESP in tunnel mode, with one sender whose numbers follow each other."""
    if policy.mode == TRANSPORT:
        yield "aggfrag", "works in tunnel mode only (section 6.3)", "write mode: tunnel"
    if policy.ipcomp is not None:
        reason = "carries whole IP packets, where IP compression has no place"
        yield "aggfrag", reason, "drop aggfrag or ipcomp"
    for sa in policy.data_sas:
        if sa.protocol != ProtocolId.ESP:
            reason = "aggfrag works with ESP only (section 6.3)"
            yield f"data_sas.{sa.name}.protocol", reason, "write protocol: esp"
        elif not sa.sequential:
            yield (
                f"data_sas.{sa.name}.senders",
                "aggfrag needs sequence numbers in order (section 6.3)",
                "give each SA a single sender (senders: single, or each_of) with replay_protection",
            )
