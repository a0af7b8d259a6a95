"""Secrets, keys and certificates that a configuration refers to by file.

A path may begin with ${CREDENTIALS_DIRECTORY} (systemd's LoadCredential) or
another environment variable, and is relative to the configuration file.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gcks.crypto.aead_box import MASTER_KEY_OCTETS
from gcks.crypto.errors import CryptoError
from gcks.crypto.signature import SigningKey
from gcks.ike.credentials import OwnCertificate

MIN_PSK_OCTETS: Final = 16
_MAX_OCTETS: Final = 1 << 20
_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP
_VARIABLE: Final = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")


class Files:
    """Reads files for one configuration.  All methods raise ValueError with cause and remedy."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def path(self, text: str) -> Path:
        """Expand environment references; relative paths start at the configuration."""

        def value(found: re.Match[str]) -> str:
            if found[1] not in os.environ:
                raise ValueError(f"the environment has no {found[1]}")
            return os.environ[found[1]]

        return self._base / _VARIABLE.sub(value, text)

    def read(self, text: str, *, secret: bool = False) -> bytes:
        path = self.path(text)
        try:
            if secret:
                _check_private(path)
            with path.open("rb") as file:
                content = file.read(_MAX_OCTETS + 1)
        except OSError as error:
            raise ValueError(f"can't read {path}: {error.strerror}") from None
        if len(content) > _MAX_OCTETS:
            raise ValueError(f"{path} is larger than {_MAX_OCTETS} octets")
        return content

    def secret(self, text: str) -> bytes:
        """Read a PSK: hex:..., or file:PATH with the octets (one final newline is dropped)."""
        kind, _, value = text.partition(":")
        if kind == "hex":
            try:
                octets = bytes.fromhex(value)
            except ValueError:
                raise ValueError("after hex: comes an even number of hexadecimal digits") from None
        elif kind == "file":
            octets = self.read(value, secret=True).removesuffix(b"\n")
        else:
            raise ValueError("write hex:... or file:PATH")
        if len(octets) < MIN_PSK_OCTETS:
            raise ValueError(f"a pre-shared key needs at least {MIN_PSK_OCTETS} octets")
        return octets

    def master_key(self, text: str) -> bytes:
        """Read the master key: 32 octets, or 64 hexadecimal digits."""
        octets = self.read(text, secret=True)
        if len(octets) == MASTER_KEY_OCTETS:
            return octets
        try:
            octets = bytes.fromhex(octets.decode("ascii").strip())
        except ValueError:
            octets = b""
        if len(octets) != MASTER_KEY_OCTETS:
            raise ValueError(
                f"{self.path(text)}: a master key has {MASTER_KEY_OCTETS} octets; "
                "make one with: head -c 32 /dev/urandom > FILE"
            )
        return octets

    def certificates(self, text: str) -> tuple[bytes, ...]:
        """Read a PEM file of certificates; return DER."""
        try:
            found = x509.load_pem_x509_certificates(self.read(text))
        except ValueError as error:
            known = str(error).startswith("can't read")
            reason = str(error) if known else f"{self.path(text)} holds no PEM certificate"
            raise ValueError(reason) from None
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in found)

    def own_certificate(self, certificate: str, key: str) -> OwnCertificate:
        """Read our chain and private key; they must belong together."""
        chain = self.certificates(certificate)
        pem = self.read(key, secret=True)
        try:
            private = load_pem_private_key(pem, None)
            pkcs8 = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            signing = SigningKey.from_pkcs8(pkcs8)
        except (ValueError, TypeError, CryptoError):
            raise ValueError(
                f"{self.path(key)} holds no usable PEM private key without passphrase "
                "(Ed25519, ECDSA or RSA)"
            ) from None
        leaf = x509.load_der_x509_certificate(chain[0]).public_key()
        spki = leaf.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if spki != signing.public_spki:
            raise ValueError(f"{self.path(key)} is not the key of {self.path(certificate)}")
        return OwnCertificate(chain, signing)


def _check_private(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & _OTHERS:
        raise ValueError(f"{path} can be read or changed by others; chmod 600 it")
