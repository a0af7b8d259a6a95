"""Fuzz what stands inside SK: GSA, KD, SAg and the chain of them.

python tests/fuzz/fuzz_inside_sk.py [-runs=N] [CORPUS]

The first octet names the first payload; the rest is a chain, and also the body
of one payload of that type with its length put right.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.harness import check_chain, fuzz
from tests.support.seeds import inside_sk

GENERIC_OCTETS = 4


def one_input(octets: bytes) -> None:
    if not octets:
        return
    kind, chain = octets[0], octets[1:]
    check_chain(kind, chain)
    body = chain[GENERIC_OCTETS:]
    check_chain(kind, b"\0\0" + (GENERIC_OCTETS + len(body)).to_bytes(2, "big") + body)


if __name__ == "__main__":
    fuzz(one_input, inside_sk())
