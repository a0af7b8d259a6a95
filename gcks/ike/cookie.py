"""Stateless cookies (RFC 7296 section 2.6): proof that the initiator receives at its address.

Cookie = one octet naming the secret | puzzle | HMAC-SHA-256(secret, puzzle | SPIi | Ni | IPi:port).
The puzzle that was set with it stands in it (RFC 8019 section 7.1.1.3): nothing is
kept of who was asked to solve which.
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest, digest
from typing import Final

from gcks.datagrams import Endpoint
from gcks.errors import WireError
from gcks.wire.puzzle import Puzzle, decode_puzzle

SECRET_SECONDS: Final = 120.0
"""Lifetime of a secret; a cookie lives one to two of them."""
NO_PUZZLE: Final = Puzzle(0, 0)

_SECRET_OCTETS: Final = 32
_PUZZLE_OCTETS: Final = len(NO_PUZZLE.encode_data())


class CookieJar:
    """Makes and checks cookies with a rotated secret; keeps nothing per peer."""

    __slots__ = ("_entropy", "_number", "_secrets", "_until")

    def __init__(self, entropy: Callable[[int], bytes], now: float) -> None:
        self._entropy = entropy
        self._number = 0
        self._secrets = {0: entropy(_SECRET_OCTETS)}
        self._until = now + SECRET_SECONDS

    def make(
        self,
        nonce: bytes,
        remote: Endpoint,
        spi_i: bytes,
        now: float,
        puzzle: Puzzle = NO_PUZZLE,
    ) -> bytes:
        """Return a cookie of 36 octets (RFC 7296 section 2.6).

        `nonce` is the initiator's, `remote` where it has sent from; `puzzle` comes back
        with it.
        """
        self._rotate(now)
        return self._cookie(self._number, puzzle.encode_data(), nonce, remote, spi_i)

    def accepts(
        self, cookie: bytes, nonce: bytes, remote: Endpoint, spi_i: bytes, now: float
    ) -> Puzzle | None:
        """Check a returned cookie against the current and the previous secret.

        Returns the puzzle that was set with it, `NO_PUZZLE` or another; None for a wrong one.
        """
        self._rotate(now)
        if not cookie or cookie[0] not in self._secrets:
            return None
        data = cookie[1 : 1 + _PUZZLE_OCTETS]
        if not compare_digest(cookie, self._cookie(cookie[0], data, nonce, remote, spi_i)):
            return None
        try:
            return decode_puzzle(data)
        except WireError:
            return None

    def _cookie(
        self, number: int, puzzle: bytes, nonce: bytes, remote: Endpoint, spi_i: bytes
    ) -> bytes:
        content = puzzle + spi_i + nonce + str(remote).encode()
        return bytes((number,)) + puzzle + digest(self._secrets[number], content, "sha256")

    def _rotate(self, now: float) -> None:
        if now < self._until:
            return
        stale = now >= self._until + SECRET_SECONDS
        previous = {} if stale else {self._number: self._secrets[self._number]}
        self._number = (self._number + 1) % 256
        self._secrets = {**previous, self._number: self._entropy(_SECRET_OCTETS)}
        self._until = now + SECRET_SECONDS
