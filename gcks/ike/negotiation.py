"""Choosing the algorithms of an IKE SA (RFC 7296 sections 2.7 and 3.3, RFC 9838 section 4.5.4).

The responder's order of preference decides.  A proposal with a transform type
that we don't know, or without one that we need, is unacceptable (section 3.3.6);
an additional key exchange is acceptable only where NONE is offered (RFC 9370).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

from gcks.crypto.encr import is_aead
from gcks.errors import NoProposalChosen, RefusalReason
from gcks.iana import Integ, ProtocolId, TransformType
from gcks.ike.suite import IkeSuite
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.transform import Transform

_ADDITIONAL: Final = frozenset(range(TransformType.ADDKE1, TransformType.ADDKE7 + 1))
_NEEDED: Final = (
    TransformType.ENCR,
    TransformType.PRF,
    TransformType.INTEG,
    TransformType.KE,
    TransformType.KWA,
)
_KNOWN: Final = frozenset(_NEEDED) | _ADDITIONAL
_ORDER: Final = {kind: place for place, kind in enumerate(_NEEDED)}

ByType = dict[int, tuple[Transform, ...]]


class Choice(NamedTuple):
    """The suite, and the SA payload to answer with."""

    suite: IkeSuite
    answer: SecurityAssociation


class _Mismatch(NamedTuple):
    progress: int
    text: str


@lru_cache(maxsize=256)
def choose(
    offer: SecurityAssociation, accepted: SecurityAssociation, *, spi: bytes = b""
) -> Choice:
    """Choose from `offer` what stands first in `accepted` (RFC 7296 section 2.7).

    `spi` is our SPI in the answer when an IKE SA is rekeyed, 8 octets.  Raises
    `NoProposalChosen` whose cause names the first transform that doesn't match.
    """
    misses: list[_Mismatch] = []
    for own in accepted.proposals:
        for proposal in offer.proposals:
            matched = _match(proposal, own)
            if isinstance(matched, _Mismatch):
                misses.append(matched)
            else:
                answer = Proposal(proposal.number, ProtocolId.IKE, spi, matched)
                return Choice(suite_of(answer), SecurityAssociation((answer,)))
    closest = max(misses, default=_Mismatch(0, "no proposal offered"))
    raise NoProposalChosen(
        closest.text,
        RefusalReason.NO_COMMON_SUITE,
        hint="align the IKE proposals of member and server",
    )


def suite_of(proposal: Proposal) -> IkeSuite:
    """Return the suite of a proposal with one transform of each type."""
    chosen = {t.type: t for t in proposal.transforms}
    encr, kwa = chosen[TransformType.ENCR], chosen.get(TransformType.KWA)
    integ = chosen.get(TransformType.INTEG)
    return IkeSuite(
        encr=encr.id,
        encr_bits=encr.key_length,
        prf=chosen[TransformType.PRF].id,
        integ=integ.id if integ else Integ.NONE,
        ke=chosen[TransformType.KE].id,
        kwa=kwa.id if kwa else None,
    )


def check_answer(offer: SecurityAssociation, answer: SecurityAssociation) -> IkeSuite:
    """Hold the responder's choice against what we offered (RFC 7296 section 3.3.6).

    Raises `NoProposalChosen` where it chose what was never offered.
    """
    if len(answer.proposals) != 1:
        raise NoProposalChosen("the responder answered with several proposals")
    (chosen,) = answer.proposals
    offered = [p for p in offer.proposals if p.number == chosen.number]
    kinds = [t.type for t in chosen.transforms]
    complete = bool(offered) and _mandatory(offered[0]) <= set(kinds)
    subset = complete and set(chosen.transforms) <= set(offered[0].transforms)
    if len(set(kinds)) != len(kinds) or not complete or not subset:
        raise NoProposalChosen("the responder chose what was not offered")
    suite = suite_of(chosen)
    if is_aead(suite.encr) == (suite.integ != Integ.NONE):
        raise NoProposalChosen("the responder's choice of INTEG does not fit its ENCR")
    return suite


def _mandatory(offered: Proposal) -> set[int]:
    """INTEG depends on ENCR; without KWA in the offer it is plain IKEv2."""
    return {t.type for t in offered.transforms} & set(_NEEDED) - {TransformType.INTEG}


@lru_cache(maxsize=16)
def without_kwa(accepted: SecurityAssociation) -> SecurityAssociation:
    """Return the same proposals for peers of plain IKEv2, which register to no group."""
    return SecurityAssociation(
        tuple(
            replace(p, transforms=tuple(t for t in p.transforms if t.type != TransformType.KWA))
            for p in accepted.proposals
        )
    )


def offers_kwa(offer: SecurityAssociation) -> bool:
    """Tell whether a peer knows Key Wrap Algorithms: a GM does (RFC 9838 section 2.3)."""
    return any(t.type == TransformType.KWA for p in offer.proposals for t in p.transforms)


def is_complete(proposal: Proposal) -> bool:
    """Tell whether a suite with a key wrap can be chosen from one of our own proposals.

    RFC 7296 section 3.3.3, RFC 9838 section 2.3.
    """
    by_type = _by_type(proposal)
    needed = {*_NEEDED} - {TransformType.INTEG}
    aead = {is_aead(t.id) for t in by_type.get(TransformType.ENCR, ())}
    return needed <= set(by_type) and aead == {TransformType.INTEG not in by_type}


def _match(offered: Proposal, own: Proposal) -> tuple[Transform, ...] | _Mismatch:
    if offered.protocol != ProtocolId.IKE:
        return _Mismatch(-1, f"a proposal for {ProtocolId(offered.protocol)} instead of IKE")
    theirs, ours = _by_type(offered), _by_type(own)
    unknown = set(theirs) - _KNOWN
    if unknown:
        return _Mismatch(-1, f"unknown transform type {min(unknown)}")
    chosen: list[Transform] = []
    for kind in _NEEDED:
        if kind not in ours:
            if kind == TransformType.INTEG and not _integ_optional(theirs):
                return _Mismatch(_ORDER[kind], "INTEG offered only with a non-AEAD cipher")
            if kind == TransformType.KWA and kind in theirs:
                return _Mismatch(_ORDER[kind], "KWA offered for an IKE SA without one")
            continue
        common = next((t for t in ours[kind] if t in theirs.get(kind, ())), None)
        if common is None:
            return _Mismatch(_ORDER[kind], _difference(kind, theirs, ours))
        chosen.append(common)
    return _with_additional(chosen, theirs)


def _with_additional(chosen: list[Transform], theirs: ByType) -> tuple[Transform, ...] | _Mismatch:
    for kind in sorted(_ADDITIONAL & set(theirs)):
        none = next((t for t in theirs[kind] if t.id == 0), None)
        if none is None:
            return _Mismatch(len(_NEEDED), "an additional key exchange is mandatory for the peer")
        chosen.append(none)
    return tuple(chosen)


def _integ_optional(theirs: ByType) -> bool:
    integ = theirs.get(TransformType.INTEG, ())
    return not integ or any(t.id == Integ.NONE for t in integ)


def _difference(kind: int, theirs: ByType, ours: ByType) -> str:
    offered = ", ".join(str(t) for t in theirs.get(kind, ())) or f"no {TransformType(kind)}"
    return f"offered {offered}; accepted {', '.join(str(t) for t in ours[kind])}"


def _by_type(proposal: Proposal) -> ByType:
    by_type: ByType = {}
    for transform in proposal.transforms:
        by_type[transform.type] = (*by_type.get(transform.type, ()), transform)
    return by_type
