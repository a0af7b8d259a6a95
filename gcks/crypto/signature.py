"""Digital signatures of RFC 7427: AUTH payloads and signed GSA_REKEY messages.

An algorithm is accepted only if its AlgorithmIdentifier equals one of the table
below octet for octet: strict DER by construction, and no SHA-1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from gcks.crypto import spki as spki_codec
from gcks.crypto.errors import InvalidPublicKey, KeyUnusable, SignatureInvalid
from gcks.iana import Hash

PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
"""A longer modulus would only cost us time: a certificate has room for 60,000 bits."""


@dataclass(frozen=True, slots=True)
class SignatureAlgorithm:
    """A row of the table; `identifier` is DER, `hash_id` the RFC 7427 hash it needs."""

    name: str
    kind: str
    identifier: bytes
    hash_id: Hash
    hash: hashes.HashAlgorithm | None


def _pss(digest_oid: str, salt_octets: int) -> bytes:
    """RSASSA-PSS with one hash for message and MGF1, salt as long as the hash."""
    algorithm = bytes.fromhex("300d06096086480165030402" + digest_oid + "0500")
    mgf = b"\x30\x1a\x06\x09" + bytes.fromhex("2a864886f70d010108") + algorithm
    fields = (
        b"\xa0\x0f" + algorithm + b"\xa1\x1c" + mgf + b"\xa2\x03\x02\x01" + bytes((salt_octets,))
    )
    oid = bytes.fromhex("06092a864886f70d01010a")
    content = oid + bytes((0x30, len(fields))) + fields
    return bytes((0x30, len(content))) + content


def _pkcs1(last: int) -> bytes:
    return bytes.fromhex("300d06092a864886f70d0101") + bytes((last, 0x05, 0x00))


def _ecdsa(last: int) -> bytes:
    return bytes.fromhex("300a06082a8648ce3d0403") + bytes((last,))


ALGORITHMS: Final = {
    algorithm.name: algorithm
    for algorithm in (
        SignatureAlgorithm(
            "ed25519", "ed25519", bytes.fromhex("300506032b6570"), Hash.IDENTITY, None
        ),
        SignatureAlgorithm("ecdsa-sha256", "ecdsa", _ecdsa(2), Hash.SHA2_256, hashes.SHA256()),
        SignatureAlgorithm("ecdsa-sha384", "ecdsa", _ecdsa(3), Hash.SHA2_384, hashes.SHA384()),
        SignatureAlgorithm("ecdsa-sha512", "ecdsa", _ecdsa(4), Hash.SHA2_512, hashes.SHA512()),
        SignatureAlgorithm("rsa-pss-sha256", "rsa", _pss("01", 32), Hash.SHA2_256, hashes.SHA256()),
        SignatureAlgorithm("rsa-pss-sha384", "rsa", _pss("02", 48), Hash.SHA2_384, hashes.SHA384()),
        SignatureAlgorithm("rsa-pss-sha512", "rsa", _pss("03", 64), Hash.SHA2_512, hashes.SHA512()),
    )
}
"""The signature algorithms that gcks makes and accepts, by name."""

PKCS1_V15: Final = {
    algorithm.identifier: algorithm
    for algorithm in (
        SignatureAlgorithm("rsa-sha256", "rsa", _pkcs1(11), Hash.SHA2_256, hashes.SHA256()),
        SignatureAlgorithm("rsa-sha384", "rsa", _pkcs1(12), Hash.SHA2_384, hashes.SHA384()),
        SignatureAlgorithm("rsa-sha512", "rsa", _pkcs1(13), Hash.SHA2_512, hashes.SHA512()),
    )
}
"""By identifier: never made, and accepted by `verify` only where it is told to."""

BY_IDENTIFIER: Final = {algorithm.identifier: algorithm for algorithm in ALGORITHMS.values()}
HASHES: Final = (Hash.SHA2_256, Hash.SHA2_384, Hash.SHA2_512, Hash.IDENTITY)
"""What SIGNATURE_HASH_ALGORITHMS announces."""

_CURVE_HASH: Final = {
    "secp256r1": Hash.SHA2_256,
    "secp384r1": Hash.SHA2_384,
    "secp521r1": Hash.SHA2_512,
}
_GENERATORS: Final[dict[str, Callable[[], PrivateKey]]] = {
    "ed25519": Ed25519PrivateKey.generate,
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa-pss": lambda: rsa.generate_private_key(public_exponent=65537, key_size=3072),
}
_WANTED_KEYS: Final = "neither Ed25519, ECDSA on a NIST curve, nor RSA of 2048 to 8192 bits"


class SigningKey:
    """A private key; prints without its secret."""

    __slots__ = ("_key", "kind", "public_spki")

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.kind = _kind(key)
        self.public_spki = key.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )

    def __repr__(self) -> str:
        return f"SigningKey({self.kind})"

    @classmethod
    def generate(cls, kind: str) -> SigningKey:
        """Make a key: ed25519, ecdsa-p256, ecdsa-p384 or rsa-pss (3072 bits).

        Raises KeyError for another kind.
        """
        return cls(_GENERATORS[kind]())

    @classmethod
    def from_pkcs8(cls, der: bytes, *, own: bool = False) -> SigningKey:
        """Read a private key (DER, RFC 5958).

        `own`: gcks has made it.  The primes of another RSA key are tested: some 90 ms.
        Raises `KeyUnusable` for what can't be read, or none of the kinds and sizes that
        gcks uses.
        """
        try:
            key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=own)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyUnusable("not a readable PKCS#8 private key") from None
        if not isinstance(key, Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise KeyUnusable("neither an Ed25519, an ECDSA nor an RSA key")
        if not _is_usable(key.public_key()):
            raise KeyUnusable(_WANTED_KEYS)
        return cls(key)

    def to_pkcs8(self) -> bytes:
        """Return the private key (DER, RFC 5958), not encrypted."""
        return self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def algorithms(self, announced: Collection[int] = HASHES) -> list[SignatureAlgorithm]:
        """Return those that fit hashes which the peer announced, the most wanted first.

        RFC 7427 section 4.
        """
        wanted = _preferred_hash(self._key)
        fitting = [a for a in ALGORITHMS.values() if a.kind == self.kind and a.hash_id in announced]
        return sorted(fitting, key=lambda algorithm: algorithm.hash_id != wanted)

    def algorithm(self) -> SignatureAlgorithm:
        """Return the one that we like best."""
        return self.algorithms()[0]

    def auth_key(self, algorithm: SignatureAlgorithm) -> bytes:
        """Return the public key as AUTH_KEY wants it, a SubjectPublicKeyInfo.

        RFC 9838 section 4.5.3.2, ruling 5.
        """
        if self.kind != "rsa":
            return self.public_spki
        return spki_codec.join(algorithm.identifier, spki_codec.split(self.public_spki)[1])

    def sign(self, algorithm: SignatureAlgorithm, data: bytes) -> bytes:
        """Return the signature value (RFC 7427 section 3).

        Raises `SignatureInvalid` where `algorithm` is for another kind of key.
        """
        key, digest = self._key, algorithm.hash
        if isinstance(key, Ed25519PrivateKey):
            return key.sign(data)
        if digest is None:
            raise SignatureInvalid(f"{algorithm.name} does not fit the key")
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(data, ec.ECDSA(digest))
        return key.sign(data, _pss_padding(digest), digest)


def load_public_key(spki: bytes) -> PublicKey:
    """Read a SubjectPublicKeyInfo (DER), RSASSA-PSS ones included (RFC 4055 section 1.2).

    Raises `InvalidPublicKey`, also for kinds and sizes that gcks doesn't use.
    """
    algorithm, bit_string = spki_codec.split(spki)
    plain = spki
    if algorithm in BY_IDENTIFIER and BY_IDENTIFIER[algorithm].kind == "rsa":
        plain = spki_codec.join(spki_codec.RSA_ENCRYPTION, bit_string)
    try:
        key = load_der_public_key(plain)
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidPublicKey("not a readable public key") from None
    return usable_key(key)


def usable_key(key: object) -> PublicKey:
    """Return the key if signatures of gcks can be made with it.  Raises `InvalidPublicKey`."""
    if isinstance(key, PublicKey) and _is_usable(key):
        return key
    raise InvalidPublicKey(_WANTED_KEYS)


def _is_usable(key: PublicKey) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS
    return isinstance(key, Ed25519PublicKey) or key.curve.name in _CURVE_HASH


def check_auth_key(spki: bytes, identifier: bytes) -> None:
    """Hold AUTH_KEY against the Signature Algorithm Identifier (section 4.5.3.2, ruling 5).

    The algorithm fields must be equal for Ed25519 and RSASSA-PSS, and of the
    same key type for ECDSA.  Raises `SignatureInvalid`.
    """
    algorithm = find_algorithm(identifier)
    field, _ = spki_codec.split(spki)
    if algorithm.kind != _kind(load_public_key(spki)):
        raise SignatureInvalid(f"AUTH_KEY is no {algorithm.kind} key")
    if algorithm.kind != "ecdsa" and field != identifier:
        raise SignatureInvalid("AUTH_KEY's algorithm is not the Signature Algorithm Identifier")


def find_algorithm(identifier: bytes) -> SignatureAlgorithm:
    """Return the table's row for a DER AlgorithmIdentifier (RFC 7427 section 3).

    Raises `SignatureInvalid`.
    """
    try:
        return BY_IDENTIFIER[identifier]
    except KeyError:
        raise SignatureInvalid(f"unacceptable AlgorithmIdentifier {identifier.hex()}") from None


def verify(
    key: PublicKey,
    identifier: bytes,
    signature: bytes,
    data: bytes,
    *,
    allow_pkcs1_v15: bool = False,
) -> None:
    """Check a signature (RFC 7427 section 3); `identifier` is a DER AlgorithmIdentifier.

    `allow_pkcs1_v15` also accepts RSASSA-PKCS1-v1_5.  Raises `SignatureInvalid`, also
    where the algorithm isn't acceptable or doesn't fit the key.
    """
    legacy = PKCS1_V15.get(identifier) if allow_pkcs1_v15 else None
    algorithm = legacy or find_algorithm(identifier)
    if algorithm.kind != _kind(key):
        raise SignatureInvalid(f"{algorithm.name} does not fit the {_kind(key)} key")
    try:
        _verify(key, algorithm, signature, data)
    except InvalidSignature:
        raise SignatureInvalid("the signature does not verify") from None


def _verify(key: PublicKey, algorithm: SignatureAlgorithm, signature: bytes, data: bytes) -> None:
    digest = algorithm.hash
    if isinstance(key, Ed25519PublicKey):
        key.verify(signature, data)
    elif isinstance(key, ec.EllipticCurvePublicKey) and digest is not None:
        key.verify(signature, data, ec.ECDSA(digest))
    elif isinstance(key, rsa.RSAPublicKey) and digest is not None:
        scheme = padding.PKCS1v15() if algorithm.identifier in PKCS1_V15 else _pss_padding(digest)
        key.verify(signature, data, scheme, digest)
    else:
        raise SignatureInvalid(f"{algorithm.name} does not fit the key")


def _pss_padding(digest: hashes.HashAlgorithm) -> padding.PSS:
    return padding.PSS(padding.MGF1(digest), digest.digest_size)


def _kind(key: PrivateKey | PublicKey) -> str:
    if isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        return "ed25519"
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return "ecdsa"
    return "rsa"


def _preferred_hash(key: PrivateKey) -> Hash:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVE_HASH.get(key.curve.name, Hash.SHA2_256)
    return Hash.IDENTITY if isinstance(key, Ed25519PrivateKey) else Hash.SHA2_256
