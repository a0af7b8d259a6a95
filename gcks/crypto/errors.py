"""What the primitives raise; the layers above say what the peer then sees."""

from __future__ import annotations

from gcks.errors import GcksError, RefusalReason


class CryptoError(GcksError):
    """Base of the errors below."""


class IntegrityError(CryptoError):
    """An ICV or a key wrap's check value is wrong."""


class SignatureInvalid(CryptoError):
    """A signature does not verify, or its algorithm is not acceptable."""


class InvalidPublicKey(CryptoError):
    """A public key that the key exchange method forbids (RFC 6989)."""


class CertificateInvalid(CryptoError):
    """A certificate or its chain is not acceptable; the text says why."""

    def __init__(self, text: str, reason: RefusalReason = RefusalReason.CERTIFICATE_UNFIT) -> None:
        super().__init__(text)
        self.reason = reason


class UnsupportedAlgorithm(CryptoError):
    """gcks does not implement this transform."""


class KeyUnusable(CryptoError):
    """A private key that can't be read or used."""
