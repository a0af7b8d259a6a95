"""The algorithms of one IKE SA."""

from __future__ import annotations

import pytest

from gcks.crypto.errors import UnsupportedAlgorithm
from gcks.iana import Encr, Integ, Ke, Kwa, Prf
from gcks.ike.suite import IkeSuite

GCM = IkeSuite(Encr.AES_GCM_16, 256, Prf.HMAC_SHA2_384, Integ.NONE, Ke.CURVE25519, Kwa.KW_5649_256)
CBC = IkeSuite(
    Encr.AES_CBC, 128, Prf.HMAC_SHA2_256, Integ.HMAC_SHA2_512_256, Ke.ECP_256, Kwa.KW_5649_128
)
CHACHA = IkeSuite(Encr.CHACHA20_POLY1305, None, Prf.HMAC_SHA2_512, Integ.NONE, Ke.MODP_2048, None)


def test_key_sizes() -> None:
    """RFC 7296 section 2.14; AEAD has no SK_a and a salt in SK_e (RFC 5282 section 7)."""
    assert [suite.key_sizes for suite in (GCM, CBC, CHACHA)] == [
        (48, 0, 36),
        (32, 64, 16),
        (64, 0, 36),
    ]


def test_gsk_w_is_as_long_as_the_kwa_wants() -> None:
    """RFC 9838 section 3.1.1; plain IKEv2 peers have none."""
    assert [suite.gsk_w_octets for suite in (GCM, CBC, CHACHA)] == [32, 16, 0]


@pytest.mark.parametrize("suite", [GCM, CBC, CHACHA], ids=["gcm", "cbc", "chacha"])
def test_make_cipher_takes_the_keys_of_key_sizes(suite: IkeSuite) -> None:
    _, integ, encr = suite.key_sizes
    cipher = suite.make_cipher(bytes(encr), bytes(integ))
    iv = bytes(cipher.iv_octets)
    assert cipher.open(iv, cipher.seal(iv, bytes(32), b"aad"), b"aad") == bytes(32)


def test_an_unsupported_kwa_or_key_length_is_told() -> None:
    with pytest.raises(UnsupportedAlgorithm):
        _ = IkeSuite(20, 256, 5, 0, 31, Kwa.KW_ARX).gsk_w_octets
    with pytest.raises(UnsupportedAlgorithm):
        _ = IkeSuite(20, None, 5, 0, 31, 3).key_sizes
