"""The units by systemd's own judgement: exposure, and nothing that it doesn't understand."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.repository import ROOT

UNITS = {"gcks.service": 1.5, "gcks-member.service": 2.0}
"""The highest exposure level that is allowed; 10 is a service without any sandbox."""
DROP_IN = "gcks.service.d/socket.conf"

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60
    )


def installed(directory: Path, *names: str) -> None:
    """Put units where systemd finds them.

    The programs of an installation aren't here: something executable stands for them.
    """
    for name in names:
        text = (ROOT / "systemd" / name).read_text()
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(re.sub(r"/opt/gcks/bin/gcks(-member)?", "/bin/true", text))


def exposure(unit: Path) -> float:
    threshold = str(round(UNITS[unit.name] * 10))
    done = analyze("security", "--offline=true", f"--threshold={threshold}", str(unit))
    assert done.returncode == 0, done.stdout
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level is not None and float(level[1]) <= UNITS[unit.name]
    return float(level[1])


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_never_stops_trying(unit: str) -> None:
    """Its default gives up after 5 failures in 10 s: a disk that is full for a while is enough."""
    lines = (ROOT / "systemd" / unit).read_text().splitlines()
    assert "StartLimitIntervalSec=0" in lines[: lines.index("[Service]")]


@pytest.mark.parametrize("unit", UNITS)
def test_the_sandbox_is_tight(unit: str, tmp_path: Path) -> None:
    installed(tmp_path, unit)
    exposure(tmp_path / unit)


def test_started_by_its_socket_it_is_tighter(tmp_path: Path) -> None:
    """Without any capability."""
    installed(tmp_path, "gcks.service")
    alone = exposure(tmp_path / "gcks.service")
    installed(tmp_path, "gcks.socket", DROP_IN)
    assert exposure(tmp_path / "gcks.service") < alone


@pytest.mark.parametrize(
    "names",
    [("gcks.service",), ("gcks-member.service",), ("gcks.socket", "gcks.service", DROP_IN)],
    ids=lambda names: names[0],
)
def test_systemd_understands_every_line(names: tuple[str, ...], tmp_path: Path) -> None:
    installed(tmp_path, *names)
    done = analyze("verify", "--man=no", "--recursive-errors=no", str(tmp_path / names[0]))
    assert done.returncode == 0 and str(tmp_path) not in done.stderr, done.stderr
