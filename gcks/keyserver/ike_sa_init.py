"""IKE_SA_INIT as the responder (RFC 7296 section 1.2, RFC 9838 section 2.3.4).

HDR, SAi1, KEi, Ni, [N(COOKIE),] N(NAT...), N(HASHES)   -->
             <--   HDR, SAr1, KEr, Nr, N(NAT...), N(HASHES), [N(AUTH_METHODS),] [CERTREQ]
        or   <--   HDR, N(COOKIE)  |  N(INVALID_KE_PAYLOAD)  |  N(NO_PROPOSAL_CHOSEN)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gcks.crypto.key_exchange import generate
from gcks.crypto.prf import PRFS
from gcks.datagrams import Path
from gcks.errors import InvalidKePayload, InvalidSyntax, NoProposalChosen, RefusalReason
from gcks.iana import ExchangeType, Ke, NotifyType, TransformType
from gcks.ike.legality import Contents, Rule, check
from gcks.ike.nat import behind_nat, detection_payloads
from gcks.ike.negotiation import Choice, choose, offers_kwa, without_kwa
from gcks.ike.proof import ANNOUNCED_HASHES, announced_hashes
from gcks.keyserver.configured import Configured
from gcks.keyserver.ike_sa import HalfOpen
from gcks.keyserver.settings import ServerSettings
from gcks.wire.header import FLAG_RESPONSE, NO_SPI, Header
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.message import encode_message
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.sa import SecurityAssociation

NONCE_OCTETS: Final = 32
"""At least half the key size of the largest PRF (RFC 7296 section 2.10)."""

MAX_REQUEST_OCTETS: Final = 4096
"""Kept per half-open SA (AUTH signs it); the largest honest ones have about 2,500."""

REQUEST: Final = Rule(ExchangeType.IKE_SA_INIT, is_response=False)
CHILDLESS_SUPPORTED: Final = Notify(NotifyType.CHILDLESS_IKEV2_SUPPORTED)
"""RFC 6023 section 3."""
FRAGMENTATION_SUPPORTED: Final = Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)
"""RFC 7383 section 2.3."""


@dataclass(frozen=True, slots=True)
class InitRequest:
    """A well-formed IKE_SA_INIT request."""

    header: Header
    datagram: bytes
    path: Path
    contents: Contents

    @property
    def nonce(self) -> bytes:
        return self.contents.one(Nonce).data

    @property
    def cookie(self) -> bytes:
        cookie = self.contents.notify(NotifyType.COOKIE)
        return cookie.data if cookie else b""


def read_request(
    header: Header, payloads: tuple[Payload, ...], datagram: bytes, path: Path
) -> InitRequest:
    """Check the request against its table.  Raises `PeerError`."""
    return InitRequest(header, datagram, path, check(REQUEST, payloads))


def offered_prf(request: InitRequest) -> int:
    """Return the first PRF in the peer's offer that we have, for a puzzle (RFC 8019 7.1.1.2).

    Raises `NoProposalChosen`.
    """
    offer = request.contents.one(SecurityAssociation)
    for proposal in offer.proposals:
        for transform in proposal.transforms:
            if transform.type == TransformType.PRF and transform.id in PRFS:
                return transform.id
    raise NoProposalChosen("no PRF that this server has", RefusalReason.NO_COMMON_SUITE)


def answer_in_clear(header: Header, *notifies: Notify) -> bytes:
    """Build an IKE_SA_INIT response that refuses and keeps no state."""
    return encode_message(
        header.spi_i, NO_SPI, header.exchange, FLAG_RESPONSE, header.message_id, notifies
    )


def negotiate(request: InitRequest, settings: ServerSettings) -> Choice:
    """Choose the suite.

    Raises `NoProposalChosen`, and `InvalidKePayload` with the wanted method
    where the KE payload guessed another (RFC 7296 section 1.2).
    """
    offer, accepted = request.contents.one(SecurityAssociation), settings.ike_proposals
    if settings.childless and not offers_kwa(offer):
        accepted = without_kwa(accepted)  # a peer of plain IKEv2: it registers to no group
    choice = choose(offer, accepted)
    if request.contents.one(KeyExchange).method != choice.suite.ke:
        raise InvalidKePayload(
            f"the KE payload is for {Ke(request.contents.one(KeyExchange).method)}, "
            f"not {Ke(choice.suite.ke)}",
            data=choice.suite.ke.to_bytes(2, "big"),
        )
    return choice


def accept(
    request: InitRequest,
    choice: Choice,
    configured: Configured,
    *,
    spi_r: bytes,
    nonce: bytes,
    now: float,
) -> HalfOpen:
    """Make the half-open IKE SA and its response, with our SPI (8 octets) and nonce.

    Raises `InvalidSyntax` for a public key of the wrong size: both sides' have the same.
    """
    settings, credentials = configured.settings, configured.credentials
    pair = generate(choice.suite.ke)
    public = request.contents.one(KeyExchange).data
    if len(public) != len(pair.public):
        raise InvalidSyntax(f"a {Ke(choice.suite.ke)} public key of {len(public)} octets")
    hashes = request.contents.notify(NotifyType.SIGNATURE_HASH_ALGORITHMS)
    fragments = request.contents.notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)
    half = HalfOpen(
        spi_i=request.header.spi_i,
        spi_r=spi_r,
        suite=choice.suite,
        pair=pair,
        peer_public=public,
        ni=request.nonce,
        nr=nonce,
        request=request.datagram,
        path=request.path,
        hashes=announced_hashes(request.contents),
        fragment_octets=settings.fragment_octets if fragments else None,
        behind_nat=_behind_nat(request),
        began_at=now,
        due=now + settings.half_open_seconds,
    )
    payloads: list[Payload] = [
        choice.answer,
        KeyExchange(choice.suite.ke, pair.public),
        Nonce(half.nr),
        *detection_payloads(half.spi_i, spi_r, request.path.local, request.path.remote),
    ]
    if hashes is not None:
        payloads.append(ANNOUNCED_HASHES)
    if settings.childless:
        payloads.append(CHILDLESS_SUPPORTED)
    if half.fragment_octets is not None:
        payloads.append(FRAGMENTATION_SUPPORTED)
    if credentials.announcement is not None:
        payloads.append(credentials.announcement)
    payloads += credentials.requests
    half.response = encode_message(
        half.spi_i, spi_r, ExchangeType.IKE_SA_INIT, FLAG_RESPONSE, 0, payloads
    )
    return half


def _behind_nat(request: InitRequest) -> bool:
    """Tell whether we are: the peer reached us at another address than ours."""
    path, notifies = request.path, request.contents.all(Notify)
    return behind_nat(notifies, request.header.spi_i, NO_SPI, path.remote, path.local)[1]
