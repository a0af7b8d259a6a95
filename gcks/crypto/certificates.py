"""X.509 chains to configured trust anchors, and the identity in them (RFC 4945, RFC 5280).

OpenSSL builds and checks the chain (through pyOpenSSL): `cryptography`'s own
verifier follows the Web PKI and refuses Ed25519.  What IKE asks beyond the
chain (strength of keys and signatures, key usage, identity) is checked here:
pyOpenSSL leaves OpenSSL's security level at 0, where SHA-1 and RSA-1024 pass.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import sha1
from typing import Final, NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID
from OpenSSL import crypto as openssl

from gcks.crypto.errors import CertificateInvalid, InvalidPublicKey
from gcks.crypto.signature import MIN_RSA_BITS, PublicKey, usable_key
from gcks.iana import IdType
from gcks.wire.identification import Identity

E = TypeVar("E", bound=x509.ExtensionType)

MAX_CERTIFICATES: Final = 8
MAX_CERTIFICATE_OCTETS: Final = 8192
MAX_JUDGED: Final = 4096
JUDGED_SECONDS: Final = 60.0
"""A good chain is believed so long without another look: storms of members that come back."""

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

_STRONG_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})
_HASHLESS: Final = frozenset({SignatureAlgorithmOID.ED25519, SignatureAlgorithmOID.ED448})
_UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""All that `cryptography` raises, mostly late, for certificates it can't read."""


class _Judged(NamedTuple):
    """A chain that was found good, and until when that is believed (POSIX seconds)."""

    key: PublicKey
    since: float
    until: float


_ChainKey = tuple[bytes | Identity, ...]


class TrustStore:
    """Trust anchors, and nothing else, decide which chains are good."""

    __slots__ = ("_anchors", "_judged", "_second", "_store", "authorities")

    def __init__(self, anchors: Iterable[bytes]) -> None:
        """Take DER certificates, of intermediate CAs too.  Raises `CertificateInvalid`."""
        self._anchors: list[openssl.X509] = []
        self._store = openssl.X509Store()
        self._second: int | None = None
        self._judged: OrderedDict[_ChainKey, _Judged] = OrderedDict()
        digests: list[bytes] = []
        for der in anchors:
            certificate = _parse(der)
            if not _has_strong_key(certificate):
                raise CertificateInvalid(f"{_subject(certificate)}: the key is too weak")
            self._anchors.append(_to_openssl(certificate))
            digests.append(_key_digest(certificate))
        self.authorities = b"".join(digests)
        """Content of CERTREQ: SHA-1 of each anchor's SubjectPublicKeyInfo (RFC 7296 3.7)."""

    def validate(self, chain: Sequence[bytes], identity: Identity, at: float) -> PublicKey:
        """Check leaf and intermediates (DER, leaf first) at POSIX time `at`.

        Returns the leaf's public key.  Raises `CertificateInvalid` with the cause.
        """
        if not 0 < len(chain) <= MAX_CERTIFICATES:
            raise CertificateInvalid(f"{len(chain)} certificates")
        known = self._judged.get((*chain, identity))
        if known is not None and known.since <= at < known.until:
            return known.key
        key, until = self._judge(chain, identity, at)
        self._judged[*chain, identity] = _Judged(key, at, min(until, at + JUDGED_SECONDS))
        if len(self._judged) > MAX_JUDGED:
            self._judged.popitem(last=False)
        return key

    def _judge(
        self, chain: Sequence[bytes], identity: Identity, at: float
    ) -> tuple[PublicKey, float]:
        """Return the leaf's key and when the first certificate of the chain expires."""
        leaf, *rest = [_parse(der) for der in chain]
        if not _is_strongly_signed(leaf):
            raise CertificateInvalid(f"{_subject(leaf)}: signed with a weak hash")
        self._check_chain(leaf, [one for one in rest if _is_strong(one)], at)
        extensions = _read_extensions(leaf)
        _check_key_usage(leaf, extensions)
        _check_identity(leaf, extensions, identity)
        until = min(one.not_valid_after_utc.timestamp() for one in (leaf, *rest))
        try:
            return usable_key(_public_key(leaf)), until
        except InvalidPublicKey as error:
            raise CertificateInvalid(f"{_subject(leaf)}: {error}") from None

    def _check_chain(
        self, leaf: x509.Certificate, rest: Sequence[x509.Certificate], at: float
    ) -> None:
        context = openssl.X509StoreContext(
            self._store_at(at),
            _to_openssl(leaf),
            [_to_openssl(certificate) for certificate in rest],
        )
        try:
            context.verify_certificate()
        except openssl.X509StoreContextError as error:
            raise CertificateInvalid(f"{_subject(leaf)}: {error}") from None

    def _store_at(self, at: float) -> openssl.X509Store:
        """Return a store for one second: OpenSSL keeps the first time set on a store.

        With one store for all, a long-lived daemon would never see a certificate expire.
        """
        if self._second != int(at):
            self._store = openssl.X509Store()
            self._store.set_flags(openssl.X509StoreFlags.PARTIAL_CHAIN)
            self._store.set_time(datetime.datetime.fromtimestamp(int(at), datetime.UTC))
            for anchor in self._anchors:
                self._store.add_cert(anchor)
            self._second = int(at)
        return self._store


