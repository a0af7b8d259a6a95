"""Key exchange methods and the checks of RFC 6989."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gcks.crypto.errors import InvalidPublicKey, UnsupportedAlgorithm
from gcks.crypto.key_exchange import generate
from gcks.crypto.modp import GENERATOR, PRIMES
from gcks.iana import Ke
from gcks.ike.keywords import KE
from tests.support.repository import ROOT

ECP = {Ke.ECP_256: 64, Ke.ECP_384: 96, Ke.ECP_521: 132}
MODP = {Ke.MODP_2048: 256, Ke.MODP_3072: 384, Ke.MODP_4096: 512}
SHARED_OCTETS = {**MODP, **{method: size // 2 for method, size in ECP.items()}, Ke.CURVE25519: 32}
METHODS = sorted(transform.id for transform in KE.values())


@pytest.mark.parametrize("method", METHODS)
def test_both_sides_agree_on_a_secret_of_full_size(method: int) -> None:
    """RFC 7296 section 2.14: g^ir is padded to the size of the modulus."""
    ours, theirs = generate(method), generate(method)
    secret = ours.agree(theirs.public)
    assert secret == theirs.agree(ours.public)
    assert len(secret) == SHARED_OCTETS[method]


def test_a_short_modp_secret_is_padded_on_the_left() -> None:
    """RFC 7296 section 2.14: leading zeros stay; one secret of 256 has some."""
    prime, pair = PRIMES[Ke.MODP_2048], generate(Ke.MODP_2048)
    public = int.from_bytes(pair.public, "big")
    for private in range(2, 10_000):
        secret = pow(public, private, prime).to_bytes(256, "big")
        if not secret[0]:
            break
    assert not secret[0]
    assert pair.agree(pow(GENERATOR, private, prime).to_bytes(256, "big")) == secret


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("change", [-1, 1])
def test_public_keys_of_another_size_are_refused(method: int, change: int) -> None:
    public = generate(method).public
    other = public[:change] if change < 0 else public + b"\0"
    with pytest.raises(InvalidPublicKey):
        generate(method).agree(other)
    with pytest.raises(InvalidPublicKey):
        generate(method).agree(b"")


@pytest.mark.parametrize("method", sorted(MODP))
@pytest.mark.parametrize("offset", [0, 1, -1, "p"])
def test_modp_values_out_of_range_are_refused(method: int, offset: int | str) -> None:
    """RFC 6989 section 2.1: 1 < y < p - 1."""
    prime = PRIMES[method]
    value = prime if offset == "p" else (prime - 1 if offset == -1 else int(offset))
    with pytest.raises(InvalidPublicKey):
        generate(method).agree(value.to_bytes(MODP[method], "big"))


@pytest.mark.parametrize("method", sorted(ECP))
def test_points_off_the_curve_are_refused(method: int) -> None:
    """RFC 6989 section 2.3."""
    point = bytearray(generate(method).public)
    point[-1] ^= 1
    for public in (bytes(point), bytes(len(point)), b"\xff" * len(point)):
        with pytest.raises(InvalidPublicKey):
            generate(method).agree(public)


@pytest.mark.parametrize(
    "public",
    [
        bytes(32),
        b"\x01" + bytes(31),
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    ],
    ids=["zero", "one", "order 8"],
)
def test_an_all_zero_x25519_result_is_refused(public: bytes) -> None:
    """RFC 8031 section 2, RFC 7748 section 6.1: points of small order."""
    with pytest.raises(InvalidPublicKey):
        generate(Ke.CURVE25519).agree(public)


@pytest.mark.parametrize("method", [Ke.NONE, Ke.CURVE448, Ke.ML_KEM_768, 2, 4711])
def test_other_methods_are_refused(method: int) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        generate(method)


@pytest.mark.parametrize("method", METHODS)
def test_every_pair_is_new(method: int) -> None:
    assert generate(method).public != generate(method).public


def test_modp_says_nothing_to_standard_error() -> None:
    program = "from gcks.crypto.key_exchange import generate; generate(14)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, b"")
