"""What IKE asks of certificates beyond a valid chain (RFC 4945): use and identity."""

from __future__ import annotations

import ipaddress
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gcks.crypto.certificate_reading import UNREADABLE, find, read_extensions, subject
from gcks.crypto.errors import CertificateInvalid
from gcks.errors import RefusalReason
from gcks.iana import IdType
from gcks.wire.identification import Identity

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


def check_leaf(leaf: x509.Certificate, identity: Identity) -> None:
    """Check key usage and identity of an end entity (RFC 4945 sections 3.1 and 5.1.3).

    Raises `CertificateInvalid`.
    """
    extensions = read_extensions(leaf)
    usage = find(extensions, x509.KeyUsage)
    if usage and not (usage.digital_signature or usage.content_commitment):
        raise CertificateInvalid(f"{subject(leaf)}: key usage forbids digital signatures")
    _check_extended_key_usage(leaf, extensions)
    _check_identity(leaf, extensions, identity)


def check_intermediate(authority: x509.Certificate) -> None:
    """Refuse an intermediate CA that is restricted to other uses.  Raises `CertificateInvalid`.

    RFC 5280 leaves extended key usage of a CA open; that it limits what lies
    below is what CAs mean by it and OpenSSL does.  OpenSSL has checked
    basicConstraints, keyCertSign and the path length.
    """
    _check_extended_key_usage(authority, read_extensions(authority))


def _check_extended_key_usage(certificate: x509.Certificate, extensions: x509.Extensions) -> None:
    """RFC 4945 sections 5.1.3.2 and 5.1.3.12: absent means any use."""
    extended = find(extensions, x509.ExtendedKeyUsage)
    if extended and not _PERMITTED_EKU & set(extended):
        raise CertificateInvalid(f"{subject(certificate)}: extended key usage is not for IKE")


def _check_identity(
    leaf: x509.Certificate, extensions: x509.Extensions, identity: Identity
) -> None:
    """RFC 4945 section 3.1: the identity is in the subjectAltName, or is the subject.

    Names are compared exactly: a wildcard in a certificate names nobody.
    """
    if identity.type == IdType.ID_DER_ASN1_DN:
        matches = identity.data == _subject_octets(leaf)
    else:
        matches = identity.data in _alternative_names(extensions, identity.type)
    if not matches:
        raise CertificateInvalid(
            f"{subject(leaf)} does not name {identity}", RefusalReason.CERTIFICATE_NAME
        )


def _subject_octets(leaf: x509.Certificate) -> bytes:
    try:
        return leaf.subject.public_bytes()
    except UNREADABLE:
        raise CertificateInvalid("certificate with unreadable subject") from None


def _alternative_names(extensions: x509.Extensions, kind: int) -> list[bytes]:
    names = find(extensions, x509.SubjectAlternativeName)
    if names is None:
        return []
    if kind == IdType.ID_FQDN:
        dns_names = names.get_values_for_type(x509.DNSName)
        return [name.encode() for name in dns_names if "*" not in name]
    if kind == IdType.ID_RFC822_ADDR:
        return [name.encode() for name in names.get_values_for_type(x509.RFC822Name)]
    if kind in (IdType.ID_IPV4_ADDR, IdType.ID_IPV6_ADDR):
        addresses = names.get_values_for_type(x509.IPAddress)
        hosts = (ipaddress.IPv4Address, ipaddress.IPv6Address)
        return [address.packed for address in addresses if isinstance(address, hosts)]
    return []
