"""Whether a certificate was revoked: CRLs from files, OCSP responses from the peer.

RFC 5280 section 6.3, RFC 4806, RFC 6960.  Nothing is fetched over the network:
a key server that dials out for each registration could be made to wait.  CRLs
that cover only a part of what a CA issues (delta, indirect, by reason) are refused
when they are loaded; the RFC's algorithm for them needs a directory to ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from hashlib import new as new_hash
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from gcks.crypto.certificate_reading import (
    STRONG_HASHES,
    UNREADABLE,
    find,
    is_strong,
    is_strongly_signed,
    public_key,
    read_extensions,
    reference,
    subject,
)
from gcks.crypto.errors import CertificateInvalid, InvalidPublicKey
from gcks.crypto.spki import split
from gcks.errors import RefusalReason

MAX_CRL_OCTETS: Final = 16 << 20
MAX_OCSP_RESPONSES: Final = 4
MAX_OCSP_OCTETS: Final = 8192
CLOCK_SKEW_SECONDS: Final = 300.0
"""How far in the future a CRL or OCSP response may begin: clocks differ."""
UNDATED_SECONDS: Final = 86_400.0
"""How long a response without nextUpdate counts: newer ones can be had at any time."""

_CRITICAL_CRL_EXTENSIONS: Final = frozenset({x509.IssuingDistributionPoint.oid})
_UNUSED_BITS_OCTETS: Final = 1


class Revocation(Enum):
    """How strict to be where nothing current tells about a certificate."""

    OFF = "ignore"
    SOFT = "soft"
    """What is known to be revoked is refused."""
    HARD = "hard"
    """What no current CRL or OCSP response calls good is refused, too."""


class Status(Enum):
    """What a CRL or an OCSP response says of a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class Crl:
    """One complete CRL of one issuer."""

    __slots__ = ("_list", "_revoked", "_verified", "issuer", "next_update", "this_update")

    def __init__(self, der: bytes) -> None:
        """Read DER.  Raises `CertificateInvalid` for what is no complete CRL."""
        if len(der) > MAX_CRL_OCTETS:
            raise CertificateInvalid(f"a CRL of {len(der)} octets")
        try:
            self._list = x509.load_der_x509_crl(der)
            self.issuer = self._list.issuer
            self._check_scope()
            self._revoked = frozenset(entry.serial_number for entry in self._list)
            self.this_update = self._list.last_update_utc.timestamp()
            after = self._list.next_update_utc
        except UNREADABLE:
            raise CertificateInvalid("not a readable CRL") from None
        self.next_update = after.timestamp() if after else self.this_update + UNDATED_SECONDS
        self._verified: dict[bytes, bool] = {}

    def __len__(self) -> int:
        return len(self._revoked)

    def _check_scope(self) -> None:
        if not is_strongly_signed(self._list):
            raise CertificateInvalid("a CRL signed with a weak hash")
        for extension in self._list.extensions:
            if extension.critical and extension.oid not in _CRITICAL_CRL_EXTENSIONS:
                raise CertificateInvalid("a delta CRL, or one with an unknown critical extension")
        point = find(self._list.extensions, x509.IssuingDistributionPoint)
        if point and (
            point.indirect_crl
            or point.only_some_reasons
            or point.only_contains_user_certs
            or point.only_contains_ca_certs
            or point.only_contains_attribute_certs
        ):
            raise CertificateInvalid("a CRL for a part of the certificates; give complete ones")

    def is_from(self, issuer: x509.Certificate) -> bool:
        """Tell whether that CA has signed it, and may (RFC 5280 section 6.3.3 f and g)."""
        if self.issuer != issuer.subject:
            return False
        spki = public_key(issuer).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        known = self._verified.get(spki)
        if known is None:
            usage = find(read_extensions(issuer), x509.KeyUsage)
            known = (usage is None or usage.crl_sign) and self._is_signed_by(issuer)
            self._verified[spki] = known
        return known

    def _is_signed_by(self, issuer: x509.Certificate) -> bool:
        try:
            return self._list.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
        except (TypeError, *UNREADABLE):
            return False

    def status(self, certificate: x509.Certificate, at: float) -> Status:
        """Judge a certificate of this CRL's issuer, at POSIX time `at` (RFC 5280 section 6.3.3).

        What was revoked once stays so, also after the next update was due.
        """
        if self.this_update > at + CLOCK_SKEW_SECONDS:
            return Status.UNKNOWN
        if certificate.serial_number in self._revoked:
            return Status.REVOKED
        return Status.GOOD if at <= self.next_update else Status.UNKNOWN

    def references(self) -> set[bytes]:
        """Return the references of all certificates it revokes, `REFERENCE_OCTETS` each."""
        return {reference(self.issuer, serial) for serial in self._revoked}


