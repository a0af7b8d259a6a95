"""The messages that make a new IKE SA, from either side (RFC 7296 sections 1.3.2, 2.18).

Regular:    HDR, SK{SA, Ni, KEi}                           -->
                          <--  HDR, SK{SA, Nr, KEr}
Optimized:  HDR, SK{N(OPTIMIZED_REKEY, new SPI), Ni, KEi}  -->
                          <--  HDR, SK{N(OPTIMIZED_REKEY, new SPI), Nr, KEr}

The optimized form (draft-ietf-ipsecme-ikev2-sa-ts-payloads-opt) has no SA
payload: the new IKE SA inherits the suite.  KWA is part of every proposal, when
rekeying too (ruling 29), so that the new SA has a GSK_w of its own.  When there is
one to make, and which of two is used, is in `gcks.ike.succession`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from gcks.crypto.key_exchange import KeyPair, generate
from gcks.errors import InvalidKePayload, InvalidSyntax, NoProposalChosen
from gcks.iana import Ke, NotifyType, ProtocolId, TransformType
from gcks.ike.keymat import IkeKeys, derive_gsk_w, rekey_keys
from gcks.ike.legality import Contents
from gcks.ike.negotiation import check_answer, choose
from gcks.ike.protect import IkeProtection
from gcks.ike.suite import IkeSuite
from gcks.wire.header import IKE_SPI_OCTETS, NO_SPI
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.sa import SecurityAssociation

NONCE_OCTETS: Final = 32
"""At least half the key size of the largest PRF (RFC 7296 section 2.10)."""

_METHOD_OCTETS: Final = 2
_KE: Final = TransformType.KE

Entropy = Callable[[int], bytes]
"""Draws so many random octets."""


class OptimizedRekey(NamedTuple):
    """The two notifications, for which IANA has no numbers yet: private-use ones."""

    supported: int = 40_980
    rekey: int = 40_981


class Parent(NamedTuple):
    """What the new IKE SA derives from."""

    suite: IkeSuite
    sk_d: bytes

    def __repr__(self) -> str:
        return f"Parent({self.suite})"


@dataclass(frozen=True, slots=True)
class Successor:
    """An IKE SA that replaces another, before its first message."""

    suite: IkeSuite
    keys: IkeKeys = field(repr=False)
    gsk_w: bytes = field(repr=False)
    spi_i: bytes
    spi_r: bytes
    initiator: bool
    """Whether the request for it was ours: then we are its original initiator."""
    lowest_nonce: bytes


@dataclass(frozen=True, slots=True)
class RekeyRequest:
    """Our request, while it waits for the response."""

    spi: bytes
    """Ours on the new IKE SA."""
    nonce: bytes
    method: int
    pair: KeyPair = field(repr=False)
    proposals: SecurityAssociation | None
    """None: optimized."""

    def payloads(self, optimized_rekey: int) -> tuple[Payload, ...]:
        """Return the request's payloads; the number is that of the notification."""
        head: Payload = self.proposals or Notify(optimized_rekey, self.spi)
        return (head, Nonce(self.nonce), KeyExchange(self.method, self.pair.public))


def begin(
    parent: Parent,
    accepted: SecurityAssociation,
    spi: bytes,
    entropy: Entropy,
    *,
    optimized: bool,
    method: int | None = None,
) -> RekeyRequest:
    """Make a request; `method` is what an INVALID_KE_PAYLOAD asked for."""
    wanted = parent.suite.ke if method is None else method
    offer = None if optimized else _with_spi(accepted, spi)
    return RekeyRequest(spi, entropy(NONCE_OCTETS), wanted, generate(wanted), offer)


def is_ike_rekey(contents: Contents, optimized_rekey: int) -> bool:
    """Tell whether a CREATE_CHILD_SA request replaces the IKE SA, not a Child SA."""
    sa = contents.maybe(SecurityAssociation)
    if sa is not None:
        return all(p.protocol == ProtocolId.IKE for p in sa.proposals)
    optimized = contents.notify(optimized_rekey)
    return optimized is not None and contents.notify(NotifyType.REKEY_SA) is None


def answer(
    contents: Contents,
    parent: Parent,
    accepted: SecurityAssociation,
    spi: bytes,
    entropy: Entropy,
    *,
    optimized_rekey: int | None,
) -> tuple[tuple[Payload, ...], Successor]:
    """Answer the peer's request; return the payloads and the new IKE SA.

    `optimized_rekey` is the notification's number, None where it wasn't
    negotiated.  Raises `NoProposalChosen`, `InvalidKePayload`, `InvalidSyntax`,
    `InvalidPublicKey`.
    """
    head: Payload
    offer = contents.maybe(SecurityAssociation)
    if offer is not None:
        choice = choose(offer, accepted, spi=spi)
        suite, head = choice.suite, choice.answer
        spi_i = _chosen_spi(offer, choice.answer.proposals[0].number)
    else:
        suite, spi_i = _inherited(contents, parent, optimized_rekey)
        head = Notify(optimized_rekey or 0, spi)
    ke = contents.maybe(KeyExchange)
    if ke is None or ke.method != suite.ke:
        raise InvalidKePayload(
            f"the new IKE SA needs {Ke(suite.ke)}", data=suite.ke.to_bytes(2, "big")
        )
    pair, nonce = generate(suite.ke), entropy(NONCE_OCTETS)
    ni = contents.one(Nonce).data
    keys = _derive(parent, suite, pair.agree(ke.data), (ni, nonce), (spi_i, spi))
    made = _successor(suite, keys, (spi_i, spi), (ni, nonce), initiator=False)
    return (head, Nonce(nonce), KeyExchange(suite.ke, pair.public)), made


