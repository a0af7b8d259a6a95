"""AUTH payloads (RFC 7296 section 2.15, RFC 7427)."""

from __future__ import annotations

import pytest

from gcks.crypto.prf import prf
from gcks.crypto.signature import SigningKey, load_public_key
from gcks.errors import AuthenticationFailed
from gcks.iana import AuthMethod, Prf
from gcks.ike.authenticator import (
    PSK_PAD,
    psk_authentication,
    sign,
    signed_octets,
    verify_psk,
    verify_signature,
)
from gcks.wire.authentication import Authentication, DigitalSignature, decode_digital_signature

OCTETS = b"message" + b"nonce" + bytes(32)
KEYS = {kind: SigningKey.generate(kind) for kind in ("ed25519", "ecdsa-p256", "ecdsa-p384")}
PRF = Prf.HMAC_SHA2_256


def test_the_pad_has_17_octets_without_terminator() -> None:
    """RFC 7296 section 2.15."""
    assert PSK_PAD == b"Key Pad for IKEv2" and len(PSK_PAD) == 17


def test_signed_octets() -> None:
    """RFC 7296 section 2.15: RealMessage | Nonce | prf(SK_p, RestOfIDPayload)."""
    expected = b"message" + b"nonce" + prf(PRF, b"sk_p", b"\x0b\0\0\0id")
    assert signed_octets(PRF, b"message", b"nonce", b"sk_p", b"\x0b\0\0\0id") == expected


def test_psk_auth_is_of_method_2_and_verifies() -> None:
    auth = psk_authentication(PRF, b"secret", OCTETS)
    assert auth.method == AuthMethod.SHARED_KEY_MIC and len(auth.data) == 32
    verify_psk(PRF, b"secret", OCTETS, auth)


def test_psk_auth_of_another_secret_octets_prf_or_method_fails() -> None:
    """RFC 7296 section 2.21.2."""
    auth = psk_authentication(PRF, b"secret", OCTETS)
    other_method = Authentication(AuthMethod.DIGITAL_SIGNATURE, auth.data)
    shorter = Authentication(auth.method, auth.data[:-1])
    for prf_id, secret, octets, wrong in (
        (PRF, b"other", OCTETS, auth),
        (PRF, b"secret", OCTETS + b"!", auth),
        (Prf.HMAC_SHA2_384, b"secret", OCTETS, auth),
        (PRF, b"secret", OCTETS, other_method),
        (PRF, b"secret", OCTETS, shorter),
        (PRF, b"secret", OCTETS, Authentication(auth.method, b"")),
    ):
        with pytest.raises(AuthenticationFailed):
            verify_psk(prf_id, secret, octets, wrong)


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_a_digital_signature_is_of_method_14_and_verifies(kind: str) -> None:
    """RFC 7427 section 3."""
    auth = sign(KEYS[kind], KEYS[kind].algorithm(), OCTETS)
    assert auth.method == AuthMethod.DIGITAL_SIGNATURE
    identifier = decode_digital_signature(auth.data).algorithm_identifier
    assert auth.data[0] == len(identifier)
    assert identifier == KEYS[kind].algorithm().identifier
    verify_signature([load_public_key(KEYS[kind].public_spki)], OCTETS, auth)


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_a_digital_signature_of_other_octets_key_or_method_fails(kind: str) -> None:
    auth = sign(KEYS[kind], KEYS[kind].algorithm(), OCTETS)
    public = load_public_key(KEYS[kind].public_spki)
    same_kind = load_public_key(SigningKey.generate(kind).public_spki)
    with pytest.raises(AuthenticationFailed):
        verify_signature([public], OCTETS + b"!", auth)
    with pytest.raises(AuthenticationFailed):
        verify_signature([same_kind], OCTETS, auth)
    for method in (AuthMethod.RSA, AuthMethod.SHARED_KEY_MIC, AuthMethod.ECDSA_256, 4711 & 0xFF):
        with pytest.raises(AuthenticationFailed):
            verify_signature([public], OCTETS, Authentication(method, auth.data))


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_truncated_authentication_data_fails(kind: str) -> None:
    auth = sign(KEYS[kind], KEYS[kind].algorithm(), OCTETS)
    public = load_public_key(KEYS[kind].public_spki)
    for size in range(len(auth.data)):
        with pytest.raises(AuthenticationFailed):
            verify_signature([public], OCTETS, Authentication(auth.method, auth.data[:size]))


def test_a_sha_1_signature_fails_though_it_is_right() -> None:
    """RFC 7427 section 5, RFC 8247 section 4.2: SHA-1 is not accepted."""
    content = DigitalSignature(bytes.fromhex("300906072a8648ce3d0401"), bytes(70))
    auth = Authentication(AuthMethod.DIGITAL_SIGNATURE, content.encode_data())
    with pytest.raises(AuthenticationFailed, match="AlgorithmIdentifier"):
        verify_signature([load_public_key(KEYS["ecdsa-p256"].public_spki)], OCTETS, auth)
