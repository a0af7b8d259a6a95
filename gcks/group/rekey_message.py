"""GSA_REKEY messages: built, signed and sealed; opened and verified (RFC 9838 section 2.4.1).

What is signed is A | P: the IKE header and the Encrypted payload header with
lengths that don't count IV, padding and ICV, then the inner payloads in clear
with the signature value zero (section 2.4.1.1, rulings 2 and 32).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gcks.crypto.encr import Cipher, make_cipher
from gcks.crypto.errors import CryptoError, SignatureInvalid
from gcks.crypto.signature import (
    SignatureAlgorithm,
    SigningKey,
    check_auth_key,
    load_public_key,
    verify,
)
from gcks.errors import Discard, DropReason, WireError
from gcks.group.key_download import RekeyKeys, find_transform
from gcks.iana import AuthMethod, ExchangeType, GcAuth, Integ, PayloadType, TransformType
from gcks.ike.protect import (
    Envelope,
    Fragment,
    Inner,
    header_octets,
    open_chain,
    open_fragment,
    seal_chain,
    seal_fragments,
)
from gcks.wire.authentication import (
    Authentication,
    DigitalSignature,
    decode_digital_signature,
)
from gcks.wire.encrypted import GENERIC, SK_BODY_AT
from gcks.wire.header import HEADER_OCTETS, IKE_SPI_OCTETS, Header
from gcks.wire.payloads import Payload, decode_chain, encode_chain
from gcks.wire.transform import Transform

GSA_REKEY_FLAGS: Final = 0
"""A Rekey SA has no original initiator (ruling 10)."""

_SIGNATURE_OCTETS: Final = {
    "ed25519": 64,
    "ecdsa-sha256": 71,
    "ecdsa-sha384": 103,
    "rsa-pss-sha256": 384,
}
"""The size signed for; DER ECDSA signatures have half the time this one (ruling 2)."""

_MAX_SIGNING_TRIES: Final = 64


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs GSA_REKEY for one group."""

    key: SigningKey
    algorithm: SignatureAlgorithm


def rekey_cipher(transforms: Sequence[Transform], keys: RekeyKeys) -> Cipher:
    """Make the cipher of a Rekey SA from its transforms."""
    encr = find_transform(transforms, TransformType.ENCR)
    integ = find_transform(transforms, TransformType.INTEG)
    if encr is None:
        raise WireError("a Rekey SA without ENCR")
    return make_cipher(encr.id, integ.id if integ else Integ.NONE, keys.gsk_e, keys.gsk_a)


def envelope(spi: bytes, message_id: int) -> Envelope:
    """The header fields of a GSA_REKEY; `spi` has 16 octets."""
    halves = spi[:IKE_SPI_OCTETS], spi[IKE_SPI_OCTETS:]
    return Envelope(*halves, ExchangeType.GSA_REKEY, GSA_REKEY_FLAGS, message_id)


def build_chain(
    head: Envelope, payloads: Sequence[Payload], signer: Signer | None
) -> tuple[int, bytes]:
    """Return the first payload's type and the inner payloads, signed where there is a signer."""
    if signer is None:
        return encode_chain(payloads)
    size = _SIGNATURE_OCTETS[signer.algorithm.name]
    first, zeroed = encode_chain((*payloads, _auth(signer, bytes(size))))
    signature = _sign(signer, chunk_a(head, first, 0, len(zeroed)) + zeroed, size)
    return first, zeroed[: len(zeroed) - size] + signature


def build_rekey(
    cipher: Cipher,
    ivs: Iterator[bytes],
    head: Envelope,
    payloads: Sequence[Payload],
    signer: Signer | None,
    max_octets: int | None = None,
) -> tuple[bytes, ...]:
    """Build a GSA_REKEY: one datagram, or fragments where it is larger than `max_octets`.

    The signature covers the whole message (section 2.4.1.2); each fragment takes
    an IV of its own.
    """
    first, chain = build_chain(head, payloads, signer)
    overhead = SK_BODY_AT + cipher.iv_octets + cipher.block_octets + cipher.icv_octets
    if max_octets is None or len(chain) + overhead <= max_octets:
        return (seal_chain(cipher, next(ivs), head, first, chain),)
    return seal_fragments(cipher, ivs.__next__, head, first, chain, max_octets)


