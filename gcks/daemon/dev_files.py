"""The files of a development directory: CA, certificates, secret, master key.

They are made once and used again, so that a killed server goes on with the same group.
"""

from __future__ import annotations

import datetime
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from gcks.crypto.aead_box import MASTER_KEY_OCTETS
from gcks.crypto.signature import SigningKey
from gcks.errors import LocalError
from gcks.ike.credentials import OwnCredential

SERVER_IDENTITY: Final = "fqdn:gcks.dev"
CERTIFICATE_IDENTITY: Final = "fqdn:gm-cert.dev"
_CERTIFICATE_DAYS: Final = 3650
_PRIVATE: Final = 0o600


@dataclass(frozen=True, slots=True)
class DevFiles:
    """The files of a development directory, by the names in the table below."""

    directory: Path

    def __getattr__(self, name: str) -> Path:
        return self.directory / _FILES[name]


_FILES: Final = {
    "ca": "ca.pem",
    "ca_key": "ca.key",
    "server_certificate": "server.pem",
    "server_key": "server.key",
    "member_certificate": "member.pem",
    "member_key": "member.key",
    "secret": "psk",
    "master_key": "master.key",
    "store": "gcks.sqlite",
    "control": "control.sock",
    "description": "dev.json",
}


@contextmanager
def usable(files: DevFiles) -> Iterator[None]:
    """Raise `LocalError` where the files aren't those that gcks has made here."""
    try:
        yield
    except OSError as error:
        told = f"{error.filename or files.directory}: {error.strerror or error}"
    except ValueError as error:
        told = f"{files.directory}: {error}"
    else:
        return
    raise LocalError(f"{told}; empty that directory, or choose another --data-dir")


# --- making the files -------------------------------------------------------------------


def prepare(directory: Path) -> DevFiles:
    """Make what is missing.  Raises `LocalError`."""
    files = DevFiles(directory)
    try:
        own_directory(directory)
        _make_secret(files.secret)
        _make_secret(files.master_key)
        if not files.ca.exists():
            _make_pki(files)
    except OSError as error:
        raise LocalError(f"{directory}: {error.strerror}; choose another --data-dir") from None
    return files


def own_directory(directory: Path) -> None:
    """Make a directory unless it is there; in another's somebody else could lay out the files.

    Raises `OSError`, and `LocalError` for a directory that others can write to.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LocalError(
            f"{directory}: others can write there, and secrets are to be kept in it; "
            "name a directory of yours"
        )


def _make_secret(path: Path) -> None:
    if not path.exists():
        write_private(path, secrets.token_bytes(MASTER_KEY_OCTETS))


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, all of it or nothing."""
    new = path.with_suffix(path.suffix + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    new.replace(path)


def _make_pki(files: DevFiles) -> None:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("gcks development CA")
    ca = _certificate(ca_name, ca_name, ca_key, ca_key, None)
    for identity, certificate_path, key_path in (
        (SERVER_IDENTITY, files.server_certificate, files.server_key),
        (CERTIFICATE_IDENTITY, files.member_certificate, files.member_key),
    ):
        host = identity.removeprefix("fqdn:")
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _certificate(_name(host), ca_name, key, ca_key, host)
        write_private(key_path, _pem(key))
        certificate_path.write_bytes(leaf.public_bytes(Encoding.PEM))
    write_private(files.ca_key, _pem(ca_key))
    files.ca.write_bytes(ca.public_bytes(Encoding.PEM))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    host: str | None,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(authority=host is None), critical=True)
    )
    if host is not None:
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


# --- reading them -----------------------------------------------------------------------


def secret_octets(path: Path) -> bytes:
    """Read a secret that `prepare` has made.  Raises OSError and ValueError."""
    octets = path.read_bytes()
    if len(octets) != MASTER_KEY_OCTETS:
        raise ValueError(f"{path.name} has {len(octets)} octets, not {MASTER_KEY_OCTETS}")
    return octets


def pem_certificate(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)


def own_certificate(certificate: Path, key: Path) -> OwnCredential:
    private = load_pem_private_key(key.read_bytes(), None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise LocalError(f"{key}: not the key that gcks made here")
    return OwnCredential((pem_certificate(certificate),), SigningKey(private))
