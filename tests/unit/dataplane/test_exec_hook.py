"""The exec data plane runs a real command for each change."""

from __future__ import annotations

import json
import os
import select
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gcks.dataplane.exec_hook import ExecDataPlane
from gcks.dataplane.interface import SaCommand
from gcks.errors import LocalError
from gcks.iana import ProtocolId
from gcks.member.data_plane import ActivateSa, RemoveSa
from gcks.wire.sa_usage import AggFrag, IpComp
from tests.support.install_sa import INSTALL, SPI


def hook(tmp_path: Path, body: str) -> tuple[str, ...]:
    script = tmp_path / "hook.py"
    script.write_text(body)
    return sys.executable, str(script)


def ends(pid: int) -> bool:
    """Tell whether a process that isn't ours ends at last."""
    try:
        child = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ready, _, _ = select.select([child], [], [], 5)
    os.close(child)
    return bool(ready)


def recorder(tmp_path: Path) -> tuple[tuple[str, ...], Path]:
    record = tmp_path / "record"
    body = f"import sys\nopen({str(record)!r}, 'a').write(sys.stdin.read() + '\\n')\n"
    return hook(tmp_path, body), record


async def test_the_hook_gets_one_json_object_per_command(tmp_path: Path) -> None:
    command, record = recorder(tmp_path)
    plane = ExecDataPlane(command, 10.0)
    commands: list[SaCommand] = [
        INSTALL,
        ActivateSa("keyid:demo", ProtocolId.ESP, SPI, (b"\0\0\1\0",)),
        RemoveSa("keyid:demo", ProtocolId.ESP, SPI),
    ]
    for one in commands:
        await plane.apply(one)
    await plane.close()
    install, activate, remove = map(json.loads, record.read_text().splitlines())
    assert install["schema_version"] == activate["schema_version"] == 1
    assert install["command"] == "install_sa"
    assert install["spi"] == "e41b724d"
    assert install["key_e"] == bytes(range(36)).hex()
    assert (install["sender_ids"], install["sender_id_bits"]) == ([3], 16)  # RFC 9838 section 2.5.2
    assert install["encr"]["name"] == "ENCR=AES_GCM_16-256"
    assert install["protocol"] == "esp"
    assert install["destination"]["text"] == "239.1.2.3 protocol 17 port 5000"
    assert (activate["command"], activate["replaces"]) == ("activate_sa", ["00000100"])
    assert remove["command"] == "remove_sa"


async def test_the_hook_is_told_what_an_sa_needs_beyond_plain_esp(tmp_path: Path) -> None:
    """RFC 9478, RFC 9347, RFC 3173; null and "" where it is nothing."""
    command, record = recorder(tmp_path)
    plane = ExecDataPlane(command, 10.0)
    labeled = replace(INSTALL, label=b"s0\0", aggfrag=AggFrag(), ipcomp=IpComp(2, 2))
    for one in (INSTALL, labeled):
        await plane.apply(one)
    plain, needy = map(json.loads, record.read_text().splitlines())
    assert (plain["label"], plain["aggfrag"], plain["ipcomp"]) == ("", None, None)
    assert needy["label"] == b"s0\0".hex()
    assert needy["aggfrag"] == {"dont_fragment": False}
    assert needy["ipcomp"] == {"cpi": 2, "transform": 2, "name": "IPCOMP_DEFLATE"}


async def test_a_hook_does_not_get_the_secrets_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GM1_PSK", "00" * 32)
    body = f"import os\nopen({str(tmp_path / 'seen')!r}, 'w').write(' '.join(os.environ))"
    await ExecDataPlane(hook(tmp_path, body), 10.0).apply(INSTALL)
    seen = (tmp_path / "seen").read_text().split()
    assert "PATH" in seen and "GM1_PSK" not in seen


async def test_closing_removes_what_is_left(tmp_path: Path) -> None:
    command, record = recorder(tmp_path)
    plane = ExecDataPlane(command, 10.0)
    await plane.apply(INSTALL)
    await plane.close()
    last = json.loads(record.read_text().splitlines()[-1])
    assert (last["command"], last["spi"]) == ("remove_sa", "e41b724d")


@pytest.mark.parametrize(
    ("body", "seconds", "reason"),
    [
        ("import sys\nsys.exit('no such tunnel')", 10.0, "failed with 1: no such tunnel"),
        ("import time\ntime.sleep(60)", 0.3, "took longer than 0.3 s"),
        ("raise SystemExit(chr(10).join('x' * 99 for _ in range(99)))", 10.0, "failed with 1"),
    ],
)
async def test_a_hook_that_fails_is_one_clear_error(
    tmp_path: Path, body: str, seconds: float, reason: str
) -> None:
    plane = ExecDataPlane(hook(tmp_path, body), seconds)
    with pytest.raises(LocalError) as caught:
        await plane.apply(INSTALL)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 300


async def test_a_hook_may_leave_something_running_and_say_much(tmp_path: Path) -> None:
    """What it leaves has inherited its standard error; who waited for its end would wait long."""
    body = (
        "import subprocess, sys\nsubprocess.Popen(['sleep', '20'])\n"
        "sys.stderr.write('x' * 9_000_000)\nsys.exit(int(sys.argv[1]))"
    )
    await ExecDataPlane((*hook(tmp_path, body), "0"), 10.0).apply(INSTALL)
    with pytest.raises(LocalError, match="failed with 3: x+$"):
        await ExecDataPlane((*hook(tmp_path, body), "3"), 10.0).apply(INSTALL)


async def test_a_hook_that_takes_too_long_ends_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    body = (
        f"import subprocess\nchild = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(pid)!r}, 'w').write(str(child.pid))\nchild.wait()"
    )
    plane = ExecDataPlane(hook(tmp_path, body), 1.0)
    with pytest.raises(LocalError, match="took longer"):
        await plane.apply(INSTALL)
    assert ends(int(pid.read_text()))


async def test_a_hook_need_not_read_its_input(tmp_path: Path) -> None:
    huge = replace(INSTALL, label=bytes(200_000))
    await ExecDataPlane(hook(tmp_path, "pass"), 10.0).apply(huge)


async def test_a_hook_that_is_not_there_is_named() -> None:
    with pytest.raises(LocalError, match="can't run the hook /nowhere"):
        await ExecDataPlane(("/nowhere",), 1.0).apply(INSTALL)


def test_no_hook_is_an_error() -> None:
    with pytest.raises(LocalError, match="is empty"):
        ExecDataPlane((), 1.0)
