"""`gcks serve --dev` and `gcks-member run --dev`, as a newcomer starts them."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemon_process import MEMBER, PORTS, SERVE, Daemon
from tests.support.frames import check, frames
from tests.support.repository import ROOT
from tests.support.terminal import LARGE, SMALL, Screen, Terminal
from tests.support.waiting import PATIENCE_SECONDS, wait_for

LOG_OCTETS = 16 << 10


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[], Daemon]]:
    """Start development servers on one directory; dev.json tells when one listens."""
    started: list[Daemon] = []
    directory = tmp_path / "dev"

    def start() -> Daemon:
        (directory / "dev.json").unlink(missing_ok=True)
        arguments = ["--dev", "--data-dir", str(directory), "--rekey-seconds", "3"]
        daemon = Daemon([*SERVE, *arguments], tmp_path / "server.log")
        started.append(daemon)
        wait_for(lambda: (directory / "dev.json").exists(), "dev.json")
        return daemon

    yield start
    for daemon in started:
        daemon.stop(signal.SIGKILL)


def join(tmp_path: Path, *options: str) -> Daemon:
    return Daemon(
        [*MEMBER, "--dev", str(tmp_path / "dev"), *options], tmp_path / f"m{len(options)}"
    )


def test_dev_json_says_how_to_connect(serve: Callable[[], Daemon], tmp_path: Path) -> None:
    serve()
    path = tmp_path / "dev" / "dev.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = json.loads(path.read_text())
    secret = found["psk"].pop("secret")
    assert re.fullmatch("hex:[0-9a-f]{64}", secret)
    for key in ("ca", "member_certificate", "member_key"):
        assert Path(found.pop(key)).is_file()
    assert Path(found.pop("control")).is_socket()
    assert found == {
        "identity": "fqdn:gcks.dev",
        "address": "127.0.0.1",
        "udp_ports": [10500, 10848, 14500],
        "natt_port": 14500,
        "groups": [{"id": "keyid:demo", "rekey_address": "239.255.84.8", "rekey_port": 10848}],
        "psk": {"identity": "fqdn:gm1.dev"},
        "metrics_url": "http://127.0.0.1:9848/metrics",
    }


FIRST_REKEYS = ('gcks_rekeys_sent_total{copy="first",', "gcks_rekey_seconds_count")


def test_members_join_by_psk_and_certificate_and_stay_keyed(
    serve: Callable[[], Daemon], tmp_path: Path
) -> None:
    server = serve()
    members = [join(tmp_path), join(tmp_path, "--certificate")]
    for member in members:
        member.says("rekey_received", 2)
    server.says("identity=fqdn:gm-cert.dev")
    with urllib.request.urlopen("http://127.0.0.1:9848/metrics", timeout=5) as page:
        metrics = page.read().decode()
    assert 'gcks_members{group="keyid:demo"} 2.0' in metrics
    assert 'gcks_rekeys_sent_total{copy="first",group="keyid:demo"}' in metrics
    firsts, timed = (
        float(line.split()[-1])
        for name in FIRST_REKEYS
        for line in metrics.splitlines()
        if line.startswith(name)
    )
    assert 2 <= timed == firsts, "the time of each new GSA_REKEY"
    assert [member.stop() for member in members] == [0, 0]
    assert server.stop() == 0
    assert "Traceback" not in server.text + members[0].text + members[1].text


def test_a_member_registers_over_tcp_and_follows_by_multicast(
    serve: Callable[[], Daemon], tmp_path: Path
) -> None:
    """RFC 9329; GSA_REKEY stays UDP multicast."""
    server, member = serve(), join(tmp_path, "--transport", "tcp")
    member.says("rekey_received", 2)
    assert re.search("member_registered .*remote=127.0.0.1:", server.text)
    assert "ike_sa_closed" in server.text or member.text.count("registered ") == 1
    assert member.stop() == 0
    assert server.stop() == 0
    assert "Traceback" not in server.text + member.text


def test_a_member_falls_back_to_tcp_where_udp_is_blocked(
    serve: Callable[[], Daemon], tmp_path: Path
) -> None:
    serve()
    path = tmp_path / "dev" / "dev.json"
    told = json.loads(path.read_text())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        told["udp_ports"][0] = nobody.getsockname()[1]
        path.write_text(json.dumps(told))
        member = join(tmp_path, "--transport", "auto")
        member.says("registered ")
        assert member.stop() == 0


def test_a_member_that_stops_while_its_ike_sa_is_open_leaves(
    serve: Callable[[], Daemon], tmp_path: Path
) -> None:
    """RFC 9838 section 2.3.2: the GCKS removes it."""
    server = serve()
    member = join(tmp_path)
    member.says("registered ", 1)
    assert member.stop() == 0
    server.says("member_left")


def test_a_killed_server_goes_on_and_its_member_notices_nothing(
    serve: Callable[[], Daemon], tmp_path: Path
) -> None:
    server = serve()
    member = join(tmp_path)
    member.says("rekey_received", 1)
    server.stop(signal.SIGKILL)
    serve().says("restored=True")
    member.says("rekey_received", 3)
    assert len(re.findall("registered ", member.text)) == 1
    assert "reregistering" not in member.text
    assert member.stop() == 0


@pytest.mark.parametrize("screen", [LARGE, SMALL])
def test_a_terminal_shows_server_and_member_on_one_screen(tmp_path: Path, screen: Screen) -> None:
    directory = tmp_path / "dev"
    command = [*SERVE, "--dev", "--data-dir", str(directory), "--rekey-seconds", "3"]
    server = Terminal(command, screen)
    try:
        server.shows("join +gcks-member run --dev")
        member = Terminal([*MEMBER, "--dev", str(directory)], screen)
        try:
            member.shows("group +keyid:demo +registered")
            member.shows("ESP [0-9a-f]{8} +sends and receives")
            member.shows("rekey_received")
            server.shows("member_registered +group=keyid:demo")
        finally:
            assert member.stop() == 0
    finally:
        assert server.stop() == 0
    for terminal in (server, member):
        check(frames(terminal.drawn), screen.columns, screen.rows)


def test_on_a_full_disk_the_server_says_so_and_what_it_could_not_keep_is_not_sent(
    serve: Callable[[], Daemon], tmp_path: Path
) -> None:
    server = serve()
    member = join(tmp_path)
    member.says("rekey_received", 1)
    # The log may still grow, the write-ahead log of the database is larger already.
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (LOG_OCTETS, LOG_OCTETS))
    assert server.process.wait(PATIENCE_SECONDS) == 1
    assert re.search("^gcks: .*gcks.sqlite.*", server.text.splitlines()[-1])
    assert "Traceback" not in server.text
    serve().says("restored=True")
    rekeys = len(re.findall("rekey_received", member.text))
    member.says("rekey_received", rekeys + 2)
    assert "reregistering" not in member.text
    assert member.stop() == 0


def test_an_occupied_port_is_one_clear_message(serve: Callable[[], Daemon], tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", PORTS[1]))
        command = [*SERVE, "--dev", "--data-dir", str(tmp_path / "dev")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT)
    assert done.returncode == 1
    assert "can't listen on UDP 127.0.0.1:10848: the port is occupied" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "dev" / "dev.json").exists()
    serve()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "give either CONFIG or --dev"),
        (["missing.yaml"], 1, "can't read it"),
        (["--no-such-option"], 2, "No such option"),
    ],
)
def test_wrong_use_is_one_clear_message(arguments: list[str], code: int, text: str) -> None:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [*SERVE, *arguments], capture_output=True, text=True, timeout=30, cwd=ROOT, env=environment
    )
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_member_without_server_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [*MEMBER, "--dev", str(tmp_path)], capture_output=True, text=True, timeout=30, cwd=ROOT
    )
    assert done.returncode == 1
    assert "is `gcks serve --dev` running?" in done.stderr
