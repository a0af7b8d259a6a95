"""The crypto floor: the bare primitives that one registration needs, in a loop.

Straight calls into `cryptography` and `hmac`, nothing of gcks: what is above
the floor is what gcks costs.  `floor_psk(n)` and `floor_ecdsa(n)` return the
seconds of `n` registrations; as a script it prints a table.

One side's work: X25519 key generation and agreement, SKEYSEED and prf+ for all
SK_*, four AEAD operations (as many as GSA_AUTH and Delete take), three key wraps.
With ECDSA also one P-256 signature and one verification.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hmac import digest
from time import perf_counter
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

_KEYMAT_OCTETS: Final = 3 * 32 + 2 * 36  # SK_d, SK_pi, SK_pr; SK_ei, SK_er with salts
_MESSAGE_OCTETS: Final = 400
_SIGNED_OCTETS: Final = 400
_PEER: Final = X25519PrivateKey.generate().public_key().public_bytes_raw()
_NONCES, _SPIS, _AAD = os.urandom(64), os.urandom(16), os.urandom(32)
_CONTENT: Final = os.urandom(_MESSAGE_OCTETS)
_SA_KEY: Final = os.urandom(68)
_ECDSA: Final = ec.ECDSA(hashes.SHA256())


def floor_psk(n: int) -> float:
    """Return the seconds that `n` registrations with PSK take, primitives alone."""
    return _seconds(_registration, n)


def floor_ecdsa(n: int) -> float:
    """Return the seconds that `n` registrations with ECDSA P-256 take, primitives alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    public, data = key.public_key(), os.urandom(_SIGNED_OCTETS)
    peer_signature = key.sign(data, _ECDSA)

    def registration() -> None:
        _registration()
        key.sign(data, _ECDSA)
        public.verify(peer_signature, data, _ECDSA)

    return _seconds(registration, n)


def _registration() -> None:
    private = X25519PrivateKey.generate()
    private.public_key().public_bytes_raw()
    shared = private.exchange(X25519PublicKey.from_public_bytes(_PEER))
    keymat = _prf_plus(digest(_NONCES, shared, "sha256"), _NONCES + _SPIS, _KEYMAT_OCTETS)
    gsk_w = digest(keymat[:32], b"Key Wrap for G-IKEv2\x01", "sha256")
    outbound, inbound = AESGCM(keymat[96:128]), AESGCM(keymat[132:164])
    nonce = keymat[128:132] + bytes(8)
    received = inbound.encrypt(nonce, _CONTENT, _AAD)
    inbound.decrypt(nonce, received, _AAD)
    outbound.encrypt(nonce, _CONTENT, _AAD)
    outbound.encrypt(nonce[:-1] + b"\x01", _CONTENT, _AAD)
    for _ in range(3):
        aes_key_wrap_with_padding(gsk_w, _SA_KEY)


def _prf_plus(key: bytes, seed: bytes, octets: int) -> bytes:
    block = output = b""
    for number in range(1, -(-octets // 32) + 1):
        block = digest(key, block + seed + bytes((number,)), "sha256")
        output += block
    return output


def _seconds(work: Callable[[], object], n: int) -> float:
    start = perf_counter()
    for _ in range(n):
        work()
    return perf_counter() - start


def _table() -> list[tuple[str, Callable[[], object]]]:
    """Primitives through gcks's adapters, by name."""
    from gcks.crypto import encr, key_exchange, key_wrap, prf, signature

    rows: list[tuple[str, Callable[[], object]]] = []
    methods = {"X25519": 31, "ECP-256": 19, "ECP-384": 20, "MODP-2048": 14, "MODP-3072": 15}
    for name, method in methods.items():
        pair, peer = key_exchange.generate(method), key_exchange.generate(method).public
        rows.append((f"{name} generate", lambda m=method: key_exchange.generate(m)))
        rows.append((f"{name} agree", lambda p=pair, q=peer: p.agree(q)))
    key, iv = os.urandom(36), bytes(8)
    gcm, chacha = encr.make_cipher(20, 0, key, b""), encr.make_cipher(28, 0, key, b"")
    cbc = encr.make_cipher(12, 12, key[:32], key[:32])
    wrapped = key_wrap.wrap(key[:32], _SA_KEY)
    rows += [
        ("AES-GCM-256 seal 400", lambda: gcm.seal(iv, _CONTENT, _AAD)),
        ("ChaCha20-Poly1305 seal 400", lambda: chacha.seal(iv, _CONTENT, _AAD)),
        ("AES-CBC-256 + HMAC seal 400", lambda: cbc.seal(bytes(16), _CONTENT, _AAD)),
        ("prf+ all SK_*", lambda: prf.prf_plus(5, key, _NONCES + _SPIS, _KEYMAT_OCTETS)),
        ("RFC 5649 wrap 68", lambda: key_wrap.wrap(key[:32], _SA_KEY)),
        ("RFC 5649 unwrap 68", lambda: key_wrap.unwrap(key[:32], wrapped)),
    ]
    for kind in ("ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-pss"):
        signer = signature.SigningKey.generate(kind)
        algorithm = signer.algorithm()
        value = signer.sign(algorithm, _CONTENT)
        public = signature.load_public_key(signer.public_spki)
        rows.append((f"{kind} sign", lambda s=signer, a=algorithm: s.sign(a, _CONTENT)))
        rows.append(
            (
                f"{kind} verify",
                lambda p=public, a=algorithm, v=value: signature.verify(
                    p, a.identifier, v, _CONTENT
                ),
            )
        )
    return rows


def _best_microseconds(seconds: Callable[[int], float], n: int) -> float:
    return min(seconds(n) for _ in range(5)) / n * 1e6


def main() -> None:
    """Print microseconds per primitive and per floor."""
    for name, work in _table():
        print(f"{name:30} {_best_microseconds(lambda n, w=work: _seconds(w, n), 50):9.1f} µs")
    print(f"{'floor, PSK':30} {_best_microseconds(floor_psk, 500):9.1f} µs")
    print(f"{'floor, ECDSA P-256':30} {_best_microseconds(floor_ecdsa, 500):9.1f} µs")


if __name__ == "__main__":
    main()
