"""Published vectors of the primitives, through gcks's own adapters."""

from __future__ import annotations

from hmac import digest
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gcks.crypto import key_exchange
from gcks.crypto.encr import make_cipher
from gcks.crypto.key_exchange import generate
from gcks.crypto.key_wrap import unwrap, wrap
from gcks.crypto.modp import PRIMES
from gcks.crypto.prf import prf
from gcks.crypto.signature import ALGORITHMS, PKCS1_V15
from gcks.iana import Encr, ExchangeType, Integ, Ke, PayloadType, Prf
from gcks.ike.protect import Envelope, open_chain, seal_chain
from gcks.wire.header import decode_header

SHA2 = (Prf.HMAC_SHA2_256, Prf.HMAC_SHA2_384, Prf.HMAC_SHA2_512)


@pytest.mark.parametrize(
    ("key", "data", "expected"),
    [
        (
            b"\x0b" * 20,
            b"Hi There",
            (
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
                "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c"
                "faea9ea9076ede7f4af152e8b2fa9cb6",
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
                "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
            ),
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            (
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
                "8e2240ca5e69e2c78b3239ecfab21649",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ),
    ],
    ids=["case 1", "case 2"],
)
def test_rfc_4231_hmac_sha2(key: bytes, data: bytes, expected: tuple[str, str, str]) -> None:
    assert tuple(prf(prf_id, key, data).hex() for prf_id in SHA2) == expected


def test_rfc_4231_case_6_a_key_longer_than_the_block() -> None:
    data = b"Test Using Larger Than Block-Size Key - Hash Key First"
    assert (
        prf(Prf.HMAC_SHA2_256, b"\xaa" * 131, data).hex()
        == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    )


GCM_PLAIN = bytes.fromhex(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
)
GCM_AAD = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
GCM_KEY = "feffe9928665731c6d6a8f9467308308"


@pytest.mark.parametrize(
    ("key", "sealed"),
    [
        (
            GCM_KEY,
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
            "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
            "5bc94fbc3221a5db94fae95ae7121a47",
        ),
        (
            GCM_KEY + GCM_KEY[:16],
            "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c"
            "7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710"
            "2519498e80f1478f37ba55bd6d27618c",
        ),
        (
            GCM_KEY * 2,
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
            "76fc6ece0f4e1768cddf8853bb2d551b",
        ),
    ],
    ids=["128", "192", "256"],
)
def test_gcm_specification_cases_4_10_16(key: str, sealed: str) -> None:
    """The 12-octet nonce is salt | IV (RFC 4106 section 4, RFC 5282 section 4)."""
    cipher = make_cipher(Encr.AES_GCM_16, Integ.NONE, bytes.fromhex(key + "cafebabe"), b"")
    iv = bytes.fromhex("facedbaddecaf888")
    assert cipher.seal(iv, GCM_PLAIN, GCM_AAD).hex() == sealed
    assert cipher.open(iv, bytes.fromhex(sealed), GCM_AAD) == GCM_PLAIN


def test_rfc_8439_section_2_8_2_chacha20_poly1305() -> None:
    key = bytes(range(0x80, 0xA0)) + bytes.fromhex("07000000")
    plaintext = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
        b"the future, sunscreen would be it."
    )
    sealed = bytes.fromhex(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
        "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
        "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"
    )
    cipher = make_cipher(Encr.CHACHA20_POLY1305, Integ.NONE, key, b"")
    iv, aad = bytes(range(0x40, 0x48)), bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    assert cipher.seal(iv, plaintext, aad) == sealed
    assert cipher.open(iv, sealed, aad) == plaintext


def test_rfc_7634_appendix_b_a_whole_ike_message() -> None:
    """An INFORMATIONAL request with one notification, header to ICV."""
    key = bytes(range(0x80, 0xA0)) + bytes.fromhex("a0a1a2a3")
    cipher = make_cipher(Encr.CHACHA20_POLY1305, Integ.NONE, key, b"")
    datagram = bytes.fromhex(
        "c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029"
        "1011121314151617610394701f8d017f7c12924889"
        "6b71bfe25236efd7cdc67066906315b2"
    )
    envelope = Envelope(datagram[:8], datagram[8:16], ExchangeType.INFORMATIONAL, 0, 9)
    chain, iv = bytes.fromhex("0000000c000040010000000a"), bytes(range(0x10, 0x18))
    assert seal_chain(cipher, iv, envelope, PayloadType.NOTIFY, chain) == datagram
    inner = open_chain(cipher, datagram, decode_header(datagram))
    assert (inner.first, inner.octets) == (PayloadType.NOTIFY, chain)


