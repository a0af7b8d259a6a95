"""X.509 chains to configured trust anchors, and the identity in them (RFC 4945, RFC 5280).

OpenSSL builds and checks the chain (through pyOpenSSL): `cryptography`'s own
verifier follows the Web PKI and refuses Ed25519.  What IKE asks beyond the
chain (strength of keys and signatures, key usage, identity, revocation) is
checked here and beside: pyOpenSSL leaves OpenSSL's security level at 0, where
SHA-1 and RSA-1024 pass.
"""

from __future__ import annotations

import datetime
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from OpenSSL import crypto as openssl

from gcks.crypto.certificate_reading import (
    MAX_CERTIFICATE_OCTETS,
    UNREADABLE,
    has_strong_key,
    is_strong,
    is_strongly_signed,
    key_digest,
    parse,
    public_key,
    reference,
    subject,
)
from gcks.crypto.certificate_rules import check_intermediate, check_leaf
from gcks.crypto.errors import CertificateInvalid, InvalidPublicKey
from gcks.crypto.revocation import MAX_OCSP_RESPONSES, Crl, Revocation, RevocationCheck
from gcks.crypto.signature import PublicKey, usable_key
from gcks.errors import RefusalReason
from gcks.wire.identification import Identity

__all__ = [
    "MAX_CERTIFICATES",
    "MAX_CERTIFICATE_OCTETS",
    "TrustStore",
    "Validated",
    "authorities_above",
]

MAX_CERTIFICATES: Final = 8
MAX_JUDGED: Final = 4096
JUDGED_SECONDS: Final = 60.0
"""A good chain isn't checked again for so long: it helps when all members come back at once."""


class Validated(NamedTuple):
    """A good chain: the leaf's key, and what ends the chain."""

    key: PublicKey
    ends_at: float
    """When the first certificate of the chain expires (POSIX seconds)."""
    references: bytes
    """References of all certificates below the anchor, the leaf's first."""


class _Judged(NamedTuple):
    """A chain that was found good, and until when that is believed (POSIX seconds)."""

    validated: Validated
    since: float
    until: float


_ChainKey = tuple[bytes | Identity, ...]
_REASONS: Final = {
    2: RefusalReason.CERTIFICATE_UNTRUSTED,  # unable to get issuer certificate
    9: RefusalReason.CERTIFICATE_NOT_YET_VALID,
    10: RefusalReason.CERTIFICATE_EXPIRED,
    18: RefusalReason.CERTIFICATE_UNTRUSTED,  # self-signed, and no anchor
    19: RefusalReason.CERTIFICATE_UNTRUSTED,  # a self-signed CA that is no anchor
    20: RefusalReason.CERTIFICATE_UNTRUSTED,  # unable to get local issuer certificate
    21: RefusalReason.CERTIFICATE_UNTRUSTED,  # unable to verify the first certificate
}
"""OpenSSL's X509_V_ERR_... (openssl/x509_vfy.h) -> what it is to an operator."""


