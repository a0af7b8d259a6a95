"""The units by systemd's own judgement: exposure, and nothing that it doesn't understand."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.edge.test_dev import ROOT

UNITS = {"gcks.service": 1.5, "gcks-member.service": 2.0}
"""The highest exposure level that is allowed; 10 is a service without any sandbox."""

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("unit", UNITS)
def test_the_sandbox_is_tight(unit: str) -> None:
    threshold = str(round(UNITS[unit] * 10))
    done = analyze(
        "security", "--offline=true", f"--threshold={threshold}", str(ROOT / "systemd" / unit)
    )
    assert done.returncode == 0, done.stdout
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level is not None and float(level[1]) <= UNITS[unit]


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_every_line(unit: str, tmp_path: Path) -> None:
    """The programs of an installation aren't here: something executable stands for them."""
    text = (ROOT / "systemd" / unit).read_text()
    copy = tmp_path / unit
    copy.write_text(re.sub(r"/opt/gcks/bin/gcks(-member)?", "/bin/true", text))
    done = analyze("verify", "--man=no", "--recursive-errors=no", str(copy))
    assert done.returncode == 0 and unit not in done.stderr, done.stderr
