"""A certification authority whose clock is the virtual network's."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from gcks.crypto.certificates import TrustStore
from gcks.crypto.signature import SigningKey
from gcks.ike.credentials import OwnCredential
from tests.support.network import WALL_AT_ZERO

NOW = datetime.datetime.fromtimestamp(WALL_AT_ZERO, datetime.UTC)
DAY = datetime.timedelta(days=1)
KEYS = {
    "ed25519": Ed25519PrivateKey.generate,
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


class Authority:
    """A CA for one test."""

    def __init__(self, name: str = "CA", until: datetime.datetime = NOW + 365 * DAY) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._build(self.name, self.key.public_key(), None, until)
        self.trust = TrustStore([self.certificate.public_bytes(Encoding.DER)])

    def _build(self, subject, public, name, until):  # type: ignore[no-untyped-def]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 30 * DAY)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=name is None, path_length=None), critical=True)
        )
        if name is not None:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
            )
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name: str, kind: str = "ecdsa-p256", until=NOW + 30 * DAY) -> OwnCredential:  # type: ignore[no-untyped-def]
        key = KEYS[kind]()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(subject, key.public_key(), name, until)
        pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return OwnCredential(
            (certificate.public_bytes(Encoding.DER),), SigningKey.from_pkcs8(pkcs8)
        )
