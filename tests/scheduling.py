"""Several tests at a time: which run one after another, which have the machine for themselves.

`tests/run` starts pytest-xdist's workers.  A file's tests run in one of them, in their order;
the longest files come first, what measures time last, when nothing else runs.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

TOGETHER: Final = {
    "tests/edge/test_decode.py": "the ports of gcks serve --dev",
    "tests/edge/test_dev.py": "the ports of gcks serve --dev",
    "tests/edge/test_docs.py": "the ports of gcks serve --dev",
    "tests/edge/test_failures.py": "the ports of gcks serve --dev",
    "tests/edge/test_debian.py": "the Debian package",
    "tests/kernel/test_systemd.py": "the Debian package",
}
"""Files that use the same thing, and what it is: one worker takes them all."""

LONGEST: Final = ("kernel", "crash", "interop", "edge", "exchange", "property", "fuzz")
"""Directories by how long they keep a worker busy; others come behind them."""


class _ByFile(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return TOGETHER.get(file, file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _ByFile(config, log)


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


def _place(item: pytest.Item) -> tuple[bool, int]:
    directory = item.nodeid.split("/")[1]
    return _is_alone(item), LONGEST.index(directory) if directory in LONGEST else len(LONGEST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Wait until no test runs that must not meet this one, in any worker."""
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if _is_alone(item) else fcntl.LOCK_SH)
        return (yield)
