"""Certificates for configurations under test: one CA, leaves with names of one's own."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class Authority:
    """Writes PEM files into a directory."""

    directory: Path

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._write("ca.pem", self._issue("CA", self.key, None, 365).public_bytes(Encoding.PEM))

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
