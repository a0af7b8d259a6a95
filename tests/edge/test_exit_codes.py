"""docs/exit-codes.md: every cell of the table is made to happen."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from gcks.cli import member_command as member
from gcks.cli import server_command as server
from gcks.daemon.control.peers import MAX_PEERS
from tests.support.captures import ipv4, pcap, udp
from tests.support.daemon_process import MEMBER, SERVE, Daemon
from tests.support.repository import ROOT
from tests.support.sample_messages import INIT
from tests.support.site import GROUP, Site
from tests.support.waiting import wait_for

TABLE = ROOT / "docs" / "exit-codes.md"
MODULES: Final = {"gcks": "gcks", "gcks-member": "gcks.cli.member_command"}
COMMANDS: Final = {"gcks": server.COMMANDS, "gcks-member": member.COMMANDS}
Cell = tuple[str, str, int]


def cells() -> dict[Cell, str]:
    """Return what the page says: program, command and code -> what it means."""
    found: dict[Cell, str] = {}
    program, codes = "", []
    for line in TABLE.read_text().splitlines():
        if not line.startswith("|") or line.startswith("| ---"):
            continue
        first, *rest = [cell.strip() for cell in line.strip("|").split("|")]
        if first in MODULES:
            program, codes = first, [*map(int, rest)]
            continue
        texts = zip(codes, rest, strict=True)
        found.update({(program, first.strip("`"), code): text for code, text in texts if text})
    return found


CELLS: Final = cells()


def test_the_table_has_every_command_and_what_all_have_in_common() -> None:
    for program, commands in COMMANDS.items():
        assert {one[1] for one in CELLS if one[0] == program} == set(commands)
        for command in commands:
            assert {0, 2} <= {code for p, c, code in CELLS if (p, c) == (program, command)}
    assert set(HOW) == {cell for cell in CELLS if cell[2] != 2}


# --- the stage --------------------------------------------------------------------------


class Stage:
    """A server with one member; `run` calls a command and keeps what it said."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.site, self.directory = site, directory
        self.out = self.err = ""

    @property
    def control(self) -> Path:
        return self.site.directory / "control.sock"

    def run(self, program: str, *arguments: str) -> int:
        done = subprocess.run(
            [sys.executable, "-m", MODULES[program], *arguments],
            capture_output=True, text=True, timeout=60, cwd=ROOT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.out, self.err = done.stdout, done.stderr
        return done.returncode

    def order(self, *arguments: str) -> int:
        """Call a command of gcks with the server's socket."""
        return self.run("gcks", *arguments, "--socket", str(self.control))

    def ask_member(self, command: str) -> int:
        socket_of = self.site.directory / "gm1.sock"
        return self.run("gcks-member", command, "--socket", str(socket_of))

    def file(self, name: str, content: str | bytes = "") -> str:
        path = self.directory / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def reconfigured(self, content: str, work: Callable[[], int]) -> int:
        """Do something while the server's file says something else."""
        before = self.site.config.read_text()
        self.site.config.write_text(content)
        try:
            return work()
        finally:
            self.site.config.write_text(before)

    def crowded(self, path: Path, work: Callable[[], int]) -> int:
        """Do something while as many programs are connected as may be."""
        with ExitStack() as held:
            for _ in range(MAX_PEERS):
                one = held.enter_context(socket.socket(socket.AF_UNIX))
                one.connect(str(path))
                assert one.recv(1024)
            return work()

    def ended(self, number: signal.Signals, *command: str, ready: str) -> int:
        """Start a program, and end it once it has said that it is ready."""
        daemon = Daemon([*command], self.directory / "daemon.log")
        try:
            daemon.says(ready)
            return daemon.stop(number)
        finally:
            daemon.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    site.write(keys="simple")
    site.serve()
    for name in ("gm1", "gm2"):
        site.join(name).says("registered ")
    yield site
    for daemon in site.daemons:
        daemon.stop(signal.SIGKILL)


# --- how each cell comes about ----------------------------------------------------------


def serve(stage: Stage) -> int:
    directory = stage.directory / "site"
    directory.mkdir()
    other = Site(directory)
    return stage.ended(signal.SIGTERM, *SERVE, str(other.config), ready="group_started")


def member_runs(stage: Stage) -> int:
    file = str(stage.site.directory / "gm3.yaml")
    stage.site.join("gm3").stop()
    return stage.ended(signal.SIGINT, *MEMBER, "--config", file, ready="registered ")


def plan_that_needs_a_restart(stage: Stage) -> int:
    text = stage.site.config.read_text().replace("gcks.sqlite", "other.sqlite")
    return stage.reconfigured(text, lambda: stage.order("plan"))


def refused_reload(stage: Stage) -> int:
    return stage.reconfigured("nonsense", lambda: stage.order("reload"))


def readmitted(stage: Stage) -> int:
    assert stage.order("exclude", GROUP, "fqdn:gm9.test") == 0
    return stage.order("readmit", GROUP, "fqdn:gm9.test")


def followed_events(stage: Stage) -> int:
    command = (sys.executable, "-m", "gcks", "events", "--follow", "--socket", str(stage.control))
    return stage.ended(signal.SIGINT, *command, ready="member_registered")


def broken_audit(stage: Stage) -> int:
    lines = (stage.site.directory / "audit.log").read_text().splitlines(keepends=True)
    return stage.run("gcks", "audit", stage.file("broken.log", lines[0] + "".join(lines[2:])))


def damaged_capture(stage: Stage) -> int:
    whole = pcap([ipv4(udp(INIT))])
    return stage.run("gcks", "decode", stage.file("damaged.pcap", whole[:-7]))


def interrupted_demo(stage: Stage) -> int:
    command = (sys.executable, "-m", "gcks", "demo", "--once")
    return stage.ended(signal.SIGINT, *command, ready="The key server starts")


def leave(stage: Stage) -> int:
    leaving = stage.site.join("gm4")
    leaving.says("registered ")
    path = str(stage.site.directory / "gm4.sock")
    code = stage.run("gcks-member", "leave", "--socket", path)
    assert leaving.process.wait(20) == 0
    return code


def nobody(program: str, *arguments: str) -> Callable[[Stage], int]:
    """Ask where nobody answers."""
    nowhere = ("--socket", "/nonexistent.sock")
    return lambda stage: stage.run(program, *arguments, *nowhere)


HOW: Final[dict[Cell, Callable[[Stage], int]]] = {
    ("gcks", "serve", 0): serve,
    ("gcks", "serve", 1): lambda s: s.run("gcks", "serve", s.file("bad.yaml", "nonsense")),
    ("gcks", "check", 0): lambda s: s.run("gcks", "check", str(s.site.config)),
    ("gcks", "check", 1): lambda s: s.run("gcks", "check", s.file("bad.yaml", "nonsense")),
    ("gcks", "plan", 0): lambda s: s.order("plan"),
    ("gcks", "plan", 1): plan_that_needs_a_restart,
    ("gcks", "plan", 3): nobody("gcks", "plan"),
    ("gcks", "reload", 0): lambda s: s.order("reload"),
    ("gcks", "reload", 1): refused_reload,
    ("gcks", "reload", 3): nobody("gcks", "reload"),
    ("gcks", "show", 0): lambda s: s.order("show", "groups"),
    ("gcks", "show", 1): lambda s: s.order("show", "members", "--group", "keyid:nope"),
    ("gcks", "show", 3): nobody("gcks", "show"),
    ("gcks", "rekey", 0): lambda s: s.order("rekey", GROUP),
    ("gcks", "rekey", 1): lambda s: s.order("rekey", "keyid:nope"),
    ("gcks", "rekey", 3): nobody("gcks", "rekey", GROUP),
    ("gcks", "exclude", 0): lambda s: s.order("exclude", GROUP, "fqdn:gm1.test", "--dry-run"),
    ("gcks", "exclude", 1): lambda s: s.order("exclude", GROUP, "fqdn:gm1.test"),
    ("gcks", "exclude", 3): nobody("gcks", "exclude", GROUP, "fqdn:gm1.test"),
    ("gcks", "readmit", 0): readmitted,
    ("gcks", "readmit", 1): lambda s: s.order("readmit", GROUP, "fqdn:gm8.test"),
    ("gcks", "readmit", 3): nobody("gcks", "readmit", GROUP, "fqdn:gm1.test"),
    ("gcks", "events", 0): followed_events,
    ("gcks", "events", 1): lambda s: s.crowded(s.control, lambda: s.order("events")),
    ("gcks", "events", 3): nobody("gcks", "events"),
    ("gcks", "audit", 0): lambda s: s.run("gcks", "audit", str(s.site.directory / "audit.log")),
    ("gcks", "audit", 1): broken_audit,
    ("gcks", "decode", 0): lambda s: s.run("gcks", "decode", INIT.hex()),
    ("gcks", "decode", 1): damaged_capture,
    ("gcks", "demo", 0): interrupted_demo,
    ("gcks", "demo", 1): lambda s: s.run("gcks", "demo", "--once", "--dir", "/proc/none"),
    ("gcks", "version", 0): lambda s: s.run("gcks", "version"),
    ("gcks-member", "run", 0): member_runs,
    ("gcks-member", "run", 1): lambda s: s.run(
        "gcks-member", "run", "--config", s.file("bad.yaml", "identity: nobody")
    ),
    ("gcks-member", "check", 0): lambda s: s.run(
        "gcks-member", "check", str(s.site.directory / "gm1.yaml")
    ),
    ("gcks-member", "check", 1): lambda s: s.run(
        "gcks-member", "check", s.file("bad.yaml", "identity: nobody")
    ),
    ("gcks-member", "status", 0): lambda s: s.ask_member("status"),
    ("gcks-member", "status", 1): lambda s: s.crowded(
        s.site.directory / "gm1.sock", lambda: s.ask_member("status")
    ),
    ("gcks-member", "status", 3): nobody("gcks-member", "status"),
    ("gcks-member", "leave", 0): leave,
    ("gcks-member", "leave", 1): lambda s: s.crowded(
        s.site.directory / "gm1.sock", lambda: s.ask_member("leave")
    ),
    ("gcks-member", "leave", 3): nobody("gcks-member", "leave"),
    ("gcks-member", "version", 0): lambda s: s.run("gcks-member", "version"),
}


@pytest.mark.parametrize("cell", HOW, ids=lambda cell: "-".join(map(str, cell)))
def test_every_code_of_every_command_happens(cell: Cell, site: Site, tmp_path: Path) -> None:
    stage = Stage(site, tmp_path)
    assert HOW[cell](stage) == cell[2], stage.out + stage.err
    assert "Traceback" not in stage.out + stage.err
    if cell[2] in (1, 3):
        where = stage.out if re.search("standard output", CELLS[cell]) else stage.err
        assert where.strip(), f"nothing stands where {CELLS[cell]!r} says so"


@pytest.mark.parametrize(
    ("program", "command"), [(p, c) for p, commands in COMMANDS.items() for c in commands]
)
def test_a_wrong_command_line_is_2_everywhere(program: str, command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", MODULES[program], command, "--no-such-option"],
        capture_output=True, text=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "no-such-option" in done.stderr


def test_a_server_that_ends_is_told_to_who_follows_its_events(tmp_path: Path) -> None:
    site = Site(tmp_path)
    running = site.serve()
    command = [sys.executable, "-m", "gcks", "events", "--follow", "--socket"]
    follower = Daemon([*command, str(tmp_path / "control.sock")], tmp_path / "events.log")
    follower.says("group_started")
    assert running.stop() == 0
    wait_for(lambda: follower.process.poll() is not None, "the end")
    assert follower.process.returncode == 3
    assert "has ended the connection" in follower.text


AS_NOBODY = """
import os, sys
from gcks.cli import server_command as server
server.app(["show", "--socket", "/nonexistent"], standalone_mode=False)  # imports everything
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.argv = ["gcks", "show", "--socket", sys.argv[1]]
server.main()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="to be somebody else needs root")
def test_who_is_not_let_in_is_refused_and_not_told_that_nobody_is_there(
    site: Site, tmp_path: Path
) -> None:
    """The socket's mode says so already: nobody but root and the server's user may connect."""
    path = site.directory / "control.sock"
    for directory in path.parents:
        if directory.stat().st_uid == 0 and str(directory).startswith("/tmp/"):
            directory.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(path)],
        capture_output=True, text=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, ""), done.stdout + done.stderr
    assert "not allowed; ask as root" in done.stderr.splitlines()[-1], done.stderr
