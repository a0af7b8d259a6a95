"""How a group's Data-Security SAs are used, beyond their policies: mode, AGGFRAG, IPComp.

The GCKS says it in notifications beside GSA, for all Data-Security SAs of the
group at once (RFC 9838 sections 2.3.4 and 6.3); a GM announces what it can do
beside SAg (sections 2.3.3 and 6.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from gcks.errors import InvalidSyntax, NoProposalChosen, RefusalReason, WireError
from gcks.group.policy import TRANSPORT, TUNNEL, GroupPolicy
from gcks.iana import IpcompTransform, NotifyType, ProtocolId
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.sa_usage import AggFrag, IpComp, decode_aggfrag, decode_ipcomp

T = TypeVar("T")

IPCOMP: Final = {"deflate": IpcompTransform.IPCOMP_DEFLATE}
"""What a policy can name: Linux and strongSwan, too, have nothing for LZS and LZJH."""

ANNOUNCED_CPI: Final = 0
"""In requests the CPI is zero (section 2.3.3)."""

_HINT: Final = (
    "let the GM announce it (gcks-member: ike.announce_transforms, and data_plane.features for a"
    " hook that can do it), or leave aggfrag or ipcomp out of the group"
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the notifications of one message say."""

    mode: str = TUNNEL
    aggfrag: AggFrag | None = None
    ipcomp: tuple[IpComp, ...] = ()
    """Of a GCKS one at most; of a GM what it can do."""

    def notifies(self) -> tuple[Notify, ...]:
        """Return the notifications."""
        transport = (Notify(NotifyType.USE_TRANSPORT_MODE),) if self.mode == TRANSPORT else ()
        aggfrag = (self.aggfrag,) if self.aggfrag is not None else ()
        return (
            *transport,
            *(Notify(NotifyType.USE_AGGFRAG, one.encode()) for one in aggfrag),
            *(Notify(NotifyType.IPCOMP_SUPPORTED, one.encode()) for one in self.ipcomp),
        )


def usage_of(policy: GroupPolicy) -> Usage:
    """Return what GMs are told: tunnel mode unless said otherwise (section 2.3.4).

    Flags of USE_AGGFRAG are never set: a GM must take fragments of packets, and
    no congestion information can come back (section 6.3).

    Ruling: IPCOMP_SUPPORTED of the response holds the well-known CPI, which is
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


def read_usage(payloads: Iterable[Payload]) -> Usage:
    """Return what a message's notifications say.  Raises `InvalidSyntax`."""
    notifies = [one for one in payloads if isinstance(one, Notify)]
    transport = any(one.type == NotifyType.USE_TRANSPORT_MODE for one in notifies)
    aggfrag = _read(notifies, NotifyType.USE_AGGFRAG, decode_aggfrag)
    if len(aggfrag) > 1:
        raise InvalidSyntax(f"{len(aggfrag)} USE_AGGFRAG notifications")
    return Usage(
        TRANSPORT if transport else TUNNEL,
        aggfrag[0] if aggfrag else None,
        _read(notifies, NotifyType.IPCOMP_SUPPORTED, decode_ipcomp),
    )


def _read(
    notifies: Iterable[Notify], kind: NotifyType, decode: Callable[[bytes], T]
) -> tuple[T, ...]:
    found = [one for one in notifies if one.type == kind]
    if any(one.spi for one in found):
        raise InvalidSyntax(f"{kind} with an SPI")
    try:
        return tuple(decode(one.data) for one in found)
    except WireError as error:
        raise InvalidSyntax(str(error)) from None


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
    transforms = {one.transform for one in announced.ipcomp}
    for one in wanted.ipcomp:
        if one.transform not in transforms:
            name = IpcompTransform(one.transform)
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
