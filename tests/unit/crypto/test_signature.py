"""Digital signatures of RFC 7427 and AUTH_KEY (RFC 9838 section 4.5.3.2, ruling 5)."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from gcks.crypto import spki as spki_codec
from gcks.crypto.errors import InvalidPublicKey, KeyUnusable, SignatureInvalid
from gcks.crypto.signature import (
    ALGORITHMS,
    HASHES,
    PKCS1_V15,
    SigningKey,
    check_auth_key,
    load_public_key,
    verify,
)
from gcks.iana import Hash

DATA = b"InitiatorSignedOctets"
MADE = ("ed25519", "ecdsa-p256", "ecdsa-p384", "rsa-pss")
KEYS = {kind: SigningKey.generate(kind) for kind in MADE}
KEYS["ecdsa-p521"] = SigningKey(ec.generate_private_key(ec.SECP521R1()))
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pairs() -> Iterator[tuple[str, str]]:
    for kind in sorted(KEYS):
        for name in sorted(ALGORITHMS):
            if ALGORITHMS[name].kind == KEYS[kind].kind:
                yield kind, name


def pkcs8(key: Any) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def spki(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(("kind", "name"), list(pairs()))
def test_verify_accepts_what_sign_makes_and_nothing_else(kind: str, name: str) -> None:
    key, algorithm = KEYS[kind], ALGORITHMS[name]
    signature = key.sign(algorithm, DATA)
    public = load_public_key(key.public_spki)
    verify(public, algorithm.identifier, signature, DATA)
    flipped = signature[:-1] + bytes((signature[-1] ^ 1,))
    for value, data in ((signature, DATA + b"!"), (flipped, DATA), (b"", DATA), (bytes(64), DATA)):
        with pytest.raises(SignatureInvalid):
            verify(public, algorithm.identifier, value, data)


@pytest.mark.parametrize("kind", sorted(KEYS))
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_an_algorithm_of_another_kind_is_refused(kind: str, name: str) -> None:
    key, algorithm = KEYS[kind], ALGORITHMS[name]
    if algorithm.kind != key.kind:
        with pytest.raises(SignatureInvalid):
            verify(load_public_key(key.public_spki), algorithm.identifier, bytes(64), DATA)


def test_ecdsa_is_the_der_ecdsa_sig_value() -> None:
    """RFC 7427 section 3: not the fixed-size form of RFC 4754."""
    key = KEYS["ecdsa-p256"]
    public, identifier = load_public_key(key.public_spki), ALGORITHMS["ecdsa-sha256"].identifier
    signature = key.sign(ALGORITHMS["ecdsa-sha256"], DATA)
    assert signature[0] == 0x30 and signature[1] == len(signature) - 2
    with pytest.raises(SignatureInvalid):
        verify(public, identifier, signature[4:36] + signature[-32:], DATA)
    with pytest.raises(SignatureInvalid):
        verify(public, identifier, signature + b"\0", DATA)


SHA1_IDENTIFIERS = [
    "300906072a8648ce3d0401",  # ecdsa-with-SHA1
    "300d06092a864886f70d0101050500",  # sha1WithRSAEncryption
    "300d06092a864886f70d01010a3000",  # RSASSA-PSS with the default parameters: SHA-1
]


@pytest.mark.parametrize("identifier", SHA1_IDENTIFIERS)
def test_sha_1_is_refused(identifier: str) -> None:
    for kind in KEYS.values():
        with pytest.raises(SignatureInvalid):
            verify(
                load_public_key(kind.public_spki),
                bytes.fromhex(identifier),
                bytes(64),
                DATA,
                allow_pkcs1_v15=True,
            )


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_an_identifier_is_compared_octet_for_octet(name: str) -> None:
    key = next(k for k in KEYS.values() if k.kind == ALGORITHMS[name].kind)
    signature = key.sign(ALGORITHMS[name], DATA)
    identifier, public = ALGORITHMS[name].identifier, load_public_key(key.public_spki)
    changes = [identifier + b"\0", identifier[:-1], b"", b"\x30\x81" + identifier[1:]]
    for place in range(len(identifier)):
        flipped = bytearray(identifier)
        flipped[place] ^= 0x20
        changes.append(bytes(flipped))
    for changed in changes:
        with pytest.raises(SignatureInvalid):
            verify(public, changed, signature, DATA)


@pytest.mark.parametrize("name", ["rsa-pss-sha256", "rsa-pss-sha384", "rsa-pss-sha512"])
def test_the_pss_identifier_is_the_library_s_own(name: str) -> None:
    """A certificate that `cryptography` signs with the same parameters holds the same DER."""
    digest = ALGORITHMS[name].hash
    assert digest is not None
    subject = x509.Name([])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(subject, subject, RSA.public_key(), 1, start, start)
    scheme = padding.PSS(padding.MGF1(digest), digest.digest_size)
    der = builder.sign(RSA, digest, rsa_padding=scheme).public_bytes(Encoding.DER)
    assert der.count(ALGORITHMS[name].identifier) == 2


def test_a_pss_salt_of_another_length_is_refused() -> None:
    digest = hashes.SHA256()
    short = RSA.sign(DATA, padding.PSS(padding.MGF1(digest), 20), digest)
    with pytest.raises(SignatureInvalid):
        verify(load_public_key(spki(RSA)), ALGORITHMS["rsa-pss-sha256"].identifier, short, DATA)


@pytest.mark.parametrize("identifier", sorted(PKCS1_V15), ids=lambda i: PKCS1_V15[i].name)
def test_pkcs1_v15_only_where_it_is_allowed(identifier: bytes) -> None:
    digest = PKCS1_V15[identifier].hash
    assert digest is not None
    signature, public = RSA.sign(DATA, padding.PKCS1v15(), digest), load_public_key(spki(RSA))
    with pytest.raises(SignatureInvalid):
        verify(public, identifier, signature, DATA)
    verify(public, identifier, signature, DATA, allow_pkcs1_v15=True)
    with pytest.raises(SignatureInvalid):
        verify(public, identifier, signature, DATA + b"!", allow_pkcs1_v15=True)


def test_the_algorithm_follows_the_key_and_the_announced_hashes() -> None:
    """RFC 7427 section 4."""
    assert KEYS["ecdsa-p256"].algorithm().name == "ecdsa-sha256"
    assert KEYS["ecdsa-p384"].algorithm().name == "ecdsa-sha384"
    assert [a.name for a in KEYS["ecdsa-p384"].algorithms([Hash.SHA2_512])] == ["ecdsa-sha512"]
    assert [a.name for a in KEYS["rsa-pss"].algorithms([Hash.SHA2_384])] == ["rsa-pss-sha384"]
    assert KEYS["ed25519"].algorithm().name == "ed25519"


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_no_algorithm_for_hashes_that_do_not_fit(kind: str) -> None:
    unfit = [Hash.SHA2_256] if kind == "ed25519" else [Hash.IDENTITY]
    for announced in ([], [Hash.SHA1], unfit):
        assert KEYS[kind].algorithms(announced) == []


def test_sha_1_is_not_announced() -> None:
    assert Hash.SHA1 not in HASHES and Hash.IDENTITY in HASHES


@pytest.mark.parametrize(("kind", "name"), list(pairs()))
def test_auth_key_fits_its_identifier(kind: str, name: str) -> None:
    """RFC 9838 section 4.5.3.2, ruling 5; the key in it verifies."""
    key, algorithm = KEYS[kind], ALGORITHMS[name]
    auth_key = key.auth_key(algorithm)
    check_auth_key(auth_key, algorithm.identifier)
    verify(load_public_key(auth_key), algorithm.identifier, key.sign(algorithm, DATA), DATA)


def test_auth_key_of_pss_carries_the_parameters() -> None:
    """Ruling 5: octet equality for RSASSA-PSS, so a plain RSA key or other parameters fail."""
    key, sha256 = KEYS["rsa-pss"], ALGORITHMS["rsa-pss-sha256"]
    other = key.auth_key(ALGORITHMS["rsa-pss-sha512"])
    for wrong in (key.public_spki, other):
        with pytest.raises(SignatureInvalid):
            check_auth_key(wrong, sha256.identifier)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("ecdsa-p256", "ed25519"), ("ed25519", "ecdsa-sha256"), ("rsa-pss", "ecdsa-sha256")],
)
def test_auth_key_of_another_type_is_refused(kind: str, name: str) -> None:
    with pytest.raises(SignatureInvalid):
        check_auth_key(KEYS[kind].public_spki, ALGORITHMS[name].identifier)


def test_weak_and_foreign_keys_are_refused() -> None:
    keys = [
        rsa.generate_private_key(public_exponent=65537, key_size=1024),
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.SECP224R1()),
        ed448.Ed448PrivateKey.generate(),
        dsa.generate_private_key(1024),
    ]
    for key in keys:
        with pytest.raises(InvalidPublicKey):
            load_public_key(spki(key))
        with pytest.raises(KeyUnusable):
            SigningKey.from_pkcs8(pkcs8(key))


def test_a_huge_rsa_modulus_is_refused() -> None:
    """A certificate has room for one whose verification takes seconds."""
    numbers = rsa.RSAPublicNumbers(65537, (1 << 12000) + 1).public_key()
    octets = numbers.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(InvalidPublicKey):
        load_public_key(octets)


@pytest.mark.parametrize("kind", sorted(KEYS))
@pytest.mark.parametrize("ours", [False, True])
def test_pkcs8_round_trip(kind: str, ours: bool) -> None:
    again = SigningKey.from_pkcs8(KEYS[kind].to_pkcs8(), ours=ours)
    assert again.public_spki == KEYS[kind].public_spki
    data, algorithm = b"what is signed", again.algorithm()
    verify(
        load_public_key(again.public_spki), algorithm.identifier, again.sign(algorithm, data), data
    )


def test_the_primes_of_anothers_rsa_key_are_tested() -> None:
    """A modulus of three primes: keys of our own come from OpenSSL and our store."""
    first, second = (
        rsa.generate_private_key(65537, bits).private_numbers() for bits in (1024, 2048)
    )
    p, q = first.public_numbers.n, second.q
    d = pow(65537, -1, (first.p - 1) * (first.q - 1) * (q - 1))
    key = rsa.RSAPrivateNumbers(
        p=p, q=q, d=d, dmp1=d % (p - 1), dmq1=d % (q - 1), iqmp=pow(q, -1, p),
        public_numbers=rsa.RSAPublicNumbers(65537, p * q),
    ).private_key(unsafe_skip_rsa_key_validation=True)  # fmt: skip
    with pytest.raises(KeyUnusable):
        SigningKey.from_pkcs8(pkcs8(key))
    assert SigningKey.from_pkcs8(pkcs8(key), ours=True).kind == "rsa"


def test_our_own_rsa_key_is_read_within_a_moment() -> None:
    """The event loop reads it; to test its primes takes a hundred times as long."""
    octets = SigningKey.generate("rsa-pss").to_pkcs8()
    began = time.process_time()
    for _ in range(10):
        SigningKey.from_pkcs8(octets, ours=True)
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"-----BEGIN PRIVATE KEY-----"])
def test_unreadable_private_keys(octets: bytes) -> None:
    with pytest.raises(KeyUnusable):
        SigningKey.from_pkcs8(octets)


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_no_secret_in_the_representation(kind: str) -> None:
    assert repr(KEYS[kind]) == f"SigningKey({KEYS[kind].kind})"


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_truncated_spki(kind: str) -> None:
    octets = KEYS[kind].public_spki
    for size in range(len(octets)):
        with pytest.raises(InvalidPublicKey):
            load_public_key(octets[:size])
    with pytest.raises(InvalidPublicKey):
        load_public_key(octets + b"\0")


@given(st.binary(max_size=80).map(lambda tail: b"\x30" + tail))
def test_any_octets_are_a_key_or_the_one_error(octets: bytes) -> None:
    try:
        load_public_key(octets)
    except InvalidPublicKey as error:
        assert str(error)


@given(st.sampled_from(sorted(KEYS)), st.data())
def test_a_flipped_spki_is_a_key_or_the_one_error(kind: str, data: st.DataObject) -> None:
    octets = bytearray(KEYS[kind].public_spki)
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        load_public_key(bytes(octets))
    except InvalidPublicKey as error:
        assert str(error)


def test_split_and_join_are_inverse() -> None:
    for key in KEYS.values():
        assert spki_codec.join(*spki_codec.split(key.public_spki)) == key.public_spki


def test_lengths_that_are_not_der_are_refused() -> None:
    """A long form where the short one fits."""
    octets = KEYS["ed25519"].public_spki
    with pytest.raises(InvalidPublicKey):
        spki_codec.split(b"\x30\x81" + octets[1:])
