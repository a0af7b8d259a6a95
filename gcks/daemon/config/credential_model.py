"""The keys about certificates that gcks.yaml and member.yaml share."""

from __future__ import annotations

from typing import Literal

from gcks.daemon.config.ike_model import Section
from gcks.daemon.config.values import FileName


class KeyPairSection(Section):
    """One private key; without certificate its public key is used as it is (RFC 7670)."""

    key: FileName
    """PEM file with the private key: Ed25519, ECDSA or RSA, without passphrase, mode 0600."""
    certificate: FileName | None = None
    """PEM file with the certificate of the key and its chain, leaf first. Without it the key is
    used as a raw public key (RFC 7670)."""
    ocsp: FileName | None = None
    """DER file with an OCSP response about the certificate, sent to peers that ask (RFC 4806). Read
    again within a minute after it changes, so that a job can renew it."""


class OwnSection(Section):
    """What we prove ourselves with: the short form for one key, the list for several."""

    certificate: FileName | None = None
    """PEM file with our own certificate and its chain, leaf first. It needs `key`, and its
    subjectAltName (of `dn:` its subject) must name `identity`."""
    key: FileName | None = None
    """PEM file with our own private key: Ed25519, ECDSA or RSA, without passphrase, mode 0600.
    Without `certificate` it is used as a raw public key (RFC 7670)."""
    ocsp: FileName | None = None
    """DER file with an OCSP response about the certificate, sent to peers that ask (RFC 4806). Read
    again within a minute after it changes, so that a job can renew it."""
    certificates: list[KeyPairSection] = []
    """Further keys with their certificates, for peers that believe other CAs. The peer's CERTREQ
    and SUPPORTED_AUTH_METHODS (RFC 9593) choose; then the order counts."""


class TrustSection(Section):
    """Whose certificates are believed, and for how long."""

    trust_anchors: list[FileName] = []
    """PEM files of the CAs whose certificates are believed, intermediate CAs too. They are read
    again within a minute after they change."""
    crls: list[FileName] = []
    """Files with complete CRLs, PEM or DER, looked at again every minute. Nothing is fetched from
    the network: let a job replace them."""
    revocation: Literal["ignore", "soft", "hard"] | None = None
    """`soft` refuses certificates that a CRL or OCSP response calls revoked, `hard` also those that
    nothing current calls good, `ignore` none. `null` is `soft` with `crls`, else `ignore`."""
