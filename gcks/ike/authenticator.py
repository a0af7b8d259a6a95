"""The content of AUTH payloads in GSA_AUTH (RFC 7296 section 2.15, RFC 7427)."""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest
from typing import Final

from gcks.crypto.errors import CryptoError
from gcks.crypto.prf import prf
from gcks.crypto.signature import PublicKey, SignatureAlgorithm, SigningKey, verify
from gcks.errors import AuthenticationFailed, RefusalReason, WireError
from gcks.iana import AuthMethod
from gcks.wire.authentication import (
    Authentication,
    DigitalSignature,
    decode_digital_signature,
)

PSK_PAD: Final = b"Key Pad for IKEv2"


def signed_octets(
    prf_id: int, real_message: bytes, peer_nonce: bytes, sk_p: bytes, rest_of_id: bytes
) -> bytes:
    """Return InitiatorSignedOctets or ResponderSignedOctets (RFC 7296 section 2.15).

    `real_message` is the signer's own IKE_SA_INIT message as it was sent, `rest_of_id`
    the body of its ID payload, `sk_p` its SK_pi or SK_pr.
    """
    return real_message + peer_nonce + prf(prf_id, sk_p, rest_of_id)


def psk_authentication(prf_id: int, secret: bytes, octets: bytes) -> Authentication:
    """Make the AUTH payload of a pre-shared key (RFC 7296 section 2.15)."""
    data = prf(prf_id, prf(prf_id, secret, PSK_PAD), octets)
    return Authentication(AuthMethod.SHARED_KEY_MIC, data)


def verify_psk(prf_id: int, secret: bytes, octets: bytes, auth: Authentication) -> None:
    """Check a peer's AUTH in constant time (RFC 7296 section 2.15).

    Raises `AuthenticationFailed`: another method, or another key.
    """
    expected = psk_authentication(prf_id, secret, octets)
    if auth.method != AuthMethod.SHARED_KEY_MIC or not compare_digest(auth.data, expected.data):
        raise AuthenticationFailed(
            "the pre-shared keys differ", RefusalReason.PSK_MISMATCH, hint="compare both PSKs"
        )


def sign(key: SigningKey, algorithm: SignatureAlgorithm, octets: bytes) -> Authentication:
    """Make the AUTH payload of a digital signature (RFC 7427 section 3)."""
    signature = DigitalSignature(algorithm.identifier, key.sign(algorithm, octets))
    return Authentication(AuthMethod.DIGITAL_SIGNATURE, signature.encode_data())


def verify_signature(keys: Sequence[PublicKey], octets: bytes, auth: Authentication) -> None:
    """Check a peer's digital signature by one of its keys (RFC 7427 section 3).

    Raises `AuthenticationFailed`: another method, malformed data, or no key that fits.
    """
    if auth.method != AuthMethod.DIGITAL_SIGNATURE:
        raise AuthenticationFailed(
            f"expected a digital signature, got {AuthMethod(auth.method)}",
            RefusalReason.AUTH_METHOD,
            hint="let the peer use digital signatures (RFC 7427)",
        )
    try:
        content = decode_digital_signature(auth.data)
    except WireError as error:
        raise AuthenticationFailed(str(error)) from None
    cause = "no public key to verify with"
    for key in keys:
        try:
            verify(key, content.algorithm_identifier, content.signature, octets)
        except CryptoError as error:
            cause = str(error)
        else:
            return
    raise AuthenticationFailed(
        cause,
        RefusalReason.BAD_SIGNATURE,
        hint="let the peer's private key be the one that belongs to its certificate",
    )