class TrustStore:
    """Only trust anchors decide which chains are good; CRLs and OCSP say which no longer are."""

    __slots__ = (
        "_anchors", "_judged", "_second", "_store", "anchors", "authorities", "revocation",
    )  # fmt: skip

    def __init__(
        self,
        anchors: Iterable[bytes],
        crls: Iterable[Crl] = (),
        revocation: Revocation = Revocation.OFF,
    ) -> None:
        """Take DER certificates, of intermediate CAs too.  Raises `CertificateInvalid`."""
        self.anchors = tuple(anchors)
        self._anchors: list[openssl.X509] = []
        self._store = openssl.X509Store()
        self._second: int | None = None
        self._judged: OrderedDict[_ChainKey, _Judged] = OrderedDict()
        self.revocation = RevocationCheck(revocation, crls)
        digests: list[bytes] = []
        for der in self.anchors:
            certificate = parse(der)
            if not has_strong_key(certificate):
                raise CertificateInvalid(f"{subject(certificate)}: the key is too weak")
            self._anchors.append(_to_openssl(certificate))
            digests.append(key_digest(certificate))
        self.authorities = b"".join(digests)
        """Content of CERTREQ: SHA-1 of each anchor's SubjectPublicKeyInfo (RFC 7296 3.7)."""

    def validate(
        self, chain: Sequence[bytes], identity: Identity, at: float, ocsp: Sequence[bytes] = ()
    ) -> Validated:
        """Check leaf and intermediates (DER, leaf first) at POSIX time `at`.

        RFC 5280 section 6, RFC 4945.  `ocsp` are DER responses that came with them (RFC
        4806).  Raises `CertificateInvalid` with the cause, also for no certificate,
        more than `MAX_CERTIFICATES`, or more than `MAX_OCSP_RESPONSES`.
        """
        if not 0 < len(chain) <= MAX_CERTIFICATES:
            raise CertificateInvalid(f"{len(chain)} certificates")
        if len(ocsp) > MAX_OCSP_RESPONSES:
            raise CertificateInvalid(f"{len(ocsp)} OCSP responses")
        place: _ChainKey = (*chain, *ocsp, identity)
        known = self._judged.get(place)
        if known is not None and known.since <= at < known.until:
            return known.validated
        validated = self._judge(chain, identity, at, ocsp)
        self._judged[place] = _Judged(validated, at, min(validated.ends_at, at + JUDGED_SECONDS))
        if len(self._judged) > MAX_JUDGED:
            self._judged.popitem(last=False)
        return validated

    def _judge(
        self, chain: Sequence[bytes], identity: Identity, at: float, ocsp: Sequence[bytes]
    ) -> Validated:
        leaf, *rest = [parse(der) for der in chain]
        if not is_strongly_signed(leaf):
            raise CertificateInvalid(f"{subject(leaf)}: signed with a weak hash")
        path = self._build_path(
            leaf, [certificate for certificate in rest if is_strong(certificate)], at
        )
        for authority in path[1:-1]:
            check_intermediate(authority)
        check_leaf(leaf, identity)
        self.revocation.check(path, ocsp, at)
        below = path[:-1] or path
        ends_at = min(certificate.not_valid_after_utc.timestamp() for certificate in below)
        references = b"".join(
            reference(certificate.issuer, certificate.serial_number) for certificate in below
        )
        try:
            return Validated(usable_key(public_key(leaf)), ends_at, references)
        except InvalidPublicKey as error:
            raise CertificateInvalid(f"{subject(leaf)}: {error}") from None

    def _build_path(
        self, leaf: x509.Certificate, rest: Sequence[x509.Certificate], at: float
    ) -> list[x509.Certificate]:
        """Return the path that OpenSSL has found: the leaf first, an anchor last.

        The leaf may be an anchor itself; where nobody would look at the anchor it is left out.
        """
        context = openssl.X509StoreContext(
            self._store_at(at),
            _to_openssl(leaf),
            [_to_openssl(certificate) for certificate in rest],
        )
        try:
            if not rest and self.revocation.mode is Revocation.OFF:
                context.verify_certificate()
                return [leaf]
            path = context.get_verified_chain()
        except openssl.X509StoreContextError as error:
            reason = _REASONS.get(error.errors[0], RefusalReason.CERTIFICATE_UNFIT)
            raise CertificateInvalid(f"{subject(leaf)}: {error}", reason) from None
        return [leaf, *(certificate.to_cryptography() for certificate in path[1:])]

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


def authorities_above(chain: Sequence[bytes], anchors: Iterable[bytes]) -> frozenset[bytes]:
    """Return the key digests (RFC 7296 section 3.7) of the CAs above a chain's leaf.

    `chain` and `anchors` are DER; only CAs among them are known.  Raises `CertificateInvalid`.
    """
    pool = [parse(der) for der in (*chain[1:], *anchors)]
    authorities: dict[bytes, x509.Certificate] = {}
    below = [parse(chain[0])] if chain else []
    while below:
        above = [
            authority for authority in pool for child in below if _has_issued(authority, child)
        ]
        new = {key_digest(authority): authority for authority in above}
        below = [authority for digest, authority in new.items() if digest not in authorities]
        authorities.update(new)
    return frozenset(authorities)


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, *UNREADABLE):
        return False
    return True


def _to_openssl(certificate: x509.Certificate) -> openssl.X509:
    try:
        return openssl.X509.from_cryptography(certificate)
    except openssl.Error:
        raise CertificateInvalid(f"{subject(certificate)}: OpenSSL can't read it") from None
