"""What a peer is authenticated with, and what we authenticate ourselves with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import translate

from gcks.crypto.certificates import TrustStore
from gcks.crypto.revocation import Revocation
from gcks.crypto.signature import ALGORITHMS, PublicKey, SigningKey
from gcks.iana import AuthMethod, CertEncoding, NotifyType
from gcks.wire.auth_methods import AuthAnnouncement, encode_announcements
from gcks.wire.certificate import CertificateRequest
from gcks.wire.notify import Notify

_GLOB = frozenset("*?[")

_SIGNATURES = tuple(
    AuthAnnouncement(AuthMethod.DIGITAL_SIGNATURE, 0, algorithm.identifier, linked=True)
    for algorithm in ALGORITHMS.values()
)


@dataclass(frozen=True, slots=True)
class PreSharedKey:
    """A secret for all peers whose identity's text form matches the pattern."""

    identity: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RawPublicKey:
    """A key that a peer of that identity proves itself with, without a certificate (RFC 7670)."""

    identity: str
    spki: bytes
    key: PublicKey


@dataclass(frozen=True, slots=True)
class OwnCredential:
    """A private key, and the chain (DER, leaf first) of its certificate.

    Without a chain the public key is sent as it is (RFC 7670).
    """

    chain: tuple[bytes, ...]
    key: SigningKey
    authorities: frozenset[bytes] = frozenset()
    """SHA-1 of the SubjectPublicKeyInfo of each CA above the leaf that we know."""
    ocsp: bytes | None = None
    """A response about the leaf, for peers that want one (RFC 4806)."""


class Credentials:
    """All credentials of one daemon; exact PSK identities beat patterns, then file order."""

    __slots__ = ("_exact", "_patterns", "_raw", "announcement", "own", "requests", "trust")

    def __init__(
        self,
        pre_shared_keys: tuple[PreSharedKey, ...] = (),
        own: tuple[OwnCredential, ...] = (),
        trust: TrustStore | None = None,
        raw_public_keys: Iterable[RawPublicKey] = (),
    ) -> None:
        """Take what there is; of `own` the first is the most wanted."""
        self.own, self.trust = own, trust
        self._exact = {k.identity: k for k in pre_shared_keys if not _GLOB & set(k.identity)}
        # Compiled here: a stranger's first message must not have to wait for it.
        self._patterns = tuple(
            (re.compile(translate(k.identity)).match, k)
            for k in pre_shared_keys
            if _GLOB & set(k.identity)
        )
        self._raw: dict[str, tuple[RawPublicKey, ...]] = {}
        for raw_key in raw_public_keys:
            self._raw[raw_key.identity] = (*self._raw.get(raw_key.identity, ()), raw_key)
        self.requests = tuple(self._requests())
        """The CERTREQ payloads that tell what we can verify."""
        self.announcement = self._announcement(takes_psk=bool(pre_shared_keys))
        """SUPPORTED_AUTH_METHODS (RFC 9593), None where we can verify nobody."""

    def find_psk(self, identity: str) -> PreSharedKey | None:
        """Return the pre-shared key for a peer's identity in text form."""
        exact = self._exact.get(identity)
        if exact is not None:
            return exact
        return next((k for matches, k in self._patterns if matches(identity)), None)

    def raw_public_keys(self, identity: str) -> tuple[RawPublicKey, ...]:
        """Return the raw public keys of a peer: two while it changes its key."""
        return self._raw.get(identity, ())

    def _requests(self) -> Iterable[CertificateRequest]:
        """RFC 7296 section 3.7; RFC 7670 section 3.2; RFC 4806 section 3.1 (any responder)."""
        if self.trust is not None:
            yield CertificateRequest(CertEncoding.X509_SIGNATURE, self.trust.authorities)
            if self.trust.revocation.mode is not Revocation.OFF:
                yield CertificateRequest(CertEncoding.OCSP_CONTENT, b"")
        if self._raw:
            yield CertificateRequest(CertEncoding.RAW_PUBLIC_KEY, b"")

    def _announcement(self, *, takes_psk: bool) -> Notify | None:
        methods: list[AuthAnnouncement] = []
        if self.trust is not None or self._raw:
            methods += _SIGNATURES
        if takes_psk:
            methods.append(AuthAnnouncement(AuthMethod.SHARED_KEY_MIC))
        if not methods:
            return None
        return Notify(NotifyType.SUPPORTED_AUTH_METHODS, encode_announcements(methods))
