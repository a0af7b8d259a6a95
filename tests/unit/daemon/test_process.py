"""What the process may hold, seen from processes of their own."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from tests.unit.daemon.conftest import ROOT


def limits_after(call: str, soft: int, hard: int) -> tuple[int, int]:
    code = (
        "import resource\nfrom gcks.daemon.process import raise_descriptor_limit\n"
        f"{call}\nprint(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )  # fmt: skip
    soft, hard = map(int, done.stdout.split())
    return soft, hard


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ((300, 2000), 1000, (1000, 2000)),
        ((300, 500), 1000, (500, 500)),
        ((1500, 2000), 1000, (1500, 2000)),
    ],
    ids=["to what is wanted", "as far as it goes", "never down"],
)
def test_the_limit_of_descriptors_is_raised(
    before: tuple[int, int], wanted: int, after: tuple[int, int]
) -> None:
    assert limits_after(f"raise_descriptor_limit({wanted})", *before) == after
