"""Which of our keys to sign with, and with which key a peer has signed.

What the peer asks for (CERTREQ: RFC 7296 section 3.7, RFC 7670, RFC 4806) and
what it announces (SIGNATURE_HASH_ALGORITHMS: RFC 7427, SUPPORTED_AUTH_METHODS:
RFC 9593) narrow our choice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import sha1
from math import inf
from typing import Final, NamedTuple

from gcks.crypto.errors import CertificateInvalid
from gcks.crypto.signature import HASHES, PublicKey, SignatureAlgorithm
from gcks.errors import AuthenticationFailed, RefusalReason
from gcks.iana import AuthMethod, CertEncoding, NotifyType
from gcks.ike.authenticator import sign
from gcks.ike.credentials import Credentials, OwnCredential
from gcks.ike.legality import Contents
from gcks.wire.auth_methods import AuthAnnouncement, decode_announcements
from gcks.wire.certificate import Certificate, CertificateRequest
from gcks.wire.identification import Identity
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload

_DIGEST_OCTETS: Final = sha1(usedforsecurity=False).digest_size


_HASH_ID_OCTETS: Final = 2
ANNOUNCED_HASHES: Final = Notify(
    NotifyType.SIGNATURE_HASH_ALGORITHMS,
    b"".join(number.to_bytes(_HASH_ID_OCTETS, "big") for number in HASHES),
)
"""The hashes that we verify signatures with (RFC 7427 section 4)."""


def announced_hashes(contents: Contents) -> frozenset[int]:
    """Return the hashes that the peer announces in IKE_SA_INIT (RFC 7427 section 4).

    Two octets each; an odd octet at the end is none.
    """
    notify = contents.notify(NotifyType.SIGNATURE_HASH_ALGORITHMS)
    octets = notify.data if notify is not None else b""
    starts = range(0, len(octets) - 1, _HASH_ID_OCTETS)
    return frozenset(int.from_bytes(octets[at : at + _HASH_ID_OCTETS], "big") for at in starts)


class Wishes(NamedTuple):
    """What a peer says of the proof that it can verify."""

    requests: tuple[CertificateRequest, ...] = ()
    hashes: Collection[int] = ()
    methods: tuple[AuthAnnouncement, ...] | None = None
    """None: it announces no methods, and takes what it is configured for."""

    def accepts(self, method: int) -> bool:
        """Tell whether the peer can verify an authentication method at all."""
        return self.methods is None or any(announced.method == method for announced in self.methods)


class PeerKeys(NamedTuple):
    """The public keys that a peer may have signed with, and until when they count."""

    keys: tuple[PublicKey, ...]
    ends_at: float = inf
    """When its certificate expires (POSIX seconds); raw public keys don't."""
    references: bytes = b""
    """References of the certificates below the anchor."""


def read_wishes(contents: Contents, hashes: Collection[int]) -> Wishes:
    """Read a message that holds CERTREQ and SUPPORTED_AUTH_METHODS (RFC 9593).

    An empty announcement says that the list comes in IKE_INTERMEDIATE (RFC 9593 section
    3.1), which isn't done here: it counts as none.  Raises `WireError` as
    `decode_announcements` does.
    """
    notify = contents.notify(NotifyType.SUPPORTED_AUTH_METHODS)
    methods = decode_announcements(notify.data) if notify and notify.data else None
    return Wishes(tuple(contents.all(CertificateRequest)), hashes, methods)


def signed_proof(
    own: Sequence[OwnCredential], wishes: Wishes, octets: bytes
) -> tuple[Payload, ...]:
    """Return CERT payloads and AUTH by the key that suits the peer best.

    `octets` are our signed octets (RFC 7296 section 2.15).  Raises
    `AuthenticationFailed` where the peer could verify none of `own`.
    """
    credential, algorithm = choose(own, wishes)
    return (*_certificates(credential, wishes.requests), sign(credential.key, algorithm, octets))


def choose(
    own: Sequence[OwnCredential], wishes: Wishes
) -> tuple[OwnCredential, SignatureAlgorithm]:
    """Return the credential to use: first what CERTREQ asks for, then the file's order.

    CERTREQ is a hint (RFC 7296 section 3.7): where nothing satisfies it, what the
    peer can at least verify the signature of is tried.  Raises `AuthenticationFailed`.
    """
    usable = [
        (credential, algorithm)
        for credential in own
        if (algorithm := _algorithm(credential, wishes)) is not None
    ]
    if not usable:
        raise AuthenticationFailed(
            "the peer can verify no signature of our keys",
            RefusalReason.AUTH_METHOD,
            hint="use another kind of certificate, or let the peer accept this one",
        )
    return min(usable, key=lambda pair: not _is_asked_for(pair[0], wishes.requests))


def _algorithm(own: OwnCredential, wishes: Wishes) -> SignatureAlgorithm | None:
    for algorithm in own.key.algorithms(wishes.hashes):
        if wishes.methods is None or any(
            announced.method == AuthMethod.DIGITAL_SIGNATURE
            and announced.algorithm == algorithm.identifier
            and _is_linked(own, announced, wishes.requests)
            for announced in wishes.methods
        ):
            return algorithm
    return None