def _parse(der: bytes) -> x509.Certificate:
    if len(der) > MAX_CERTIFICATE_OCTETS:
        raise CertificateInvalid(f"a certificate of {len(der)} octets")
    try:
        return x509.load_der_x509_certificate(der)
    except _UNREADABLE:
        raise CertificateInvalid("not a readable certificate") from None


def _to_openssl(certificate: x509.Certificate) -> openssl.X509:
    try:
        return openssl.X509.from_cryptography(certificate)
    except openssl.Error:
        raise CertificateInvalid(f"{_subject(certificate)}: OpenSSL can't read it") from None


def _public_key(certificate: x509.Certificate) -> CertificatePublicKeyTypes:
    try:
        return certificate.public_key()
    except _UNREADABLE:
        raise CertificateInvalid(f"{_subject(certificate)}: unknown kind of key") from None


def _spki(certificate: x509.Certificate) -> bytes:
    key = _public_key(certificate)
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_digest(certificate: x509.Certificate) -> bytes:
    return sha1(_spki(certificate), usedforsecurity=False).digest()


def _is_strong(intermediate: x509.Certificate) -> bool:
    """Tell whether a chain may go through it; weak ones are left out of path building.

    A peer may send more than the path needs, such as an old SHA-1 root.
    """
    return _is_strongly_signed(intermediate) and _has_strong_key(intermediate)


def _is_strongly_signed(certificate: x509.Certificate) -> bool:
    try:
        if certificate.signature_algorithm_oid in _HASHLESS:
            return True
        algorithm = certificate.signature_hash_algorithm
    except _UNREADABLE:
        return False
    return algorithm is not None and algorithm.name in _STRONG_HASHES


def _has_strong_key(certificate: x509.Certificate) -> bool:
    try:
        key = certificate.public_key()
    except _UNREADABLE:
        return False
    return not isinstance(key, rsa.RSAPublicKey) or key.key_size >= MIN_RSA_BITS


def _subject(certificate: x509.Certificate) -> str:
    try:
        return certificate.subject.rfc4514_string() or "certificate without subject"
    except ValueError:
        return "certificate with unreadable subject"


def _read_extensions(leaf: x509.Certificate) -> x509.Extensions:
    try:
        return leaf.extensions
    except _UNREADABLE:
        raise CertificateInvalid(f"{_subject(leaf)}: unreadable extensions") from None


def _check_key_usage(leaf: x509.Certificate, extensions: x509.Extensions) -> None:
    """RFC 4945 sections 5.1.3.2 and 5.1.3.12: absent means any use."""
    usage = _find(extensions, x509.KeyUsage)
    extended = _find(extensions, x509.ExtendedKeyUsage)
    if usage and not (usage.digital_signature or usage.content_commitment):
        raise CertificateInvalid(f"{_subject(leaf)}: key usage forbids digital signatures")
    if extended and not _PERMITTED_EKU & set(extended):
        raise CertificateInvalid(f"{_subject(leaf)}: extended key usage is not for IKE")


def _find(extensions: x509.Extensions, kind: type[E]) -> E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


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
        raise CertificateInvalid(f"{_subject(leaf)} does not name {identity}")


def _subject_octets(leaf: x509.Certificate) -> bytes:
    try:
        return leaf.subject.public_bytes()
    except _UNREADABLE:
        raise CertificateInvalid("certificate with unreadable subject") from None


def _alternative_names(extensions: x509.Extensions, kind: int) -> list[bytes]:
    names = _find(extensions, x509.SubjectAlternativeName)
    if names is None:
        return []
    if kind == IdType.ID_FQDN:
        found = names.get_values_for_type(x509.DNSName)
        return [name.encode() for name in found if "*" not in name]
    if kind == IdType.ID_RFC822_ADDR:
        return [name.encode() for name in names.get_values_for_type(x509.RFC822Name)]
    if kind in (IdType.ID_IPV4_ADDR, IdType.ID_IPV6_ADDR):
        addresses = names.get_values_for_type(x509.IPAddress)
        hosts = (ipaddress.IPv4Address, ipaddress.IPv6Address)
        return [address.packed for address in addresses if isinstance(address, hosts)]
    return []
