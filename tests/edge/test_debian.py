"""The Debian package: what is in it; and what docs/operating.md installs, either way, runs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.markdown import BLOCK
from tests.support.repository import ROOT

PROGRAMS, PACKAGE, SERVER = (
    text.splitlines() for _, text in BLOCK.findall((ROOT / "docs/operating.md").read_text())[:3]
)
PLACES = re.compile(r"opt/gcks/|usr/bin/gcks|usr/share/|usr/lib/systemd/system/gcks")
HOLDS = (
    "usr/lib/systemd/system/gcks.service",
    "usr/lib/systemd/system/gcks.socket",
    "usr/lib/systemd/system/gcks-member.service",
    "usr/share/gcks/systemd/gcks.service.d/socket.conf",
    "usr/share/gcks/gcks.yaml",
    "usr/share/man/man1/gcks-member.1.gz",
    "usr/share/bash-completion/completions/gcks.bash",
    "usr/share/zsh/vendor-completions/_gcks",
    "usr/share/fish/vendor_completions.d/gcks.fish",
    "usr/share/doc/gcks/runbook.md",
    "usr/share/doc/gcks/CHANGELOG.md",
    "usr/share/doc/gcks/copyright",
)
OVERLAY = """set -e
mount -t tmpfs tmpfs /mnt && mkdir /mnt/changed /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/changed,workdir=/mnt/work /mnt/root
mount --rbind /dev /mnt/root/dev && mount -t proc proc /mnt/root/proc
mkdir -p /mnt/root$0 && mount --bind $0 /mnt/root$0
exec chroot /mnt/root sh -exc "cd $0; $1"
"""
"""This machine, on which a command changes nothing."""


def dpkg_deb(option: str, clone: Path, *more: str) -> str:
    (package,) = clone.glob("gcks_*.deb")
    command = ["dpkg-deb", option, str(package), *more]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_everything_is_in_its_place_and_belongs_to_root(packaged: Path, tmp_path: Path) -> None:
    assert PACKAGE[0] == "config/debian/build", "which the fixture carried out"
    for line in dpkg_deb("--contents", packaged).splitlines():
        assert re.match(r"(l\S*|[d-]rw[x-]r-[x-]r-[x-]) root/root ", line), line
    dpkg_deb("--extract", packaged, str(tmp_path))
    files = {str(one.relative_to(tmp_path)): one for one in tmp_path.rglob("*") if one.is_file()}
    assert set(HOLDS) <= set(files) and (tmp_path / "etc/gcks").is_dir()
    for name, file in files.items():
        assert PLACES.match(name), name
        assert not re.search(rb"/tmp/tmp\.\w{10}/", file.read_bytes()), (
            f"where it was built: {name}"
        )
    (python,) = re.findall(
        r"^Depends: (python3\.\d+),", dpkg_deb("--field", packaged), re.MULTILINE
    )
    assert os.readlink(tmp_path / "opt/gcks/bin/python3") == python
    assert (tmp_path / "opt/gcks/lib" / python).is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("install", [PACKAGE[1:], PROGRAMS[:-1]], ids=["package", "environment"])
def test_what_is_installed_runs(install: list[str], packaged: Path) -> None:
    """But for what needs a systemd: see tests/kernel/test_systemd.py."""
    assert (PROGRAMS[-1], SERVER[-1]) == ("systemctl daemon-reload", "systemctl start gcks")
    check = "CREDENTIALS_DIRECTORY=/etc/gcks gcks check /etc/gcks/gcks.yaml; gcks-member version"
    commands = [*install, *SERVER[:-1], "mkdir /var/lib/gcks; cd /", check]
    path = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", OVERLAY, str(packaged), "; ".join(commands)],
        env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gcks.yaml: usable" in done.stdout and "gcks-member 0." in done.stdout
