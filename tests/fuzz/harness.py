"""What both fuzz targets share: instrumented imports, seeds, and the invariant."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["gcks"]):
    from gcks.errors import WireError
    from gcks.wire.payloads import decode_chain, encode_chain

MAX_OCTETS = 4096


def check_chain(first: int, octets: bytes) -> None:
    """Read a chain: a WireError, or records that print, and survive encoding.

    Anything else that is raised is a finding.
    """
    try:
        payloads = decode_chain(first, octets)
    except WireError:
        return
    repr(payloads)
    again = decode_chain(*encode_chain(payloads))
    if again != payloads:
        raise AssertionError(f"{again!r} from {payloads!r}")


def fuzz(target: Callable[[bytes], None], seeds: Iterable[bytes]) -> None:
    """Run `target` under libFuzzer with this process's arguments; never returns."""
    with tempfile.TemporaryDirectory(prefix="gcks-seeds-") as directory:
        for number, seed in enumerate(seeds):
            Path(directory, str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], f"-max_len={MAX_OCTETS}", *sys.argv[1:], directory], target)
        atheris.Fuzz()
