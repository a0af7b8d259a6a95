"""X.509 chains to configured trust anchors, and the identity in them (RFC 4945, RFC 5280).

OpenSSL builds and checks the chain (through pyOpenSSL): `cryptography`'s own
verifier follows the Web PKI and refuses Ed25519.  What IKE asks beyond the
chain, key usage and identity, is checked here.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Sequence
from hashlib import sha1
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto as openssl

from gcks.crypto.errors import CertificateInvalid
from gcks.crypto.signature import PublicKey, load_public_key
from gcks.iana import IdType
from gcks.wire.identification import Identity

E = TypeVar("E", bound=x509.ExtensionType)

MAX_CERTIFICATES: Final = 8
MAX_CERTIFICATE_OCTETS: Final = 8192

_IKE_INTERMEDIATE: Final = x509.ObjectIdentifier("1.3.6.1.5.5.8.2.2")
_IPSEC_IKE: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.17")
_PERMITTED_EKU: Final = frozenset(
    {
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SERVER_AUTH,
        _IKE_INTERMEDIATE,
        _IPSEC_IKE,
    }
)
"""RFC 4945 section 5.1.3.12; TLS uses are what common CAs issue."""


class TrustStore:
    """Trust anchors, and nothing else, decide which chains are good."""

    __slots__ = ("_store", "authorities")

    def __init__(self, anchors: Iterable[bytes]) -> None:
        """Take DER certificates.  Raises `CertificateInvalid`."""
        self._store = openssl.X509Store()
        digests: list[bytes] = []
        for der in anchors:
            certificate = _parse(der)
            self._store.add_cert(openssl.X509.from_cryptography(certificate))
            digests.append(_key_digest(certificate))
        self.authorities = b"".join(digests)
        """Content of CERTREQ: SHA-1 of each anchor's SubjectPublicKeyInfo (RFC 7296 3.7)."""

    def validate(self, chain: Sequence[bytes], identity: Identity, at: float) -> PublicKey:
        """Check leaf and intermediates (DER, leaf first) at POSIX time `at`.

        Returns the leaf's public key.  Raises `CertificateInvalid` with the cause.
        """
        if not 0 < len(chain) <= MAX_CERTIFICATES:
            raise CertificateInvalid(f"{len(chain)} certificates")
        leaf, *rest = [_parse(der) for der in chain]
        self._check_chain(leaf, rest, at)
        _check_key_usage(leaf)
        _check_identity(leaf, identity)
        return load_public_key(
            leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )

    def _check_chain(
        self, leaf: x509.Certificate, rest: Sequence[x509.Certificate], at: float
    ) -> None:
        self._store.set_time(datetime.datetime.fromtimestamp(at, datetime.UTC))
        context = openssl.X509StoreContext(
            self._store,
            openssl.X509.from_cryptography(leaf),
            [openssl.X509.from_cryptography(certificate) for certificate in rest],
        )
        try:
            context.verify_certificate()
        except openssl.X509StoreContextError as error:
            raise CertificateInvalid(f"{_subject(leaf)}: {error}") from None


def _parse(der: bytes) -> x509.Certificate:
    if len(der) > MAX_CERTIFICATE_OCTETS:
        raise CertificateInvalid(f"a certificate of {len(der)} octets")
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        raise CertificateInvalid("not a readable certificate") from None


def _key_digest(certificate: x509.Certificate) -> bytes:
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha1(spki, usedforsecurity=False).digest()


def _subject(certificate: x509.Certificate) -> str:
    try:
        return certificate.subject.rfc4514_string() or "certificate without subject"
    except ValueError:
        return "certificate with unreadable subject"


def _check_key_usage(leaf: x509.Certificate) -> None:
    """RFC 4945 sections 5.1.3.2 and 5.1.3.12: absent means any use."""
    try:
        extensions = leaf.extensions
        usage = _find(extensions, x509.KeyUsage)
        extended = _find(extensions, x509.ExtendedKeyUsage)
    except (ValueError, x509.DuplicateExtension):
        raise CertificateInvalid(f"{_subject(leaf)}: unreadable extensions") from None
    if usage and not (usage.digital_signature or usage.content_commitment):
        raise CertificateInvalid(f"{_subject(leaf)}: key usage forbids digital signatures")
    if extended and not _PERMITTED_EKU & set(extended):
        raise CertificateInvalid(f"{_subject(leaf)}: extended key usage is not for IKE")


def _find(extensions: x509.Extensions, kind: type[E]) -> E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _check_identity(leaf: x509.Certificate, identity: Identity) -> None:
    """RFC 4945 section 3.1: the identity is in the subjectAltName, or is the subject.

    Names are compared exactly: a wildcard in a certificate names nobody.
    """
    if identity.type == IdType.ID_DER_ASN1_DN:
        matches = leaf.subject.public_bytes() == identity.data
    else:
        matches = identity.data in _alternative_names(leaf, identity.type)
    if not matches:
        raise CertificateInvalid(f"{_subject(leaf)} does not name {identity}")


def _alternative_names(leaf: x509.Certificate, kind: int) -> list[bytes]:
    try:
        names = _find(leaf.extensions, x509.SubjectAlternativeName)
    except (ValueError, x509.DuplicateExtension):
        return []
    if names is None:
        return []
    if kind == IdType.ID_FQDN:
        return [name.encode() for name in names.get_values_for_type(x509.DNSName)]
    if kind == IdType.ID_RFC822_ADDR:
        return [name.encode() for name in names.get_values_for_type(x509.RFC822Name)]
    if kind in (IdType.ID_IPV4_ADDR, IdType.ID_IPV6_ADDR):
        found = names.get_values_for_type(x509.IPAddress)
        hosts = (ipaddress.IPv4Address, ipaddress.IPv6Address)
        return [address.packed for address in found if isinstance(address, hosts)]
    return []
