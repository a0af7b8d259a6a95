"""Both fuzz targets for a bounded number of runs; findings stand in the output."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gcks.wire.payloads import decode_chain
from tests.support import seeds
from tests.support.plain import decode_plain

HERE = Path(__file__).parent
RUNS = 200_000
INPUT_SECONDS = 5
ALL_SECONDS = 120

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed"
)


@needs_atheris
@pytest.mark.parametrize("target", ["fuzz_message", "fuzz_inside_sk"])
def test_no_octets_raise_anything_but_wire_error(target: str, tmp_path: Path) -> None:
    command = [
        sys.executable, str(HERE / f"{target}.py"), f"-runs={RUNS}", f"-timeout={INPUT_SECONDS}",
        f"-artifact_prefix={tmp_path}/", "-verbosity=0", "-print_final_stats=1",
    ]  # fmt: skip
    if os.environ.get("CI"):
        command.append("-seed=1")
    done = subprocess.run(command, capture_output=True, text=True, timeout=ALL_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"number_of_executed_units: {RUNS}" in done.stderr


def test_every_seed_of_inside_sk_is_read() -> None:
    """Else the fuzzers would begin outside of what they are to reach."""
    chains = list(seeds.inside_sk())
    assert len(chains) >= 10
    for chain in chains:
        assert decode_chain(chain[0], chain[1:])


def test_the_plain_seeds_are_read_with_their_length_put_right() -> None:
    plain = [m for m in seeds.messages() if m[16] in (33, 40)]
    assert len(plain) == 2
    for octets in plain:
        whole = octets[:24] + len(octets).to_bytes(4, "big") + octets[28:]
        assert decode_plain(whole)[1]
