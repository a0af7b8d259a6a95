"""Stateless cookies (RFC 7296 section 2.6): proof that the initiator receives at its address.

Cookie = one octet naming the secret | HMAC-SHA-256(secret, Ni | IPi | port | SPIi).
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest, digest
from typing import Final

from gcks.outcome import Endpoint

SECRET_SECONDS: Final = 120.0
"""Lifetime of a secret; a cookie lives one to two of them."""

_SECRET_OCTETS: Final = 32


class CookieJar:
    """Makes and checks cookies with a rotated secret; keeps nothing per peer."""

    __slots__ = ("_entropy", "_number", "_secrets", "_until")

    def __init__(self, entropy: Callable[[int], bytes], now: float) -> None:
        self._entropy = entropy
        self._number = 0
        self._secrets = {0: entropy(_SECRET_OCTETS)}
        self._until = now + SECRET_SECONDS

    def make(self, nonce: bytes, remote: Endpoint, spi_i: bytes, now: float) -> bytes:
        self._rotate(now)
        return self._cookie(self._number, nonce, remote, spi_i)

    def accepts(
        self, cookie: bytes, nonce: bytes, remote: Endpoint, spi_i: bytes, now: float
    ) -> bool:
        """Check a returned cookie against the current and the previous secret."""
        self._rotate(now)
        if not cookie or cookie[0] not in self._secrets:
            return False
        return compare_digest(cookie, self._cookie(cookie[0], nonce, remote, spi_i))

    def _cookie(self, number: int, nonce: bytes, remote: Endpoint, spi_i: bytes) -> bytes:
        content = spi_i + nonce + str(remote).encode()
        return bytes((number,)) + digest(self._secrets[number], content, "sha256")

    def _rotate(self, now: float) -> None:
        if now < self._until:
            return
        stale = now >= self._until + SECRET_SECONDS
        previous = {} if stale else {self._number: self._secrets[self._number]}
        self._number = (self._number + 1) % 256
        self._secrets = {**previous, self._number: self._entropy(_SECRET_OCTETS)}
        self._until = now + SECRET_SECONDS
