"""A real Linux kernel with ESP: user-mode-linux on the host's file system.

The guest sees the host's files; what it may write are the result directory and
tmpfs mounts of its own.  It runs one Python script as root and powers off.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.repository import ROOT

MODULES = Path("/usr/lib/uml/modules")
MEMORY = "512M"

BEGIN = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
mkdir -p /run/lib/modules
ln -s {modules}/$(uname -r) /run/lib/modules/$(uname -r)
printf '#!/bin/sh\nexec /sbin/modprobe -d /run "$@"\n' >/run/modprobe
chmod 755 /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
for module in xfrm_user esp4 esp6 ah4 gcm seqiv ctr ghash-generic echainiv authenc cbc \\
        veth bridge overlay; do
    modprobe -d /run $module
done 2>{result}/modules
ip link set lo up
"""
POWER_OFF = "import ctypes; ctypes.CDLL(None).reboot(0x4321FEDC)"
JOB = """export PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={root} HOME=/run
cd /run
timeout {timeout} {python} {script} {result} {argument} >{result}/out 2>&1
echo $? >{result}/rc
sync
{python} -c '{power_off}'
"""
SYSTEMD = """cat >{result}/job <<'END'
{job}
END
new=/run/host/root
mkdir -p /run/host && mount -t tmpfs tmpfs /run/host
mkdir -p /run/host/changed /run/host/work $new
mount -t overlay overlay -o lowerdir=/,upperdir=/run/host/changed,workdir=/run/host/work $new
mkdir -p $new{result} $new/old && mount --bind {result} $new{result}
rm -f $new/etc/fstab $new/.dockerenv $new/etc/machine-id
units=$new/etc/systemd/system
printf '[Unit]\\nRequires=basic.target\\nWants=job.service\\n' >$units/job.target
printf '[Unit]\\nAfter=basic.target\\n[Service]\\nExecStart=/bin/sh {result}/job\\n' \\
    >$units/job.service
for unit in tmp.mount systemd-networkd.service systemd-networkd-wait-online.service \\
        systemd-timesyncd.service nftables.service packagekit.service; do
    ln -sf /dev/null $units/$unit
done
ln -sf /dev/null $new/etc/tmpfiles.d/tmp.conf
mkdir -p $new/lib/modules && ln -sf {modules}/$(uname -r) $new/lib/modules
echo /sbin/modprobe >/proc/sys/kernel/modprobe
umount /sys
cd $new
pivot_root . old
exec /lib/systemd/systemd --unit=job.target --show-status=no
"""
"""An overlay keeps what systemd writes off the host's files; it begins as on a fresh machine."""


def missing() -> str:
    """Say why no guest can run here, or nothing."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("linux") is None or not MODULES.is_dir():
        return "user-mode-linux is not installed (apt-get install user-mode-linux)"
    if shutil.which("modprobe") is None:
        return "kmod is not installed (apt-get install kmod)"
    return ""


def _environment(directory: Path) -> dict[str, str]:
    """On hosts with AMX user-mode-linux 6.1 needs a wider FPU buffer, see xstate_shim.c."""
    environment = dict(os.environ)
    if " amx_tile" in Path("/proc/cpuinfo").read_text():
        shim = directory / "xstate_shim.so"
        source = Path(__file__).with_name("xstate_shim.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", shim, source], check=True)
        # Lazy binding saves the FPU state on the stack, which is too small for it here.
        environment.update(LD_PRELOAD=str(shim), LD_BIND_NOW="1")
    return environment


requires_kernel = pytest.mark.skipif(bool(missing()), reason=missing() or "available")


@dataclass(frozen=True)
class GuestResult:
    """A guest's exit code and output, and where it wrote its results."""

    code: int
    output: str
    directory: Path


def run_guest(
    script: Path, timeout: int, argument: str = "", *, systemd: bool = False
) -> GuestResult:
    """Boot a guest, run `script RESULT_DIRECTORY argument` in it, power off.

    `systemd`: as a service of a systemd that is process 1, on a copy of the host's files.
    """
    result = Path(tempfile.mkdtemp(prefix="gcks-kernel-"))
    values = {
        "modules": MODULES,
        "root": ROOT,
        "timeout": timeout,
        "python": sys.executable,
        "script": script,
        "result": result,
        "argument": argument,
        "power_off": POWER_OFF,
    }
    job = JOB.format(**values)
    init = result / "init"
    init.write_text(
        BEGIN.format(**values) + (SYSTEMD.format(job=job, **values) if systemd else job)
    )
    init.chmod(0o755)
    command = [
        "linux", "rootfstype=hostfs", "rootflags=/", "rw", f"mem={MEMORY}", f"init={init}",
        "con=null", "con0=null,fd:1",
    ]  # fmt: skip
    console = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout + 60,
        check=False,
        env=_environment(result),
    )
    code, output = result / "rc", result / "out"
    if not code.exists():
        raise RuntimeError(f"the guest did not run: {console.stdout[-2000:]!r}")
    return GuestResult(int(code.read_text()), output.read_text(errors="replace"), result)