@pytest.mark.parametrize(
    ("key", "iv", "plaintext", "ciphertext"),
    [
        (
            "06a9214036b8a15b512e03d534120006",
            "3dafba429d9eb430b422da802c9fac41",
            b"Single block msg".hex(),
            "e353779c1079aeb82708942dbe77181a",
        ),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "000102030405060708090a0b0c0d0e0f",
            "6bc1bee22e409f96e93d7e117393172a",
            "f58c4c04d6e5f1ba779eabfb5f7bfbd6",
        ),
    ],
    ids=["RFC 3602 case 1", "SP 800-38A F.2.5"],
)
def test_aes_cbc(key: str, iv: str, plaintext: str, ciphertext: str) -> None:
    """The ICV after it covers everything before it (RFC 7296 section 3.14)."""
    key_a, vector = bytes(range(32)), bytes.fromhex(iv)
    cipher = make_cipher(Encr.AES_CBC, Integ.HMAC_SHA2_256_128, bytes.fromhex(key), key_a)
    sealed = cipher.seal(vector, bytes.fromhex(plaintext), b"header")
    icv = digest(key_a, b"header" + vector + bytes.fromhex(ciphertext), "sha256")[:16]
    assert sealed.hex() == ciphertext + icv.hex()
    assert cipher.open(vector, sealed, b"header").hex() == plaintext


def test_rfc_7748_section_6_1_x25519(monkeypatch: pytest.MonkeyPatch) -> None:
    alice = X25519PrivateKey.from_private_bytes(
        bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    )
    drawn = SimpleNamespace(generate=lambda: alice)
    monkeypatch.setattr(key_exchange, "X25519PrivateKey", drawn)
    pair = generate(Ke.CURVE25519)
    bob = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    assert (
        pair.agree(bytes.fromhex(bob)).hex()
        == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    )


@pytest.mark.parametrize(
    ("method", "curve", "private", "peer", "secret"),
    [
        (
            Ke.ECP_256,
            ec.SECP256R1(),
            "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
            "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63"
            "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB",
            "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE",
        ),
        (
            Ke.ECP_384,
            ec.SECP384R1(),
            "099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655"
            "E35B538041E649EE3FAEF896783AB194",
            "E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D"
            "0D1AC43A0336DEF96FDA41D0774A3571"
            "DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FF"
            "F83FA40142209DFF5EAAD96DB9E6386C",
            "11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4"
            "D603135569B9E9D09CF5D4A270F59746",
        ),
    ],
    ids=["section 8.1", "section 8.2"],
)
def test_rfc_5903_ecp_groups(
    method: int,
    curve: ec.EllipticCurve,
    private: str,
    peer: str,
    secret: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Public keys are x | y, the shared secret is x alone."""
    drawn = ec.derive_private_key(int(private, 16), curve)
    monkeypatch.setattr(ec, "generate_private_key", lambda _: drawn)
    pair = generate(method)
    assert pair.agree(bytes.fromhex(peer)) == bytes.fromhex(secret)


def pi_times_two_to_the(bits: int) -> int:
    """floor(2**bits * pi), by Machin's formula with 64 guard bits."""
    unity = 1 << (bits + 64)

    def arctan_of_inverse(x: int) -> int:
        total = term = unity // x
        divisor, sign = 3, -1
        while term:
            term //= x * x
            total += sign * (term // divisor)
            divisor, sign = divisor + 2, -sign
        return total

    return 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239)) >> 64


@pytest.mark.parametrize(
    ("method", "bits", "offset"),
    [(Ke.MODP_2048, 2048, 124476), (Ke.MODP_3072, 3072, 1690314), (Ke.MODP_4096, 4096, 240904)],
)
def test_rfc_3526_primes_come_from_pi(method: int, bits: int, offset: int) -> None:
    middle = pi_times_two_to_the(bits - 130) + offset
    assert PRIMES[method] == (1 << bits) - (1 << (bits - 64)) - 1 + (middle << 64)


@pytest.mark.parametrize(
    ("plaintext", "wrapped"),
    [
        (
            "c37b7e6492584340bed12207808941155068f738",
            "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
        ),
        ("466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"),
    ],
    ids=["20 octets", "7 octets, one semiblock"],
)
def test_rfc_5649_section_6(plaintext: str, wrapped: str) -> None:
    kwk = bytes.fromhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
    assert wrap(kwk, bytes.fromhex(plaintext)).hex() == wrapped
    assert unwrap(kwk, bytes.fromhex(wrapped)).hex() == plaintext


def test_rfc_7427_appendix_a_algorithm_identifiers() -> None:
    assert ALGORITHMS["ecdsa-sha256"].identifier.hex() == "300a06082a8648ce3d040302"
    assert ALGORITHMS["ecdsa-sha384"].identifier.hex() == "300a06082a8648ce3d040303"
    assert ALGORITHMS["ecdsa-sha512"].identifier.hex() == "300a06082a8648ce3d040304"
    assert ALGORITHMS["ed25519"].identifier.hex() == "300506032b6570"  # RFC 8420 appendix A
    assert ALGORITHMS["rsa-pss-sha256"].identifier.hex() == (
        "304106092a864886f70d01010a3034a00f300d06096086480165030402010500"
        "a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120"
    )
    assert bytes.fromhex("300d06092a864886f70d01010b0500") in PKCS1_V15
