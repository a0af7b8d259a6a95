"""Client puzzles (RFC 8019 section 7.1): four keys for which prf(key, cookie) ends in zero bits.

To find them takes about 4 * 2^difficulty computations, to check them four.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gcks.crypto.prf import PRFS, prf, prf_octets
from gcks.wire.puzzle import Puzzle

KEYS: Final = 4
KEY_OCTETS: Final = 8
"""Of the keys we find; a PRF takes keys of any size up to its own."""


def can_solve(puzzle: Puzzle) -> bool:
    """Tell whether we implement the puzzle's PRF (RFC 8019 section 7.1.2)."""
    return puzzle.prf in PRFS


def is_solved(puzzle: Puzzle, cookie: bytes, solution: bytes) -> bool:
    """Check a Puzzle Solution: four different keys of one size (sections 7.1.4 and 8.2).

    A key has 1 octet up to the PRF's own size; `cookie` is the one that came with the
    puzzle.
    """
    size, rest = divmod(len(solution), KEYS)
    if rest or not 0 < size <= prf_octets(puzzle.prf):
        return False
    keys = {solution[at : at + size] for at in range(0, len(solution), size)}
    mask = (1 << puzzle.difficulty) - 1
    return len(keys) == KEYS and all(_fits(puzzle.prf, key, cookie, mask) for key in keys)


def _fits(prf_id: int, key: bytes, cookie: bytes, mask: int) -> bool:
    return not int.from_bytes(prf(prf_id, key, cookie), "big") & mask


class PuzzleSolver:
    """Looks for a solution in slices, so that nothing else has to wait for it."""

    __slots__ = ("_cookie", "_keys", "_next", "_puzzle")

    def __init__(self, puzzle: Puzzle, cookie: bytes, entropy: Callable[[int], bytes]) -> None:
        self._puzzle, self._cookie = puzzle, cookie
        self._next = int.from_bytes(entropy(KEY_OCTETS), "big") >> 1  # room to count upwards
        self._keys: list[bytes] = []

    def work(self, tries: int) -> bytes | None:
        """Try so many keys; return the solution of 32 octets when it is found."""
        prf_id, cookie, mask = self._puzzle.prf, self._cookie, (1 << self._puzzle.difficulty) - 1
        for number in range(self._next, self._next + tries):
            key = number.to_bytes(KEY_OCTETS, "big")
            if _fits(prf_id, key, cookie, mask):
                self._keys.append(key)
                if len(self._keys) == KEYS:
                    return b"".join(self._keys)
        self._next += tries
        return None
