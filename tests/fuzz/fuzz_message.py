"""Fuzz plain messages: python tests/fuzz/fuzz_message.py [-runs=N] [CORPUS]."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gcks.errors import WireError
from gcks.wire.encrypted import read_encrypted, read_fragment
from gcks.wire.header import HEADER_OCTETS, Header, decode_header
from tests.fuzz.harness import check_chain, fuzz
from tests.support.seeds import messages

LENGTH = slice(24, 28)


def read_or_refuse(read: Callable[[bytes, Header], object], octets: bytes, header: Header) -> None:
    try:
        read(octets, header)
    except WireError:
        return


def one_input(octets: bytes) -> None:
    try:
        decode_header(octets)
    except WireError:
        if len(octets) < HEADER_OCTETS:
            return
    # With the length put right, the fuzzer need not guess it to come further.
    right = bytearray(octets)
    right[LENGTH] = len(octets).to_bytes(4, "big")
    whole = bytes(right)
    header = decode_header(whole)
    check_chain(header.next_payload, whole[HEADER_OCTETS:])
    read_or_refuse(read_encrypted, whole, header)
    read_or_refuse(read_fragment, whole, header)


if __name__ == "__main__":
    fuzz(one_input, messages())
