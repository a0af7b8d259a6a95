"""Certificates for configurations under test: one CA, leaves with names of one's own."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class PemAuthority:
    """Writes PEM files into a directory."""

    directory: Path

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._write("ca.pem", self._issue("CA", self.key, None, 365).public_bytes(Encoding.PEM))

    def crl(self, *names: str, days: int = 1) -> None:
        """Write ca.crl, which revokes the certificates of these NAME.pem."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(_name("CA"))
            .last_update(now - 2 * DAY)
            .next_update(now + days * DAY)
        )
        for name in names:
            pem = (self.directory / f"{name}.pem").read_bytes()
            serial = x509.load_pem_x509_certificate(pem).serial_number
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
            builder = builder.add_revoked_certificate(one.build())
        signed = builder.sign(self.key, hashes.SHA256())
        self._write("ca.crl", signed.public_bytes(Encoding.PEM))

    def public_key(self, name: str) -> None:
        """Write NAME.pub, the public key of NAME.pem."""
        pem = (self.directory / f"{name}.pem").read_bytes()
        key = x509.load_pem_x509_certificate(pem).public_key()
        content = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._write(f"{name}.pub", content)

    def leaf(self, name: str, host: str, *, days: int = 365) -> None:
        """Write NAME.pem and NAME.key (mode 0600)."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = self._issue(host, key, host, days).public_bytes(Encoding.PEM)
        self._write(f"{name}.pem", pem)
        self._write(
            f"{name}.key",
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    def _write(self, name: str, octets: bytes) -> None:
        path = self.directory / name
        path.write_bytes(octets)
        path.chmod(0o600)

    def _issue(
        self, subject: str, key: ec.EllipticCurvePrivateKey, host: str | None, days: int
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name("CA"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 400 * DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        )
        if host is not None:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())
