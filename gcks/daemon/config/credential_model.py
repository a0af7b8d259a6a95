"""The keys about certificates that gcks.yaml and member.yaml share."""

from __future__ import annotations

from typing import Literal

from gcks.daemon.config.ike_model import Section


class KeyPairSection(Section):
    """One private key; without certificate its public key is used as it is (RFC 7670)."""

    key: str
    certificate: str | None = None
    ocsp: str | None = None


class OwnSection(Section):
    """What we prove ourselves with: the short form for one key, the list for several."""

    certificate: str | None = None
    key: str | None = None
    ocsp: str | None = None
    certificates: list[KeyPairSection] = []


class TrustSection(Section):
    """Whose certificates are believed, and for how long."""

    trust_anchors: list[str] = []
    crls: list[str] = []
    revocation: Literal["ignore", "soft", "hard"] | None = None
