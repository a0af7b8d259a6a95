"""Key exchange methods (RFC 7296 section 3.4): X25519, ECP (RFC 5903), MODP (RFC 3526).

Private keys come from the library's own generator (OpenSSL's DRBG), whose
blinding a seeded stream would only weaken.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric import dh, ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.utils import CryptographyDeprecationWarning

from gcks.crypto.errors import InvalidPublicKey, UnsupportedAlgorithm
from gcks.crypto.modp import GENERATOR, PRIMES
from gcks.iana import Ke

_UNCOMPRESSED: Final = b"\x04"
warnings.filterwarnings(
    "ignore", "Diffie-Hellman over finite fields", CryptographyDeprecationWarning
)
"""Peers that know only MODP groups are no news to who reads the daemon's standard error."""


class KeyPair(Protocol):
    """One side's ephemeral key; `public` is the Key Exchange Data to send."""

    public: bytes

    def agree(self, peer: bytes) -> bytes:
        """Return g^ir for the peer's Key Exchange Data, of the size that the method has.

        RFC 7296 section 2.14.  Raises `InvalidPublicKey` for another size, or a value
        that RFC 6989 forbids.
        """


class _X25519:
    __slots__ = ("_private", "public")

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes_raw()

    def agree(self, peer: bytes) -> bytes:
        """RFC 8031 section 2: 32 octets, and an all-zero result is refused."""
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(peer))
        except ValueError:
            raise InvalidPublicKey("not a usable X25519 public key") from None


class _Ecp:
    """RFC 5903: x | y as public key, x of the product as shared secret."""

    __slots__ = ("_curve", "_private", "public")

    def __init__(self, curve: ec.EllipticCurve) -> None:
        self._curve = curve
        self._private = ec.generate_private_key(curve)
        numbers = self._private.public_key().public_numbers()
        octets = (curve.key_size + 7) // 8
        self.public = numbers.x.to_bytes(octets, "big") + numbers.y.to_bytes(octets, "big")

    def agree(self, peer: bytes) -> bytes:
        """The library checks that the point is on the curve (RFC 6989 section 2.3)."""
        if len(peer) != len(self.public):
            raise InvalidPublicKey(f"an ECP public key of {len(peer)} octets")
        try:
            point = ec.EllipticCurvePublicKey.from_encoded_point(self._curve, _UNCOMPRESSED + peer)
        except ValueError:
            raise InvalidPublicKey("the point is not on the curve") from None
        return self._private.exchange(ec.ECDH(), point)


class _Modp:
    """RFC 3526; public values and secrets are padded to the prime's size (RFC 7296 2.14)."""

    __slots__ = ("_octets", "_prime", "_private", "public")

    def __init__(self, prime: int) -> None:
        self._prime = prime
        self._octets = (prime.bit_length() + 7) // 8
        self._private = _parameters(prime).generate_private_key()
        self.public = self._private.public_key().public_numbers().y.to_bytes(self._octets, "big")

    def agree(self, peer: bytes) -> bytes:
        """RFC 6989 section 2.1: 1 < y < p - 1 (these are safe primes)."""
        y = int.from_bytes(peer, "big")
        if len(peer) != self._octets or not 1 < y < self._prime - 1:
            raise InvalidPublicKey("a MODP public value out of range")
        numbers = dh.DHPublicNumbers(y, dh.DHParameterNumbers(self._prime, GENERATOR))
        try:
            return self._private.exchange(numbers.public_key())
        except ValueError:
            raise InvalidPublicKey("not a usable MODP public value") from None


@cache
def _parameters(prime: int) -> dh.DHParameters:
    return dh.DHParameterNumbers(prime, GENERATOR).parameters()


_METHODS: Final[dict[int, Callable[[], KeyPair]]] = {
    Ke.CURVE25519: _X25519,
    Ke.ECP_256: lambda: _Ecp(ec.SECP256R1()),
    Ke.ECP_384: lambda: _Ecp(ec.SECP384R1()),
    Ke.ECP_521: lambda: _Ecp(ec.SECP521R1()),
    Ke.MODP_2048: lambda: _Modp(PRIMES[Ke.MODP_2048]),
    Ke.MODP_3072: lambda: _Modp(PRIMES[Ke.MODP_3072]),
    Ke.MODP_4096: lambda: _Modp(PRIMES[Ke.MODP_4096]),
}


def generate(method: int) -> KeyPair:
    """Make an ephemeral key pair of the key exchange method (RFC 7296 section 3.3.2).

    Raises `UnsupportedAlgorithm`.
    """
    try:
        return _METHODS[method]()
    except KeyError:
        raise UnsupportedAlgorithm(f"KE {Ke(method)}") from None
