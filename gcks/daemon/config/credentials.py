"""Credentials out of files, for both roles; what is wrong goes to the findings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gcks.crypto.certificates import TrustStore, authorities_above
from gcks.crypto.errors import CertificateInvalid, CryptoError
from gcks.crypto.revocation import Revocation
from gcks.crypto.signature import SigningKey, load_public_key
from gcks.daemon.config.credential_model import KeyPairSection, OwnSection, TrustSection
from gcks.daemon.config.files import Files
from gcks.daemon.config.problems import ConfigError, Findings, KeyPath
from gcks.errors import RefusalReason, Unfit
from gcks.ike.credentials import Credentials, OwnCredential, RawPublicKey
from gcks.wire.identification import Identity

T = TypeVar("T")

EXPIRES_SOON_SECONDS: Final = 30 * 86400


def reading_again(
    config: Path, read: Callable[[Findings], Credentials]
) -> Callable[[], Credentials]:
    """Return what reads credentials once more; it raises `ConfigError` for what is wrong then."""

    def again() -> Credentials:
        findings = Findings(str(config), {})
        credentials = read(findings)
        if findings.errors:
            raise ConfigError(findings.errors)
        return credentials

    return again


def read_secret(text: str, path: KeyPath, files: Files, findings: Findings) -> bytes | None:
    """Return a pre-shared key."""
    return tried(lambda: files.secret(text), path, findings)


def tried(read: Callable[[], T], path: KeyPath, findings: Findings) -> T | None:
    """Return what is read; what is wrong with it goes to the findings."""
    try:
        return read()
    except Unfit as error:
        findings.refuse(path, error)
    except CryptoError as error:
        findings.add(path, str(error), "give Ed25519, ECDSA, or RSA from 2048 bits on")
    return None


# --- whom to believe --------------------------------------------------------------------


def _read_anchors(
    texts: Sequence[str], path: KeyPath, files: Files, findings: Findings
) -> list[bytes]:
    """Return the trust anchors in these files (DER)."""
    anchors: list[bytes] = []
    for place, text in enumerate(texts):
        here = (*path, place)
        certificates = tried(lambda text=text: files.certificates(text), here, findings) or ()  # type: ignore[misc]
        try:
            TrustStore(certificates)  # each file by itself, so that the message names the right one
            anchors += certificates
        except CryptoError as error:
            findings.add(here, str(error), "give a CA's certificate that all peers can use")
            continue
        for der in certificates:
            _warn_of_expiry(der, text, here, findings)
    return anchors


def read_trust(
    section: TrustSection, path: KeyPath, files: Files, findings: Findings
) -> TrustStore | None:
    """Return a store of the trust anchors with their CRLs; None where there are none."""
    anchors = _read_anchors(section.trust_anchors, (*path, "trust_anchors"), files, findings)
    crls = [
        tried(lambda text=text: files.crl(text), (*path, "crls", place), findings)  # type: ignore[misc]
        for place, text in enumerate(section.crls)
    ]
    for place, crl in enumerate(crls):
        if crl is not None and crl.next_update < time.time():
            reason = f"{section.crls[place]}: out of date"
            findings.add((*path, "crls", place), reason, "fetch a new one", warning=True)
    mode = section.revocation or ("soft" if section.crls else "ignore")
    if not section.trust_anchors and (section.crls or section.revocation):
        findings.add(
            (*path, "trust_anchors"),
            "missing: crls and revocation are about them",
            "give the CAs, or leave those out",
        )
    readable = (crl for crl in crls if crl is not None)
    return TrustStore(anchors, readable, Revocation(mode)) if anchors else None


def read_raw_public_key(
    text: str, identity: str, path: KeyPath, files: Files, findings: Findings
) -> RawPublicKey | None:
    """Return a peer's raw public key."""

    def read() -> RawPublicKey:
        spki = files.public_key(text)
        return RawPublicKey(identity, spki, load_public_key(spki))

    return tried(read, path, findings)


# --- who we are -------------------------------------------------------------------------


def read_own(
    section: OwnSection,
    path: KeyPath,
    identity: Identity | None,
    anchors: Sequence[bytes],
    files: Files,
    findings: Findings,
) -> tuple[OwnCredential, ...]:
    """Return our keys with their chains: they belong together, name us and are valid now."""
    pairs = list(enumerate(section.certificates))
    listed = [(pair, (*path, "certificates", place)) for place, pair in pairs]
    if section.key is not None:
        first = KeyPairSection(key=section.key, certificate=section.certificate, ocsp=section.ocsp)
        listed.insert(0, (first, path))
    elif section.certificate is not None or section.ocsp is not None:
        findings.add(path, "a certificate needs its key", "give key too")
    credentials = [
        _read_pair(pair, place, identity, anchors, files, findings) for pair, place in listed
    ]
    return tuple(credential for credential in credentials if credential is not None)


def _read_pair(
    pair: KeyPairSection,
    path: KeyPath,
    identity: Identity | None,
    anchors: Sequence[bytes],
    files: Files,
    findings: Findings,
) -> OwnCredential | None:
    key = tried(lambda: files.private_key(pair.key), (*path, "key"), findings)
    ocsp = None
    if pair.ocsp is not None:
        text = pair.ocsp
        ocsp = tried(lambda: files.ocsp(text), (*path, "ocsp"), findings)
    if pair.certificate is None:
        return OwnCredential((), key) if key is not None else None
    chain = _read_chain(pair.certificate, path, identity, files, findings)
    if not chain or key is None or not _belong_together(chain[0], key, pair, path, files, findings):
        return None
    return OwnCredential(chain, key, authorities_above(chain, anchors), ocsp)


def _read_chain(
    text: str, path: KeyPath, identity: Identity | None, files: Files, findings: Findings
) -> tuple[bytes, ...]:
    place = (*path, "certificate")
    chain = tried(lambda: files.certificates(text), place, findings) or ()
    if chain and identity is not None:
        try:
            # With the leaf as its own anchor everything but the chain is judged as peers do.
            TrustStore(chain[:1]).validate(chain[:1], identity, time.time())
        except CertificateInvalid as error:
            remedy = _OWN_CERTIFICATE.get(error.reason, "have a better one issued")
            findings.add(place, f"{error}: peers would refuse it", remedy)
        _warn_of_expiry(chain[0], text, place, findings)
    return chain


_OWN_CERTIFICATE: Final = {
    RefusalReason.CERTIFICATE_EXPIRED: "renew it",
    RefusalReason.CERTIFICATE_NOT_YET_VALID: "correct this host's clock",
    RefusalReason.CERTIFICATE_NAME: "have one issued with the identity in its subjectAltName, or"
    " let identity be a name that stands in it",
}
"""What to do about our own certificate, by why peers would refuse it."""


def _belong_together(
    leaf: bytes,
    key: SigningKey,
    pair: KeyPairSection,
    path: KeyPath,
    files: Files,
    findings: Findings,
) -> bool:
    public = x509.load_der_x509_certificate(leaf).public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if spki != key.public_spki:
        reason = f"{files.named(pair.key)} is not the key of the certificate"
        findings.add((*path, "key"), reason, "give the two that were made together")
    return spki == key.public_spki


def _warn_of_expiry(der: bytes, text: str, path: KeyPath, findings: Findings) -> None:
    ends = x509.load_der_x509_certificate(der).not_valid_after_utc
    left = ends.timestamp() - time.time()
    if left < EXPIRES_SOON_SECONDS:
        tense = "expires" if left > 0 else "expired"
        findings.add(path, f"{text}: {tense} on {ends:%Y-%m-%d}", "renew it", warning=True)
