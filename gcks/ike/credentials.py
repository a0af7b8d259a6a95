"""What a peer is authenticated with, and what we authenticate ourselves with."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from gcks.crypto.certificates import TrustStore
from gcks.crypto.signature import SigningKey

_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class PreSharedKey:
    """A secret for all peers whose identity's text form matches the pattern."""

    identity: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """Our chain (DER, leaf first) and the leaf's private key."""

    chain: tuple[bytes, ...]
    key: SigningKey


class Credentials:
    """All credentials of one daemon; exact PSK identities beat patterns, then file order."""

    __slots__ = ("_exact", "_patterns", "own", "trust")

    def __init__(
        self,
        pre_shared_keys: tuple[PreSharedKey, ...] = (),
        own: OwnCertificate | None = None,
        trust: TrustStore | None = None,
    ) -> None:
        self.own, self.trust = own, trust
        self._exact = {k.identity: k for k in pre_shared_keys if not _GLOB & set(k.identity)}
        self._patterns = tuple(k for k in pre_shared_keys if _GLOB & set(k.identity))

    def find_psk(self, identity: str) -> PreSharedKey | None:
        """Return the pre-shared key for a peer's identity in text form."""
        exact = self._exact.get(identity)
        if exact is not None:
            return exact
        return next((k for k in self._patterns if fnmatchcase(identity, k.identity)), None)
