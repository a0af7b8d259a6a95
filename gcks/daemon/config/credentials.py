"""Credentials out of files, for both roles; what is wrong goes to the findings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gcks.crypto.certificates import TrustStore
from gcks.crypto.errors import CryptoError
from gcks.crypto.signature import SigningKey
from gcks.daemon.config.files import Files
from gcks.daemon.config.problems import Findings, KeyPath
from gcks.ike.credentials import OwnCertificate
from gcks.wire.identification import Identity

EXPIRES_SOON_SECONDS: Final = 30 * 86400


def read_secret(text: str, path: KeyPath, files: Files, findings: Findings) -> bytes | None:
    """Return a pre-shared key."""
    try:
        return files.secret(text)
    except ValueError as error:
        findings.add(path, str(error))
        return None


def read_trust(
    texts: Sequence[str], path: KeyPath, files: Files, findings: Findings
) -> TrustStore | None:
    """Return a store of the trust anchors in these files; None where there are none."""
    anchors: list[bytes] = []
    for place, text in enumerate(texts):
        try:
            found = files.certificates(text)
            TrustStore(found)  # each file by itself, so that the message names the right one
            anchors += found
        except (ValueError, CryptoError) as error:
            findings.add((*path, place), str(error))
            continue
        for der in found:
            _warn_of_expiry(der, text, (*path, place), findings)
    return TrustStore(anchors) if anchors else None


def read_own(
    certificate: str,
    key: str,
    path: KeyPath,
    identity: Identity | None,
    files: Files,
    findings: Findings,
) -> OwnCertificate | None:
    """Return our chain and key: they belong together, name us and are valid now."""
    chain, signing = _read_pair(certificate, key, path, files, findings)
    if chain and identity is not None:
        try:
            # With the leaf as its own anchor everything but the chain is judged as peers do.
            TrustStore(chain[:1]).validate(chain[:1], identity, time.time())
        except CryptoError as error:
            findings.add((*path, "certificate"), f"{error}; peers would refuse it")
        _warn_of_expiry(chain[0], certificate, (*path, "certificate"), findings)
    if not chain or signing is None:
        return None
    if _public_key(chain[0]) != signing.public_spki:
        findings.add((*path, "key"), f"{files.path(key)} is not the key of the certificate")
        return None
    return OwnCertificate(chain, signing)


def _read_pair(
    certificate: str, key: str, path: KeyPath, files: Files, findings: Findings
) -> tuple[tuple[bytes, ...], SigningKey | None]:
    chain: tuple[bytes, ...] = ()
    signing = None
    try:
        chain = files.certificates(certificate)
    except ValueError as error:
        findings.add((*path, "certificate"), str(error))
    try:
        signing = files.private_key(key)
    except ValueError as error:
        findings.add((*path, "key"), str(error))
    return chain, signing


def _public_key(der: bytes) -> bytes:
    return (
        x509.load_der_x509_certificate(der)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )


def _warn_of_expiry(der: bytes, text: str, path: KeyPath, findings: Findings) -> None:
    ends = x509.load_der_x509_certificate(der).not_valid_after_utc
    left = ends.timestamp() - time.time()
    if left < EXPIRES_SOON_SECONDS:
        tense = "expires" if left > 0 else "expired"
        findings.add(path, f"{text}: {tense} on {ends:%Y-%m-%d}; renew it", warning=True)
