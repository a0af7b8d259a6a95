"""Keys and chains of every kind that strongSwan and gcks both know."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY: Final = datetime.timedelta(days=1)
KEYS: Final[dict[str, Callable[[], Any]]] = {
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 3072),
    "rsa-large": lambda: rsa.generate_private_key(65537, 4096),
}


class Chain:
    """A root, any number of intermediates, and leaves for both sides."""

    def __init__(self, kind: str, intermediates: int = 0) -> None:
        self._kind = kind
        self.names = ["root", *(f"intermediate {n}" for n in range(intermediates))]
        self._keys = [KEYS[kind]() for _ in self.names]
        self.authorities = [
            self._issue(name, self._keys[at], max(0, at - 1), None)
            for at, name in enumerate(self.names)
        ]

    def leaf(self, host: str) -> tuple[Any, x509.Certificate]:
        key = KEYS[self._kind]()
        return key, self._issue(host, key, len(self.names) - 1, host)

    def _issue(self, subject: str, key: Any, by: int, host: str | None) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(self.names[by]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 90 * DAY)
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        )
        if host is not None:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        issuer = self._keys[by]
        digest = None if isinstance(issuer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        options = {}
        if isinstance(issuer, rsa.RSAPrivateKey):
            options["rsa_padding"] = padding.PKCS1v15()
        return builder.sign(issuer, digest, **options)

    def crl(self, *revoked: x509.Certificate) -> bytes:
        """Return a CRL (PEM) of the CA that issues the leaves."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(_name(self.names[-1]))
            .last_update(now - DAY)
            .next_update(now + DAY)
        )
        for certificate in revoked:
            one = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
            builder = builder.add_revoked_certificate(one.revocation_date(now - DAY).build())
        return builder.sign(self._keys[-1], hashes.SHA256()).public_bytes(Encoding.PEM)

    def write(self, directory: Path) -> None:
        """Write what gcks needs into `directory`, what strongSwan needs into directory/swan."""
        swan = directory / "swan"
        for name in ("x509", "x509ca", "private"):
            (swan / name).mkdir(parents=True, exist_ok=True)
        root, *between = [pem(one) for one in self.authorities]
        (directory / "ca.pem").write_bytes(root)
        (swan / "x509ca" / "root.pem").write_bytes(root)
        for number, one in enumerate(between):
            (swan / "x509ca" / f"between{number}.pem").write_bytes(one)
        key, certificate = self.leaf("gcks.test")
        (directory / "gcks.pem").write_bytes(pem(certificate) + b"".join(reversed(between)))
        write_key(directory / "gcks.key", key)
        key, certificate = self.leaf("gm1.test")
        (swan / "x509" / "gm1.pem").write_bytes(pem(certificate))
        write_key(swan / "private" / "gm1.pem", key)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def write_key(path: Path, key: Any) -> None:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
