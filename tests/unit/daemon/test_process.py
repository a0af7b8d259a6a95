"""What the process may hold, seen from processes of their own; who may look into it."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from tests.support.repository import ROOT

DUMPABLE = """
import ctypes, os, sys
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from gcks.daemon.process import run_to_end

prctl = ctypes.CDLL(None).prctl
if os.geteuid() == 0:  # like a service's user
    os.setgid(65534)
    os.setuid(65534)
    prctl(4, 1, 0, 0, 0)

async def main():
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    names = [line.split()[0] for line in generate_latest(registry).decode().splitlines()]
    print(prctl(3, 0, 0, 0, 0), os.stat("/proc/self/mem").st_uid, *names)

sys.exit(run_to_end(main))
"""


def test_a_daemon_leaves_no_core_and_still_counts_its_descriptors() -> None:
    """PR_GET_DUMPABLE; and /proc/self, which belongs to root then, says what metrics want."""
    done = subprocess.run(
        [sys.executable, "-c", DUMPABLE],
        capture_output=True, text=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    dumpable, owner, *names = done.stdout.split()
    assert (dumpable, owner) == ("0", "0")
    assert {"process_open_fds", "process_max_fds", "process_resident_memory_bytes"} <= set(names)


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
