"""Secrets, keys and certificates that a configuration refers to by file.

A path may begin with ${CREDENTIALS_DIRECTORY} (systemd's LoadCredential) or
another environment variable, and is relative to the configuration file.  A
secret may be hex:${NAME}; nothing else refers to the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gcks.crypto.aead_box import MASTER_KEY_OCTETS
from gcks.crypto.errors import CryptoError
from gcks.crypto.revocation import MAX_CRL_OCTETS, Crl, check_ocsp
from gcks.crypto.signature import SigningKey
from gcks.daemon.config.opening import Stamp, open_to_others, read_file, stamp
from gcks.daemon.config.problems import reading_remedy
from gcks.daemon.config.quoting import NOT_REPEATED, SECRET_KINDS, looks_secret
from gcks.errors import Unfit

MIN_PSK_OCTETS: Final = 16
_MAX_OCTETS: Final = 1 << 20
_PEM: Final = b"-----BEGIN"
_MAKE_A_KEY: Final = "head -c 32 /dev/urandom > FILE"
_TO_PEM: Final = "of DER make PEM with: openssl x509 -inform DER -in FILE"
_VARIABLE: Final = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")


class Files:
    """Reads files for one configuration.  All methods raise `Unfit`."""

    def __init__(self, config: Path, included: Sequence[Path] = ()) -> None:
        """Take the main file, from which relative paths start, and those that it includes."""
        self._config, self._included = config, tuple(included)
        self.seen: dict[Path, Stamp] = {}
        """The files that were read, as they were then."""

    def path(self, text: str) -> Path:
        """Expand environment references; relative paths start at the configuration."""
        if text.startswith(SECRET_KINDS):
            raise Unfit(
                "this is a secret itself, and here belongs the name of a file",
                "write it to one (hex: is only for psk and secret)",
            )
        if "\0" in text:
            raise Unfit("a NUL character is in no name of a file", "remove it")
        return self._config.parent / _expanded(text)

    def named(self, text: str) -> str:
        """Return what messages call a file: never what the environment says, nor a secret."""
        if looks_secret(text):
            return NOT_REPEATED
        return text if _VARIABLE.search(text) else str(self._config.parent / text)

    def read(self, text: str, *, secret: bool = False, most: int = _MAX_OCTETS) -> bytes:
        path, name = self.path(text), self.named(text)
        try:
            content, status = read_file(path, most)
        except OSError as error:
            raise Unfit(f"can't read {name}: {error.strerror}", reading_remedy(error)) from None
        if secret:
            _check_private(name, status)
        if len(content) > most:
            raise Unfit(f"{name} is larger than {most} octets", "name the right file")
        self.seen[path] = stamp(status)
        return content

    def secret(self, text: str) -> bytes:
        """Read a PSK: hex:..., or file:PATH with the octets (one final newline is dropped)."""
        kind, _, value = text.partition(":")
        if kind == "hex":
            try:
                octets = bytes.fromhex(_expanded(value))
            except ValueError as error:
                if isinstance(error, NoVariable):
                    raise
                reason = "after hex: comes an even number of hexadecimal digits"
                raise Unfit(reason, "make them with: openssl rand -hex 32") from None
            if not _VARIABLE.fullmatch(value):
                self._check_config_private()
        elif kind == "file":
            octets = self.read(value, secret=True).removesuffix(b"\n")
        else:
            raise Unfit("no secret", "write hex:..., hex:${NAME} of the environment, or file:PATH")
        if len(octets) < MIN_PSK_OCTETS:
            reason = f"a pre-shared key needs at least {MIN_PSK_OCTETS} octets"
            raise Unfit(reason, f"make one with: {_MAKE_A_KEY}")
        return octets

    def master_key(self, text: str) -> bytes:
        """Read the master key: 32 octets, or 64 hexadecimal digits."""
        if re.fullmatch("[0-9a-fA-F]{64}", text):
            raise Unfit("this is the key itself", "write it to a file, and name that")
        octets = self.read(text, secret=True)
        if len(octets) == MASTER_KEY_OCTETS:
            return octets
        try:
            octets = bytes.fromhex(octets.decode("ascii").strip())
        except ValueError:
            octets = b""
        if len(octets) != MASTER_KEY_OCTETS:
            raise Unfit(
                f"{self.named(text)}: a master key has {MASTER_KEY_OCTETS} octets",
                f"make one with: {_MAKE_A_KEY}",
            )
        return octets

    def certificates(self, text: str) -> tuple[bytes, ...]:
        """Read a PEM file of certificates; return DER."""
        pem = self.read(text)
        try:
            certificates = x509.load_pem_x509_certificates(pem)
        except ValueError:
            raise Unfit(f"{self.named(text)} holds no PEM certificate", _TO_PEM) from None
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)

    def crl(self, text: str) -> Crl:
        """Read a complete CRL, PEM or DER."""
        content = self.read(text, most=MAX_CRL_OCTETS)
        try:
            if content.startswith(_PEM):
                content = x509.load_pem_x509_crl(content).public_bytes(Encoding.DER)
            return Crl(content)
        except (ValueError, CryptoError) as error:
            raise Unfit(f"{self.named(text)}: {error}", "give the complete CRL of a CA") from None

    def ocsp(self, text: str) -> bytes:
        """Read an OCSP response (DER)."""
        content = self.read(text)
        try:
            check_ocsp(content)
        except CryptoError as error:
            remedy = "make it with: openssl ocsp -respout FILE"
            raise Unfit(f"{self.named(text)}: {error}", remedy) from None
        return content

    def public_key(self, text: str) -> bytes:
        """Read a PEM public key; return its SubjectPublicKeyInfo (DER)."""
        pem = self.read(text)
        try:
            key = load_pem_public_key(pem)
            return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except (ValueError, UnsupportedAlgorithm):
            raise Unfit(
                f"{self.named(text)} holds no PEM public key",
                "make it with: openssl pkey -in KEY -pubout",
            ) from None

    def private_key(self, text: str) -> SigningKey:
        """Read a PEM private key that others can't read."""
        pem = self.read(text, secret=True)
        try:
            private = load_pem_private_key(pem, None)
            pkcs8 = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            return SigningKey.from_pkcs8(pkcs8)
        except (ValueError, TypeError, UnsupportedAlgorithm, CryptoError):
            raise Unfit(
                f"{self.named(text)} holds no PEM private key that can be used",
                "give Ed25519, ECDSA or RSA from 2048 bits on, without passphrase",
            ) from None

    def _check_config_private(self) -> None:
        """One of the files of the configuration holds a secret: which, YAML doesn't tell here."""
        for file in (self._config, *self._included):
            try:
                status = file.stat()
            except OSError as error:
                cause = f"can't look at {file}: {error.strerror}"
                raise Unfit(cause, reading_remedy(error)) from None
            if open_to_others(status):
                raise Unfit(
                    f"{file} is a file of the configuration that holds this secret and can be read "
                    "or changed by others",
                    "chmod 600 it, or move the secret out with file:PATH",
                )


class NoVariable(Unfit):
    """The environment has no such variable."""


def _expanded(text: str) -> str:
    """Replace ${NAME} by what the environment says.  Raises `NoVariable`."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise NoVariable(
                f"the environment has no {match[1]}",
                "set it (systemd does so for a service's credentials) or write the value out",
            )
        return os.environ[match[1]]

    return _VARIABLE.sub(value, text)


def _check_private(name: str, status: os.stat_result) -> None:
    """Refuse a secret that somebody else may know, or may have chosen."""
    if open_to_others(status):
        raise Unfit(f"{name} can be read or changed by others", "chmod 600 it")
    if status.st_uid not in (0, os.geteuid()):
        raise Unfit(
            f"{name} belongs to uid {status.st_uid}",
            "chown it to root or to the user that gcks runs as",
        )