def _is_linked(
    own: OwnCredential, announced: AuthAnnouncement, requests: Sequence[CertificateRequest]
) -> bool:
    """RFC 9593 section 3.2.2: an announcement may be for certificates of one CA only."""
    if not announced.cert_link:
        return True
    digests = [digest for request in requests for digest in _digests(request)]
    number = announced.cert_link - 1
    return number < len(digests) and digests[number] in own.authorities


def _is_asked_for(own: OwnCredential, requests: Sequence[CertificateRequest]) -> bool:
    if not own.chain:
        return any(request.encoding == CertEncoding.RAW_PUBLIC_KEY for request in requests)
    return any(
        request.encoding == CertEncoding.X509_SIGNATURE
        and (not request.authorities or not own.authorities.isdisjoint(_digests(request)))
        for request in requests
    )


def _digests(request: CertificateRequest) -> list[bytes]:
    """Return the CAs' key digests; an odd rest is no digest."""
    octets = request.authorities
    starts = range(0, len(octets) - _DIGEST_OCTETS + 1, _DIGEST_OCTETS)
    return [octets[at : at + _DIGEST_OCTETS] for at in starts]


def _certificates(
    own: OwnCredential, requests: Sequence[CertificateRequest]
) -> tuple[Certificate, ...]:
    if not own.chain:
        return (Certificate(CertEncoding.RAW_PUBLIC_KEY, own.key.public_spki),)
    chain = tuple(Certificate(CertEncoding.X509_SIGNATURE, der) for der in own.chain)
    if own.ocsp is None or all(
        request.encoding != CertEncoding.OCSP_CONTENT for request in requests
    ):
        return chain
    return (*chain, Certificate(CertEncoding.OCSP_CONTENT, own.ocsp))


def peer_keys(
    credentials: Credentials, identity: Identity, certificates: Sequence[Certificate], at: float
) -> PeerKeys:
    """Return the keys that CERT payloads and configuration give a peer, at POSIX time `at`.

    RFC 7296 section 3.6, RFC 7670.  Raises `AuthenticationFailed`: a certificate that
    isn't good, or a raw public key that isn't configured.
    """
    by_encoding: dict[int, list[bytes]] = {}
    for certificate in certificates:
        by_encoding.setdefault(certificate.encoding, []).append(certificate.data)
    chain = by_encoding.get(CertEncoding.X509_SIGNATURE)
    sent = by_encoding.get(CertEncoding.RAW_PUBLIC_KEY)
    if chain is None or sent is not None:
        return _raw_keys(credentials, identity, sent)
    if credentials.trust is None:
        raise AuthenticationFailed(
            f"{identity} has a certificate, but no trust anchors are configured",
            RefusalReason.CERTIFICATE_UNTRUSTED,
            hint="configure authentication.trust_anchors",
        )
    responses = by_encoding.get(CertEncoding.OCSP_CONTENT, [])
    try:
        validated = credentials.trust.validate(chain, identity, at, responses)
    except CertificateInvalid as error:
        hint = _CERTIFICATE_HINTS.get(error.reason, _CHECK)
        raise AuthenticationFailed(str(error), error.reason, hint=hint) from None
    return PeerKeys((validated.key,), validated.ends_at, validated.references)


_CERTIFICATE_HINTS: Final = {
    RefusalReason.CERTIFICATE_EXPIRED: "renew that certificate, or correct the clock of the host "
    "that says so",
    RefusalReason.CERTIFICATE_NOT_YET_VALID: "correct the clock of the host that says so, or wait "
    "for the certificate",
    RefusalReason.CERTIFICATE_UNTRUSTED: "have it issued by a CA of authentication.trust_anchors, "
    "or add its CA there if it is to be trusted",
    RefusalReason.CERTIFICATE_NAME: "let the identity be a name that stands in the certificate",
    RefusalReason.CERTIFICATE_REVOKED: "issue a new certificate if the peer is to be let in",
    RefusalReason.CERTIFICATE_STATUS_UNKNOWN: "renew the files of authentication.crls, or let the "
    "peer send a current OCSP response",
}
_CHECK: Final = "check the peer's certificate and the trust anchors"
"""For all other certificates."""


def _raw_keys(
    credentials: Credentials, identity: Identity, sent: Sequence[bytes] | None
) -> PeerKeys:
    """RFC 7670 section 5: a raw key is as good as the configuration that names its owner."""
    known = credentials.raw_public_keys(str(identity))
    keys = tuple(raw_key.key for raw_key in known if sent is None or raw_key.spki in sent)
    if keys:
        return PeerKeys(keys)
    cause = f"no certificate of {identity}" if sent is None else f"another public key of {identity}"
    if sent is not None and not known:
        cause = f"no raw public key of {identity} is configured"
    raise AuthenticationFailed(
        cause,
        RefusalReason.UNKNOWN_IDENTITY,
        hint="add the key under authentication.raw_public_keys, or use a certificate",
    )
