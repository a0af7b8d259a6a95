"""The payload chain: every payload type, its record and its two functions.

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
| Next Payload  |C|  RESERVED   |         Payload Length        |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final

from gcks.errors import WireError
from gcks.iana import PayloadType
from gcks.wire.authentication import Authentication, decode_authentication
from gcks.wire.certificate import (
    Certificate,
    CertificateRequest,
    decode_certificate,
    decode_certificate_request,
)
from gcks.wire.delete import Delete, decode_delete
from gcks.wire.gsa import GroupSecurityAssociation, decode_gsa
from gcks.wire.header import MAX_MESSAGE_OCTETS
from gcks.wire.identification import IDg, IDi, IDr, decode_idg, decode_idi, decode_idr
from gcks.wire.kd import KeyDownload, decode_kd
from gcks.wire.key_exchange import KeyExchange, decode_key_exchange
from gcks.wire.nonce import Nonce, decode_nonce
from gcks.wire.notify import Notify, decode_notify
from gcks.wire.puzzle import PuzzleSolution, decode_puzzle_solution
from gcks.wire.sa import SecurityAssociation, decode_sa
from gcks.wire.traffic_selector import (
    TrafficSelectorsI,
    TrafficSelectorsR,
    decode_selectors_i,
    decode_selectors_r,
)
from gcks.wire.unknown import EncodedPayload, UnknownPayload
from gcks.wire.vendor import VendorId, decode_vendor

Payload = (
    SecurityAssociation
    | KeyExchange
    | IDi
    | IDr
    | IDg
    | Certificate
    | CertificateRequest
    | Authentication
    | Nonce
    | Notify
    | Delete
    | VendorId
    | TrafficSelectorsI
    | TrafficSelectorsR
    | GroupSecurityAssociation
    | KeyDownload
    | PuzzleSolution
    | UnknownPayload
    | EncodedPayload
)

MAX_PAYLOADS: Final = 64
"""In one message; strongSwan's largest requests have about 20."""

CRITICAL: Final = 0x80
_GENERIC: Final = Struct(">BBH")

_DECODERS: Final[dict[int, Callable[[bytes], Payload]]] = {
    PayloadType.SA: decode_sa,
    PayloadType.KE: decode_key_exchange,
    PayloadType.IDi: decode_idi,
    PayloadType.IDr: decode_idr,
    PayloadType.CERT: decode_certificate,
    PayloadType.CERTREQ: decode_certificate_request,
    PayloadType.AUTH: decode_authentication,
    PayloadType.NONCE: decode_nonce,
    PayloadType.NOTIFY: decode_notify,
    PayloadType.DELETE: decode_delete,
    PayloadType.VENDOR: decode_vendor,
    PayloadType.TSi: decode_selectors_i,
    PayloadType.TSr: decode_selectors_r,
    PayloadType.IDg: decode_idg,
    PayloadType.GSA: decode_gsa,
    PayloadType.KD: decode_kd,
    PayloadType.PS: decode_puzzle_solution,
}

_TYPES: Final[dict[type, PayloadType]] = {
    SecurityAssociation: PayloadType.SA,
    KeyExchange: PayloadType.KE,
    IDi: PayloadType.IDi,
    IDr: PayloadType.IDr,
    Certificate: PayloadType.CERT,
    CertificateRequest: PayloadType.CERTREQ,
    Authentication: PayloadType.AUTH,
    Nonce: PayloadType.NONCE,
    Notify: PayloadType.NOTIFY,
    Delete: PayloadType.DELETE,
    VendorId: PayloadType.VENDOR,
    TrafficSelectorsI: PayloadType.TSi,
    TrafficSelectorsR: PayloadType.TSr,
    IDg: PayloadType.IDg,
    GroupSecurityAssociation: PayloadType.GSA,
    KeyDownload: PayloadType.KD,
    PuzzleSolution: PayloadType.PS,
}


def payload_type(payload: Payload) -> int:
    """Return the payload type number that announces `payload` (RFC 7296 section 3.2)."""
    if isinstance(payload, UnknownPayload | EncodedPayload):
        return payload.type
    return _TYPES[type(payload)]


def decode_chain(first: int, octets: bytes) -> tuple[Payload, ...]:
    """Read the chain of payloads that begins with type `first` and fills `octets`.

    Each has 4 octets or more (RFC 7296 section 3.2).  Unknown payloads come back as
    `UnknownPayload`; RESERVED bits are ignored and so is the critical bit of known ones
    (RFC 7296 section 2.5).  Raises `WireError`: a payload that is truncated or runs
    past the end, one whose body is malformed, octets after the last, or more than
    `MAX_PAYLOADS`.
    """
    payloads: list[Payload] = []
    position, end, kind = 0, len(octets), first
    while kind:
        if len(payloads) == MAX_PAYLOADS:
            raise WireError(f"more than {MAX_PAYLOADS} payloads")
        if end - position < _GENERIC.size:
            raise WireError("truncated payload header")
        following, flags, length = _GENERIC.unpack_from(octets, position)
        if length < _GENERIC.size or length > end - position:
            raise WireError(f"{PayloadType(kind)} payload length {length} does not fit")
        body = octets[position + _GENERIC.size : position + length]
        decoder = _DECODERS.get(kind)
        if decoder is None:
            payloads.append(UnknownPayload(kind, bool(flags & CRITICAL), body))
        else:
            payloads.append(decoder(body))
        position += length
        kind = following
    if position != end:
        raise WireError("octets follow the last payload")
    return tuple(payloads)


def encode_chain(payloads: Sequence[Payload]) -> tuple[int, bytes]:
    """Return the type of the first payload and the octets of the chain.

    RFC 7296 section 3.2.  Raises ValueError where a payload is larger than 65,535
    octets.
    """
    kinds = [payload_type(payload) for payload in payloads]
    kinds.append(PayloadType.NONE)
    parts: list[bytes] = []
    for following, payload in zip(kinds[1:], payloads, strict=True):
        body = payload.encode()
        flags = CRITICAL if isinstance(payload, UnknownPayload) and payload.critical else 0
        length = _GENERIC.size + len(body)
        if length > MAX_MESSAGE_OCTETS:
            raise ValueError(f"{type(payload).__name__} of {length} octets")
        parts.append(_GENERIC.pack(following, flags, length))
        parts.append(body)
    return kinds[0], b"".join(parts)
