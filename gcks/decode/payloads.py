"""One small function for each payload: a decoded record to what it says (RFC 7296 section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from gcks.crypto import certificate_reading
from gcks.crypto.errors import CryptoError
from gcks.decode.fields import (
    count_text,
    identity_text,
    octets_text,
    printable,
    protocol_text,
    selector_text,
    signature_name,
    transform_item,
)
from gcks.decode.group_payloads import gsa_items, kd_items
from gcks.decode.model import Context, Item
from gcks.decode.notifies import notify_items
from gcks.errors import WireError
from gcks.group.spread import SPREAD_VENDOR
from gcks.iana import AuthMethod, CertEncoding, IdType, Ke, ProtocolId
from gcks.wire.authentication import Authentication, decode_digital_signature
from gcks.wire.certificate import Certificate, CertificateRequest
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.identification import IDg, IDi, IDr
from gcks.wire.kd import KeyDownload
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.puzzle import PuzzleSolution
from gcks.wire.sa import SecurityAssociation
from gcks.wire.traffic_selector import TrafficSelectorsI, TrafficSelectorsR
from gcks.wire.unknown import UnknownPayload
from gcks.wire.vendor import VendorId

_DIGEST_OCTETS: Final = 20
_SHOWN_DIGESTS: Final = 16


def _sa(sa: SecurityAssociation, context: Context) -> Iterator[Item]:
    del context
    for proposal in sa.proposals:
        spi = f", SPI {proposal.spi.hex()}" if proposal.spi else ""
        transforms = tuple(map(transform_item, proposal.transforms))
        yield Item(
            f"proposal {proposal.number}", f"{protocol_text(proposal.protocol)}{spi}", transforms
        )


def _ke(ke: KeyExchange, context: Context) -> Iterator[Item]:
    del context
    yield Item("method", str(Ke(ke.method)))
    yield Item("public value", count_text(ke.data))


def _nonce(nonce: Nonce, context: Context) -> Iterator[Item]:
    del context
    yield Item("nonce", count_text(nonce.data))


def _identity(payload: IDi | IDr | IDg, context: Context) -> Iterator[Item]:
    del context
    identity = payload.identity
    yield Item("ID type", str(IdType(identity.type)))
    yield Item("identity", identity_text(identity))


def _cert(cert: Certificate, context: Context) -> Iterator[Item]:
    del context
    yield Item("encoding", str(CertEncoding(cert.encoding)))
    if cert.encoding == CertEncoding.X509_SIGNATURE:
        yield from _x509(cert.data)
    elif cert.encoding == CertEncoding.HASH_AND_URL:
        url = cert.data[_DIGEST_OCTETS:].decode("ascii", "replace")
        yield Item("URL", printable(url))
    yield Item("size", count_text(cert.data))


def _x509(der: bytes) -> Iterator[Item]:
    try:
        certificate = certificate_reading.parse(der)
        yield Item("subject", printable(certificate_reading.subject(certificate)))
        yield Item("issuer", printable(certificate.issuer.rfc4514_string()))
        yield Item("serial number", f"{certificate.serial_number:x}")
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        yield Item("valid", f"{begins:%Y-%m-%d} to {ends:%Y-%m-%d}")
    except (CryptoError, *certificate_reading.UNREADABLE) as error:
        yield Item("malformed", printable(str(error)))


def _certreq(request: CertificateRequest, context: Context) -> Iterator[Item]:
    del context
    yield Item("encoding", str(CertEncoding(request.encoding)))
    if not request.authorities:
        yield Item("CA", "any")
    elif len(request.authorities) % _DIGEST_OCTETS:
        yield Item("authorities", count_text(request.authorities))
    else:
        yield from _digests(request.authorities)


def _digests(authorities: bytes) -> Iterator[Item]:
    """RFC 7296 section 3.7: SHA-1 hashes of the public keys of trusted CAs."""
    starts = range(0, len(authorities), _DIGEST_OCTETS)
    for at in starts[:_SHOWN_DIGESTS]:
        yield Item("CA", f"key with SHA-1 {authorities[at : at + _DIGEST_OCTETS].hex()}")
    if len(starts) > _SHOWN_DIGESTS:
        yield Item("CA", f"and {len(starts) - _SHOWN_DIGESTS} more")


_AUTH_NAMES: Final = {
    AuthMethod.RSA: "RSA Digital Signature",
    AuthMethod.SHARED_KEY_MIC: "Shared Key Message Integrity Code",
    AuthMethod.NULL: "NULL Authentication (RFC 7619)",
    AuthMethod.DIGITAL_SIGNATURE: "Digital Signature (RFC 7427)",
}


def _auth(auth: Authentication, context: Context) -> Iterator[Item]:
    del context
    method = AuthMethod(auth.method)
    yield Item("method", _AUTH_NAMES.get(method, str(method)))
    if method != AuthMethod.DIGITAL_SIGNATURE:
        yield Item("data", count_text(auth.data))
        return
    try:
        content = decode_digital_signature(auth.data)
    except WireError as error:
        yield Item("malformed", str(error))
        return
    yield Item("algorithm", signature_name(content.algorithm_identifier))
    yield Item("signature", count_text(content.signature))


def _delete(delete: Delete, context: Context) -> Iterator[Item]:
    del context
    if delete.protocol == ProtocolId.NONE:
        yield Item("deletes", "the whole GSA: all SAs of the group (RFC 9838 section 4.6)")
        return
    name = protocol_text(delete.protocol)
    if delete.protocol == ProtocolId.IKE:
        yield Item("deletes", "this IKE SA")
    for spi in delete.spis:
        text = f"{name} SPI {spi.hex()}" if any(spi) else f"all {name} SAs (SPI zero)"
        yield Item("deletes", text)


def _vendor(vendor: VendorId, context: Context) -> Iterator[Item]:
    del context
    text = vendor.data.decode("ascii", "replace")
    if text and text.isascii() and text.isprintable():
        yield Item("text", text)
    if vendor == SPREAD_VENDOR:
        yield Item("known as", "gcks REREGISTRATION_SPREAD 1")
    yield Item("octets", octets_text(vendor.data))


def _selectors(payload: TrafficSelectorsI | TrafficSelectorsR, context: Context) -> Iterator[Item]:
    del context
    for selector in payload.selectors:
        yield Item("selector", selector_text(selector))


def _puzzle_solution(solution: PuzzleSolution, context: Context) -> Iterator[Item]:
    del context
    yield Item("keys", count_text(solution.data))


def _notify(notify: Notify, context: Context) -> Iterator[Item]:
    del context
    yield from notify_items(notify)


def _unknown(payload: UnknownPayload, context: Context) -> Iterator[Item]:
    del context
    yield Item("content", f"not explained, {count_text(payload.body)}")


Renderer = Callable[[Any, Context], Iterator[Item]]

RENDERERS: Final[dict[type, Renderer]] = {
    SecurityAssociation: _sa,
    KeyExchange: _ke,
    IDi: _identity,
    IDr: _identity,
    IDg: _identity,
    Certificate: _cert,
    CertificateRequest: _certreq,
    Authentication: _auth,
    Nonce: _nonce,
    Notify: _notify,
    Delete: _delete,
    VendorId: _vendor,
    TrafficSelectorsI: _selectors,
    TrafficSelectorsR: _selectors,
    GroupSecurityAssociation: gsa_items,
    KeyDownload: kd_items,
    PuzzleSolution: _puzzle_solution,
    UnknownPayload: _unknown,
}


def explain(payload: Payload, context: Context) -> tuple[Item, ...]:
    """Say what a payload says."""
    return tuple(RENDERERS[type(payload)](payload, context))