class RevocationCheck:
    """The CRLs of one daemon, and how strictly they are read."""

    __slots__ = ("_by_issuer", "crls", "mode")

    def __init__(self, mode: Revocation, crls: Iterable[Crl]) -> None:
        self.mode, self.crls = mode, tuple(crls)
        self._by_issuer: dict[x509.Name, list[Crl]] = {}
        for crl in self.crls:
            self._by_issuer.setdefault(crl.issuer, []).append(crl)

    def check(
        self, path: Sequence[x509.Certificate], responses: Sequence[bytes], at: float
    ) -> None:
        """Judge every certificate of a path but the anchor, at POSIX time `at`.

        RFC 5280 section 6.3; `responses` are DER (RFC 4806).  Raises
        `CertificateInvalid` for one that is revoked and, in mode HARD, one that nothing
        current says good of.
        """
        if self.mode is Revocation.OFF:
            return
        for certificate, issuer in pairwise(path):
            status = self._status(certificate, issuer, responses, at)
            if status is Status.REVOKED:
                raise CertificateInvalid(
                    f"{subject(certificate)}: revoked", RefusalReason.CERTIFICATE_REVOKED
                )
            if status is Status.UNKNOWN and self.mode is Revocation.HARD:
                raise CertificateInvalid(
                    f"{subject(certificate)}: no current CRL or OCSP response of its CA",
                    RefusalReason.CERTIFICATE_STATUS_UNKNOWN,
                )

    def _status(
        self,
        certificate: x509.Certificate,
        issuer: x509.Certificate,
        responses: Sequence[bytes],
        at: float,
    ) -> Status:
        """Return the worst that any source says; one that says good beats silence."""
        lists = self._by_issuer.get(certificate.issuer, ())
        statuses = {crl.status(certificate, at) for crl in lists if crl.is_from(issuer)}
        statuses |= {ocsp_status(response, certificate, issuer, at) for response in responses}
        return next((s for s in (Status.REVOKED, Status.GOOD) if s in statuses), Status.UNKNOWN)

    def revoked(self) -> set[bytes]:
        """Return the references of all certificates that the CRLs revoke.

        Their issuers' signatures are not looked at: who could replace the
        operator's files could replace the trust anchors.
        """
        if self.mode is Revocation.OFF:
            return set()
        return set().union(*(crl.references() for crl in self.crls))


def ocsp_status(
    der: bytes, certificate: x509.Certificate, issuer: x509.Certificate, at: float
) -> Status:
    """Read an OCSP response (DER, RFC 6960 section 4.2) at POSIX time `at`.

    UNKNOWN for one that doesn't tell about this certificate now, or can't be read.
    """
    if len(der) > MAX_OCSP_OCTETS:
        return Status.UNKNOWN
    try:
        response = ocsp.load_der_ocsp_response(der)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return Status.UNKNOWN
        for single in response.responses:
            if _is_about(single, certificate, issuer) and _is_current(single, at):
                return _judge(single) if _is_authentic(response, issuer, at) else Status.UNKNOWN
    except (CertificateInvalid, *UNREADABLE):
        pass
    return Status.UNKNOWN


def check_ocsp(der: bytes) -> None:
    """Refuse a file that holds no successful OCSP response (RFC 6960 section 4.2.1).

    Raises `CertificateInvalid`, also for more than `MAX_OCSP_OCTETS`.
    """
    try:
        status = ocsp.load_der_ocsp_response(der).response_status
    except UNREADABLE:
        raise CertificateInvalid("not a readable OCSP response (DER)") from None
    if status is not ocsp.OCSPResponseStatus.SUCCESSFUL or len(der) > MAX_OCSP_OCTETS:
        raise CertificateInvalid(f"an OCSP response of no use: {status.name.lower()}")


def _judge(single: ocsp.OCSPSingleResponse) -> Status:
    kinds = {
        ocsp.OCSPCertStatus.GOOD: Status.GOOD,
        ocsp.OCSPCertStatus.REVOKED: Status.REVOKED,
    }
    return kinds.get(single.certificate_status, Status.UNKNOWN)


def _is_about(
    single: ocsp.OCSPSingleResponse, certificate: x509.Certificate, issuer: x509.Certificate
) -> bool:
    """RFC 6960 section 4.1.1: the CertID has hashes of the issuer's name and key."""
    name = single.hash_algorithm.name
    spki = public_key(issuer).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        _, bit_string = split(spki)
    except InvalidPublicKey:
        return False
    return (
        single.serial_number == certificate.serial_number
        and single.issuer_name_hash == new_hash(name, issuer.subject.public_bytes()).digest()
        and single.issuer_key_hash == new_hash(name, _bits(bit_string)).digest()
    )


def _bits(bit_string: bytes) -> bytes:
    """Return the content of a DER BIT STRING without tag, length and unused bits."""
    length = bit_string[1]
    start = 2 + (length & 0x7F if length & 0x80 else 0)
    return bit_string[start + _UNUSED_BITS_OCTETS :]


def _is_current(single: ocsp.OCSPSingleResponse, at: float) -> bool:
    begins = single.this_update_utc.timestamp()
    after = single.next_update_utc
    ends = after.timestamp() if after else begins + UNDATED_SECONDS
    return begins - CLOCK_SKEW_SECONDS <= at <= ends


def _is_authentic(response: ocsp.OCSPResponse, issuer: x509.Certificate, at: float) -> bool:
    """RFC 6960 section 4.2.2.2: signed by the CA itself, or by whom it appointed."""
    delegates = (signer for signer in response.certificates if _is_delegate(signer, issuer, at))
    return any(_is_signed_by(response, signer) for signer in (issuer, *delegates))


def _is_delegate(certificate: x509.Certificate, issuer: x509.Certificate, at: float) -> bool:
    uses = find(read_extensions(certificate), x509.ExtendedKeyUsage)
    if uses is None or ExtendedKeyUsageOID.OCSP_SIGNING not in uses:
        return False
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins.timestamp() <= at <= ends.timestamp() or not is_strong(certificate):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, *UNREADABLE):
        return False
    return True


def _is_signed_by(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key, signature, content = public_key(signer), response.signature, response.tbs_response_bytes
    digest = response.signature_hash_algorithm
    try:
        if isinstance(key, Ed25519PublicKey | Ed448PublicKey):
            key.verify(signature, content)
            return True
        if digest is None or digest.name not in STRONG_HASHES:
            return False
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, content, ec.ECDSA(digest))
            return True
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, content, padding.PKCS1v15(), digest)
            return True
    except (InvalidSignature, *UNREADABLE):
        pass
    return False
