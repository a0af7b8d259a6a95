"""X.509 certificates as far as IKE reads them: DER in, one error out (RFC 5280)."""

from __future__ import annotations

from hashlib import sha1, sha256
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import SignatureAlgorithmOID

from gcks.crypto.errors import CertificateInvalid
from gcks.crypto.signature import MIN_RSA_BITS

E = TypeVar("E", bound=x509.ExtensionType)

MAX_CERTIFICATE_OCTETS: Final = 8192
REFERENCE_OCTETS: Final = 16
"""Of a certificate's reference: enough that no two certificates share one."""

STRONG_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})
HASHLESS: Final = frozenset({SignatureAlgorithmOID.ED25519, SignatureAlgorithmOID.ED448})
UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""All that `cryptography` raises, mostly late, for what it can't read."""


def parse(der: bytes) -> x509.Certificate:
    """Read one certificate, DER of at most `MAX_CERTIFICATE_OCTETS` (RFC 5280 section 4.1).

    Raises `CertificateInvalid` for what is larger or can't be read.
    """
    if len(der) > MAX_CERTIFICATE_OCTETS:
        raise CertificateInvalid(f"a certificate of {len(der)} octets")
    try:
        return x509.load_der_x509_certificate(der)
    except UNREADABLE:
        raise CertificateInvalid("not a readable certificate") from None


def subject(certificate: x509.Certificate) -> str:
    """Name a certificate for a human reader, as RFC 4514 writes names."""
    try:
        return certificate.subject.rfc4514_string() or "certificate without subject"
    except ValueError:
        return "certificate with unreadable subject"


def issuer(der: bytes) -> str:
    """Return the name of a certificate's CA, for people; `der` is the certificate.

    Raises `CertificateInvalid` for what can't be read.
    """
    try:
        return parse(der).issuer.rfc4514_string() or "a CA without name"
    except ValueError:
        return "a CA with an unreadable name"


def validity(der: bytes) -> tuple[float, float]:
    """Return from when and until when a certificate is valid, POSIX seconds.

    RFC 5280 section 4.1.2.5; `der` is the certificate.  Raises `CertificateInvalid` for
    what can't be read.
    """
    certificate = parse(der)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begins.timestamp(), ends.timestamp()


def public_key(certificate: x509.Certificate) -> CertificatePublicKeyTypes:
    """Return the key.  Raises `CertificateInvalid` for a kind that the library lacks."""
    try:
        return certificate.public_key()
    except UNREADABLE:
        raise CertificateInvalid(f"{subject(certificate)}: unknown kind of key") from None


def key_digest(certificate: x509.Certificate) -> bytes:
    """Return SHA-1 of the SubjectPublicKeyInfo, 20 octets: how CERTREQ names a CA.

    RFC 7296 section 3.7.  Raises `CertificateInvalid` for a kind of key that the
    library lacks.
    """
    key = public_key(certificate)
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha1(spki, usedforsecurity=False).digest()


def reference(issuer: x509.Name, serial: int) -> bytes:
    """Return what a certificate is known by, to us and in CRLs: `REFERENCE_OCTETS` octets.

    Issuer and serial number name it (RFC 5280 section 4.1.2.2).
    """
    number = serial.to_bytes((serial.bit_length() + 7) // 8 or 1, "big")
    return sha256(issuer.public_bytes() + number).digest()[:REFERENCE_OCTETS]


def is_strong(certificate: x509.Certificate) -> bool:
    """Tell whether a chain may go through it; weak ones are left out of path building.

    A peer may send more than the path needs, such as an old SHA-1 root.
    """
    return is_strongly_signed(certificate) and has_strong_key(certificate)


def is_strongly_signed(signed: x509.Certificate | x509.CertificateRevocationList) -> bool:
    """Tell whether the signature's hash resists collisions."""
    try:
        if signed.signature_algorithm_oid in HASHLESS:
            return True
        algorithm: HashAlgorithm | None = signed.signature_hash_algorithm
    except UNREADABLE:
        return False
    return algorithm is not None and algorithm.name in STRONG_HASHES


def has_strong_key(certificate: x509.Certificate) -> bool:
    """Tell whether the key is not an RSA key that is too short."""
    try:
        key = certificate.public_key()
    except UNREADABLE:
        return False
    return not isinstance(key, rsa.RSAPublicKey) or key.key_size >= MIN_RSA_BITS


def read_extensions(certificate: x509.Certificate) -> x509.Extensions:
    """Return the extensions (RFC 5280 section 4.2).

    Raises `CertificateInvalid` where one can't be read or is there twice.
    """
    try:
        return certificate.extensions
    except UNREADABLE:
        raise CertificateInvalid(f"{subject(certificate)}: unreadable extensions") from None


def find(extensions: x509.Extensions, kind: type[E]) -> E | None:
    """Return one extension, or None."""
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
