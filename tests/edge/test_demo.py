"""`gcks demo`: once for scripts, as nobody in particular; on a terminal until Ctrl-C."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.repository import ROOT
from tests.support.terminal import SMALL, Terminal
from tests.support.waiting import wait_for

DEMO = [sys.executable, "-m", "gcks", "demo"]


def processes_of(directory: Path) -> list[str]:
    """Return the command lines of processes that run in a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and Path(os.readlink(entry / "cwd")) == directory:
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


def without_capabilities() -> list[str]:
    """Return what a command is put after, so that it may no more than anybody may."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]


def test_once_without_privileges(tmp_path: Path) -> None:
    """Registrations, a rekey, a loss, an exclusion: all come true, and nothing is left."""
    directory = tmp_path / "demo"
    done = subprocess.run(
        [*without_capabilities(), *DEMO, "--once", "--dir", str(directory)],
        capture_output=True, text=True, timeout=180, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("  done: after") == 6
    assert done.stdout.strip().endswith("everything happened as it should")
    assert processes_of(directory) == []
    again = subprocess.run([*DEMO, "--dir", directory], capture_output=True, text=True, cwd=ROOT)
    assert again.returncode == 1 and "isn't empty; give --dir a new" in again.stderr
    assert "Traceback" not in "".join(file.read_text() for file in directory.glob("*.log"))


def test_on_a_terminal_until_somebody_ends_it() -> None:
    terminal = Terminal(DEMO)
    try:
        terminal.shows("gm4 is cut off and misses a rekey")
        terminal.shows(r"gm5 +registered")
        terminal.reads_well()
        (where,) = set(re.findall(r"/tmp/gcks-demo-\w+", terminal.drawn))
        assert len(processes_of(Path(where))) == 6
    finally:
        assert terminal.stop() == 0
    wait_for(lambda: not Path(where).exists(), "the directory is gone")
    assert processes_of(Path(where)) == []


def test_on_a_small_terminal_without_colour() -> None:
    """Up to the exclusion, which has the longest error."""
    terminal = Terminal(DEMO, SMALL)
    try:
        for pattern in (
            r"gm1 +not started +none", r"gm5 +registered +current", r"gm4 +registered +old",
            r"gm4 is reminded .*\n.*Done after", r"gm3 +waiting +none", "AUTHORIZATION_FAILED",
        ):  # fmt: skip
            terminal.shows(pattern)
        terminal.reads_well()
    finally:
        assert terminal.stop() == 0
