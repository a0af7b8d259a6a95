"""Settings for all tests: CI fails on a skip, hypothesis stays within its time."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.scheduling"]
pytest.register_assert_rewrite("tests.support")  # what fails there is explained as in a test

settings.register_profile(
    "gcks",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gcks")


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Iterator[None]:
    """Where GCKS_TESTS_NO_SKIP is set (CI), a skipped test is a failed run."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("GCKS_TESTS_NO_SKIP") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """No test logs to what an earlier one configured, and closed."""
    yield
    structlog.reset_defaults()


ROOT = Path(__file__).parents[1]
CAN_PACKAGE = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"


def _clone(to: Path) -> Path:
    """Copy what git knows of, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, to / name)
    return to


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return _clone(tmp_path / "clone")


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the Debian package in a clone, as docs/operating.md says; return the clone."""
    system = subprocess.run(["/usr/bin/python3", "-c", CAN_PACKAGE], capture_output=True)
    if shutil.which("dpkg-deb") is None or system.returncode != 0:
        pytest.skip("needs dpkg-deb, and the distribution's Python 3.11 or later with ensurepip")
    place = _clone(tmp_path_factory.mktemp("packaged") / "clone")
    done = subprocess.run(["config/debian/build"], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return place
