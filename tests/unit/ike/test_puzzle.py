"""Client puzzles (RFC 8019 sections 7.1 and 8)."""

from __future__ import annotations

import hashlib
import hmac
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcks.datagrams import Endpoint
from gcks.errors import WireError
from gcks.iana import Prf
from gcks.ike.cookie import NO_PUZZLE, CookieJar
from gcks.ike.puzzle import KEYS, PuzzleSolver, can_solve, is_solved
from gcks.wire.puzzle import Puzzle, PuzzleSolution, decode_puzzle, decode_puzzle_solution

COOKIE = b"a cookie of some octets"
PUZZLE = Puzzle(Prf.HMAC_SHA2_256, 8)


def solve(puzzle: Puzzle = PUZZLE, cookie: bytes = COOKIE) -> bytes:
    solver = PuzzleSolver(puzzle, cookie, os.urandom)
    while (found := solver.work(500)) is None:
        pass
    return found


def zero_bits(key: bytes, cookie: bytes) -> int:
    """Count the trailing zero bits of HMAC-SHA-256, computed without our own PRF."""
    number = int.from_bytes(hmac.new(key, cookie, hashlib.sha256).digest(), "big")
    return (number & -number).bit_length() - 1


def test_the_layouts() -> None:
    """RFC 8019 sections 8.1 and 8.2."""
    assert PUZZLE.encode_data().hex() == "000508"
    assert decode_puzzle(bytes.fromhex("000510")) == Puzzle(5, 16)
    assert decode_puzzle_solution(b"four keys") == PuzzleSolution(b"four keys")
    for wrong in (b"", b"\0\5", b"\0\5\x10\0"):
        with pytest.raises(WireError):
            decode_puzzle(wrong)
    with pytest.raises(WireError):
        decode_puzzle_solution(b"")


@pytest.mark.parametrize("difficulty", [1, 5, 9])
def test_a_solution_is_four_keys_whose_prf_of_the_cookie_ends_in_zeros(difficulty: int) -> None:
    """RFC 8019 section 7.1.2."""
    puzzle = Puzzle(Prf.HMAC_SHA2_256, difficulty)
    solution = solve(puzzle)
    assert is_solved(puzzle, COOKIE, solution)
    size = len(solution) // KEYS
    keys = [solution[at : at + size] for at in range(0, len(solution), size)]
    assert len(set(keys)) == KEYS
    assert all(zero_bits(key, COOKIE) >= difficulty for key in keys)


@pytest.mark.parametrize("prf", [Prf.HMAC_SHA2_384, Prf.HMAC_SHA2_512])
def test_every_prf_that_we_have_will_do(prf: Prf) -> None:
    puzzle = Puzzle(prf, 6)
    assert can_solve(puzzle)
    assert is_solved(puzzle, COOKIE, solve(puzzle))
    assert not can_solve(Puzzle(Prf.HMAC_SHA1, 6))


def test_what_is_no_solution() -> None:
    """RFC 8019 section 8.2: four, different, of one size, none longer than the PRF's key."""
    solution = solve()
    size = len(solution) // KEYS
    first = solution[:size]
    for wrong in (
        b"",
        solution[:-1],
        solution[:-size],
        first * KEYS,
        first * 2 + solution[2 * size :],
        solution + bytes(KEYS),
        bytes(KEYS * 33),
    ):
        assert not is_solved(PUZZLE, COOKIE, wrong)
    assert not is_solved(PUZZLE, COOKIE + b"!", solution)
    assert not is_solved(Puzzle(PUZZLE.prf, 60), COOKIE, solution)


@given(st.binary(max_size=140))
def test_junk_solves_nothing_and_breaks_nothing(junk: bytes) -> None:
    assert not is_solved(Puzzle(Prf.HMAC_SHA2_256, 64), COOKIE, junk)


def test_a_solver_does_no_more_than_it_is_told() -> None:
    solver = PuzzleSolver(Puzzle(Prf.HMAC_SHA2_256, 200), COOKIE, os.urandom)
    assert [solver.work(10) for _ in range(3)] == [None] * 3


def test_the_cookie_keeps_the_puzzle_that_was_set_with_it() -> None:
    """RFC 8019 section 7.1.1.3: the server remembers nothing, and nobody can change it."""
    jar = CookieJar(os.urandom, 0.0)
    who = (bytes(32), Endpoint("192.0.2.1", 500), b"initiate")
    cookie = jar.make(*who, 0.0, PUZZLE)
    assert jar.accepts(cookie, *who, 1.0) == PUZZLE
    assert jar.accepts(jar.make(*who, 0.0), *who, 1.0) == NO_PUZZLE
    for at in range(len(cookie)):
        easier = cookie[:at] + bytes((cookie[at] ^ 1,)) + cookie[at + 1 :]
        assert jar.accepts(easier, *who, 1.0) is None
