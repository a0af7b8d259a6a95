"""Puzzles for initiators under attack (RFC 8019 section 8).

The PUZZLE notification's data, and the Puzzle Solution payload (54):

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|              PRF              |   Difficulty  |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                     Puzzle Solution Data                      ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from gcks.errors import WireError

_LAYOUT: Final = Struct(">HB")


@dataclass(frozen=True, slots=True)
class Puzzle:
    """What has to be solved: `difficulty` zero bits; 0: as many as the initiator likes."""

    prf: int
    difficulty: int

    def encode_data(self) -> bytes:
        """Return the data of a PUZZLE notification: 3 octets."""
        return _LAYOUT.pack(self.prf, self.difficulty)


def decode_puzzle(data: bytes) -> Puzzle:
    """Read the data of a PUZZLE notification (RFC 8019 section 8.1): 3 octets.

    Raises `WireError` for another size.  It comes in clear from a GCKS, which sees
    nothing.
    """
    if len(data) != _LAYOUT.size:
        raise WireError(f"PUZZLE with {len(data)} octets of data")
    return Puzzle(*_LAYOUT.unpack(data))


@dataclass(frozen=True, slots=True)
class PuzzleSolution:
    """Four keys, one after the other, all of one size."""

    data: bytes

    def encode(self) -> bytes:
        """Return the payload body: the keys."""
        return self.data


def decode_puzzle_solution(body: bytes) -> PuzzleSolution:
    """Read the body of a Puzzle Solution payload (RFC 8019 section 8.2): 1 octet or more.

    Whether it is four keys of one size is judged with the puzzle.  Raises `WireError`
    for none.
    """
    if not body:
        raise WireError("empty Puzzle Solution payload")
    return PuzzleSolution(body)