def complete(
    request: RekeyRequest, contents: Contents, parent: Parent, optimized_rekey: int
) -> Successor:
    """Make the new IKE SA from the response to our request.

    Raises `NoProposalChosen`, `InvalidSyntax`, `InvalidPublicKey`.
    """
    sa, ke = contents.maybe(SecurityAssociation), contents.maybe(KeyExchange)
    if request.proposals is None:
        suite, spi_r = _inherited(contents, parent, optimized_rekey)
    elif sa is not None:
        suite, spi_r = check_answer(request.proposals, sa), _spi(sa.proposals[0].spi)
    else:
        raise InvalidSyntax("no SA payload in the response to an IKE SA rekey")
    if ke is None or ke.method != request.method or suite.ke != request.method:
        raise InvalidSyntax("another key exchange method in the response")
    ni, nr = request.nonce, contents.one(Nonce).data
    spis = (request.spi, spi_r)
    keys = _derive(parent, suite, request.pair.agree(ke.data), (ni, nr), spis)
    return _successor(suite, keys, spis, (ni, nr), initiator=True)


class Try(NamedTuple):
    """How to ask once more."""

    optimized: bool
    method: int | None


def next_try(request: RekeyRequest, refused: Notify, accepted: SecurityAssociation) -> Try | None:
    """Return what to ask after a refusal; None: not now.

    A peer that can't do the optimized rekey answers NO_PROPOSAL_CHOSEN, one that
    wants another key exchange method INVALID_KE_PAYLOAD (RFC 7296 section 1.3).
    """
    optimized = request.proposals is None
    if refused.type == NotifyType.NO_PROPOSAL_CHOSEN and optimized:
        return Try(optimized=False, method=None)
    if refused.type == NotifyType.INVALID_KE_PAYLOAD and len(refused.data) == _METHOD_OCTETS:
        method = int.from_bytes(refused.data, "big")
        offered = {t.id for p in accepted.proposals for t in p.transforms if t.type == _KE}
        if method in offered and method != request.method:
            return Try(optimized, method)
    return None


def protection_of(made: Successor, entropy: Entropy) -> IkeProtection:
    """Return the protection of the new IKE SA, from our side."""
    keys, make = made.keys, made.suite.make_cipher
    by_initiator, by_responder = make(keys.sk_ei, keys.sk_ai), make(keys.sk_er, keys.sk_ar)
    outbound, inbound = (
        (by_initiator, by_responder) if made.initiator else (by_responder, by_initiator)
    )
    return IkeProtection(made.spi_i, made.spi_r, outbound, inbound, entropy)


def surviving(first: Successor, second: Successor) -> Successor:
    """Return which of two that were made at the same time is kept (RFC 7296 section 2.8.2).

    The one made with the lowest of the four nonces is closed, by who asked for it.
    Nonces are compared octet by octet (section 2.8.1), as Python compares `bytes`.
    """
    return second if first.lowest_nonce < second.lowest_nonce else first


def _inherited(
    contents: Contents, parent: Parent, optimized_rekey: int | None
) -> tuple[IkeSuite, bytes]:
    notify = contents.notify(optimized_rekey) if optimized_rekey is not None else None
    if notify is None:
        raise NoProposalChosen("an optimized rekey, which was not negotiated")
    if notify.protocol or notify.spi:
        raise InvalidSyntax("OPTIMIZED_REKEY has neither protocol nor SPI field")
    return parent.suite, _spi(notify.data)


def _derive(
    parent: Parent,
    suite: IkeSuite,
    shared: bytes,
    nonces: tuple[bytes, bytes],
    spis: tuple[bytes, bytes],
) -> IkeKeys:
    return rekey_keys(parent.suite, parent.sk_d, suite, shared, *nonces, *spis)


def _successor(
    suite: IkeSuite,
    keys: IkeKeys,
    spis: tuple[bytes, bytes],
    nonces: tuple[bytes, bytes],
    *,
    initiator: bool,
) -> Successor:
    gsk_w = derive_gsk_w(suite, keys.sk_d)
    return Successor(suite, keys, gsk_w, *spis, initiator, min(nonces))


def _with_spi(accepted: SecurityAssociation, spi: bytes) -> SecurityAssociation:
    return SecurityAssociation(tuple(replace(p, spi=spi) for p in accepted.proposals))


def _chosen_spi(offer: SecurityAssociation, number: int) -> bytes:
    return _spi(next(p.spi for p in offer.proposals if p.number == number))


def _spi(octets: bytes) -> bytes:
    """RFC 7296 section 3.3.1: 8 octets when an IKE SA is rekeyed, never zero."""
    if len(octets) != IKE_SPI_OCTETS or octets == NO_SPI:
        raise InvalidSyntax(f"an IKE SPI of {len(octets)} octets, or zero")
    return octets