def chunk_a(head: Envelope, first: int, reserved: int, chain_octets: int) -> bytes:
    """Return chunk A with AdjustedLen and AdjustedPldLen."""
    payload = GENERIC.size + chain_octets
    return header_octets(head, PayloadType.SK, HEADER_OCTETS + payload) + GENERIC.pack(
        first, reserved, payload
    )


def _auth(signer: Signer, signature: bytes) -> Authentication:
    data = DigitalSignature(signer.algorithm.identifier, signature).encode_data()
    return Authentication(AuthMethod.DIGITAL_SIGNATURE, data)


def _sign(signer: Signer, data: bytes, size: int) -> bytes:
    for _ in range(_MAX_SIGNING_TRIES):
        signature = signer.key.sign(signer.algorithm, data)
        if len(signature) == size:
            return signature
    raise SignatureInvalid(f"no {signer.algorithm.name} signature of {size} octets")


# --- the receiver ---------------------------------------------------------------------


def open_whole(datagram: bytes, header: Header, cipher: Cipher) -> Inner:
    """Decrypt a GSA_REKEY in one datagram.  Raises `Discard`: nothing of it is answered."""
    try:
        return open_chain(cipher, datagram, header)
    except WireError as error:
        raise Discard(DropReason.MALFORMED, str(error)) from error


def open_part(datagram: bytes, header: Header, cipher: Cipher) -> Fragment:
    """Decrypt one fragment of a GSA_REKEY.  Raises `Discard`."""
    try:
        return open_fragment(cipher, datagram, header)
    except WireError as error:
        raise Discard(DropReason.MALFORMED, str(error)) from error


def verify_rekey(
    header: Header, inner: Inner, gcauth: Transform, auth_key: bytes | None
) -> tuple[Payload, ...]:
    """Read and verify a decrypted GSA_REKEY; the Message ID is the caller's to judge.

    `gcauth` is the transform and `auth_key` the SubjectPublicKeyInfo of the
    registration.  Raises `Discard`.
    """
    try:
        return _verified_payloads(header, inner, gcauth, auth_key)
    except WireError as error:
        raise Discard(DropReason.MALFORMED, str(error)) from error


def _verified_payloads(
    header: Header, inner: Inner, gcauth: Transform, auth_key: bytes | None
) -> tuple[Payload, ...]:
    """Decode the inner payloads and check their origin (section 4.4.2.1.1)."""
    payloads = decode_chain(inner.first, inner.octets)
    signed = [payload for payload in payloads if isinstance(payload, Authentication)]
    if gcauth.id == GcAuth.IMPLICIT:
        if signed:
            raise Discard(DropReason.BAD_SIGNATURE, "AUTH under implicit authentication")
        return payloads
    if len(signed) != 1 or auth_key is None:
        raise Discard(DropReason.BAD_SIGNATURE, f"{len(signed)} AUTH payloads")
    try:
        _verify(header, inner, signed[0], gcauth, auth_key)
    except CryptoError as error:
        raise Discard(DropReason.BAD_SIGNATURE, str(error)) from None
    return payloads


def _verify(
    header: Header, inner: Inner, auth: Authentication, gcauth: Transform, auth_key: bytes
) -> None:
    if auth.method != AuthMethod.DIGITAL_SIGNATURE:
        raise SignatureInvalid(f"AUTH method {AuthMethod(auth.method)}")
    content = decode_digital_signature(auth.data)
    if content.algorithm_identifier != gcauth.signature_algorithm:
        raise SignatureInvalid("not the algorithm of the GCAUTH transform")
    check_auth_key(auth_key, content.algorithm_identifier)
    size, end = len(content.signature), _end_of_auth(inner)
    zeroed = inner.octets[: end - size] + bytes(size) + inner.octets[end:]
    head = Envelope(header.spi_i, header.spi_r, header.exchange, header.flags, header.message_id)
    signed = chunk_a(head, inner.first, inner.reserved, len(zeroed)) + zeroed
    verify(load_public_key(auth_key), content.algorithm_identifier, content.signature, signed)


def _end_of_auth(inner: Inner) -> int:
    """Return where the AUTH payload of a chain that was decoded ends.

    It stands last in the figures, but a message MUST NOT be rejected for the
    order of its payloads (RFC 7296 section 2.5); all of them are signed anyway.
    """
    kind, at = inner.first, 0
    while at < len(inner.octets):
        following, _, octets = GENERIC.unpack_from(inner.octets, at)
        end = at + max(int(octets), GENERIC.size)
        if kind == PayloadType.AUTH:
            return end
        kind, at = following, end
    raise WireError("no AUTH payload in the chain")
