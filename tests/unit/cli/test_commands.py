"""The commands: exit codes, one clear message, never a traceback, nothing half-started.

Shows gcks/cli/server_command.py and gcks/cli/member_command.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

from gcks import __version__
from gcks.cli import member_command as member
from gcks.cli import server_command as server
from gcks.cli.operate import Level
from gcks.daemon.config.values import LogLevel
from gcks.daemon.control.views import VersionView
from gcks.daemon.logs import LEVEL_NAMES
from tests.support.free_ports import free_port
from tests.support.pem_authority import PemAuthority

SECONDS = 30


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that runs here, on loopback and free ports."""
    for name in ("psk", "master.key"):
        (tmp_path / name).write_bytes(os.urandom(32))
        (tmp_path / name).chmod(0o600)
    path = tmp_path / "gcks.yaml"
    rekey = free_port()
    path.write_text(
        "server: {identity: 'fqdn:gcks.test'}\n"
        f"listen: [{{address: 127.0.0.1, ike_ports: [{rekey}], natt_ports: [{free_port()}]}}]\n"
        "authentication: {psk: [{identity: 'fqdn:*.test', secret: 'file:psk'}]}\n"
        "store: {path: gcks.sqlite, master_key: master.key}\n"
        f"metrics: {{listen: '127.0.0.1:{free_port(socket.SOCK_STREAM)}'}}\n"
        "groups:\n"
        "  - id: keyid:a\n"
        "    members: [{identity: 'fqdn:*.test', send: true}]\n"
        f"    rekey: {{address: 239.255.84.7, port: {free_port()}, source_port: {rekey}}}\n"
        "    data_sas: [{name: a, destination: 239.255.84.6}]\n"
    )
    return path


@pytest.fixture
def member_config(tmp_path: Path, config: Path) -> Path:
    path = config.with_name("member.yaml")
    path.write_text(
        "identity: fqdn:gm1.test\n"
        "server: {address: 127.0.0.1, identity: 'fqdn:gcks.test'}\n"
        "authentication: {psk: 'file:psk'}\n"
        "groups: [{id: 'keyid:a'}]\n"
        "data_plane: {kind: none}\n"
    )
    return path


def invoke(app: object, *arguments: object) -> Result:
    return CliRunner().invoke(app.app, [str(one) for one in arguments])  # type: ignore[attr-defined]


# --- usage ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app", "arguments"),
    [
        (server, ["serve"]),
        (server, ["serve", "gcks.yaml", "--dev"]),
        (server, ["serve", "gcks.yaml", "--data-dir", "x"]),
        (server, ["serve", "gcks.yaml", "--rekey-seconds", "9"]),
        (server, ["serve", "--dev", "--rekey-seconds", "0"]),
        (server, ["check"]),
        (server, ["nonsense"]),
        (server, []),
        (member, ["run"]),
        (member, ["run", "--config", "a", "--dev", "b"]),
        (member, ["run", "--config", "a", "--certificate"]),
        (member, ["run", "--config", "a", "--identity", "fqdn:gm2.dev"]),
        (member, ["check"]),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_wrong_usage_is_exit_code_2(app: object, arguments: list[str]) -> None:
    assert invoke(app, *arguments).exit_code == 2


def test_the_levels_of_events_are_those_of_the_log() -> None:
    assert (*map(str, Level),) == get_args(LogLevel) == (*LEVEL_NAMES,)


@pytest.mark.parametrize(("app", "name"), [(server, "gcks"), (member, "gcks-member")])
def test_version(app: object, name: str) -> None:
    for asked in ("version", "--version"):
        result = invoke(app, asked)
        assert (result.exit_code, result.output) == (0, f"{name} {__version__}\n")


@pytest.mark.parametrize(("app", "name"), [(server, "gcks"), (member, "gcks-member")])
def test_version_for_a_bug_report(app: object, name: str) -> None:
    answer = json.loads(invoke(app, "version", "--json").output)
    Draft202012Validator(VersionView.model_json_schema(mode="serialization")).validate(answer)
    assert (answer["program"], answer["version"]) == (name, __version__)
    assert answer["openssl"].startswith("OpenSSL")


# --- check ------------------------------------------------------------------------------


def test_check_of_a_good_file_is_one_line(config: Path, member_config: Path) -> None:
    result = invoke(server, "check", config)
    assert result.exit_code == 0
    assert result.output == (
        f"{config}: usable: fqdn:gcks.test, 2 UDP ports, 1 group, 1 Data-Security SA\n"
    )
    for app in (server, member):
        result = invoke(app, "check", member_config)
        assert result.exit_code == 0
        assert "fqdn:gm1.test, 1 group of fqdn:gcks.test" in result.output


def test_check_of_a_bad_file_names_every_problem(config: Path) -> None:
    text = config.read_text().replace("keyid:a", "a").replace("master.key", "lost")
    config.write_text(text.replace("listen:", "lisen:", 1))
    result = invoke(server, "check", config)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    keys = [line.split(": ")[1] for line in lines]
    assert keys == ["listen", "lisen", "store.master_key", "groups[0].id"]
    assert f"{config}:2: lisen: unknown key; did you mean listen?" in lines


def test_check_speaks_json(config: Path, tmp_path: Path) -> None:
    result = invoke(server, "check", "--json", config)
    assert json.loads(result.output)["usable"] is True
    result = invoke(server, "check", "--json", tmp_path / "none.yaml")
    assert result.exit_code == 1
    (problem,) = json.loads(result.output)["problems"]
    assert problem["reason"] == "can't read it: No such file or directory"


# --- refusals to start ------------------------------------------------------------------


def refusal(*arguments: object) -> str:
    """Run a command that must fail; return its one message."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stdout == ""
    return done.stderr


def test_serve_names_a_bad_configuration(config: Path) -> None:
    config.write_text(config.read_text().replace("send: true", "sent: true"))
    message = refusal("gcks", "serve", config)
    assert message.startswith("gcks: ")
    assert "groups[0].members[0].sent: unknown key; did you mean send?" in message
    assert not config.with_name("gcks.sqlite").exists()


def test_serve_names_a_secret_that_others_can_read(config: Path) -> None:
    config.with_name("psk").chmod(0o644)
    assert "chmod 600" in refusal("gcks", "serve", config)


def test_serve_names_a_certificate_that_is_not_its_own(config: Path) -> None:
    PemAuthority(config.parent).leaf("x", "other.test")
    text = config.read_text().replace("gcks.test'}", "gcks.test', certificate: x.pem, key: x.key}")
    config.write_text(text)
    assert "does not name fqdn:gcks.test" in refusal("gcks", "serve", config)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "metrics"])
def test_serve_names_an_occupied_port(config: Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        port = sock.getsockname()[1]
        key, after = ("natt_ports: [", "]") if kind == socket.SOCK_DGRAM else ("'127.0.0.1:", "'")
        text = config.read_text()
        start = text.index(key) + len(key)
        config.write_text(text[:start] + str(port) + text[text.index(after, start) :])
        message = refusal("gcks", "serve", config)
    assert message.count("\n") == 1
    assert f"127.0.0.1:{port}" in message


def test_serve_names_an_address_that_this_host_lacks(config: Path) -> None:
    config.write_text(config.read_text().replace("address: 127.0.0.1,", "address: 192.0.2.77,"))
    message = refusal("gcks", "serve", config)
    assert "192.0.2.77" in message
    assert "no such address" in message


def test_a_member_names_a_bad_configuration(member_config: Path) -> None:
    member_config.write_text(member_config.read_text().replace("file:psk", "file:lost"))
    message = refusal("gcks.cli.member_command", "run", "--config", member_config)
    assert f"{member_config}:3: authentication.psk: can't read" in message


def test_a_member_names_a_directory_without_a_development_server(tmp_path: Path) -> None:
    assert "dev.json" in refusal("gcks.cli.member_command", "run", "--dev", tmp_path)


# --- a server as systemd sees it --------------------------------------------------------


@pytest.fixture
def notify(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(SECONDS)
        yield sock


@pytest.fixture
def running(config: Path, notify: socket.socket) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "NOTIFY_SOCKET": notify.getsockname()}
    with subprocess.Popen(
        [sys.executable, "-m", "gcks", "serve", str(config)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def test_a_server_is_ready_reloads_and_stops(
    config: Path, notify: socket.socket, running: subprocess.Popen[str]
) -> None:
    assert notify.recv(4096) == b"READY=1\nSTATUS=serving 1 group"
    assert config.with_name("gcks.sqlite").stat().st_mode & 0o077 == 0

    good = config.read_text()
    config.write_text(good.replace("send: true", "sent: true"))
    running.send_signal(signal.SIGHUP)
    assert notify.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert b"refused" in notify.recv(4096)

    config.write_text(good.replace("fqdn:*.test', send", "fqdn:gm*.test', send"))
    running.send_signal(signal.SIGHUP)
    assert notify.recv(4096).startswith(b"RELOADING=1\n")
    assert notify.recv(4096) == b"READY=1\nSTATUS=serving 1 group"

    running.send_signal(signal.SIGTERM)
    assert notify.recv(4096) == b"STOPPING=1"
    _, log = running.communicate(timeout=SECONDS)
    assert running.returncode == 0
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert "group_started" in events
    assert events.index("reload_refused") < events.index("reloaded")


def test_reloads_change_groups_as_a_whole_or_not_at_all(
    config: Path, notify: socket.socket, running: subprocess.Popen[str]
) -> None:
    """A rekey source of its own stays bound over reloads; a missing interface changes nothing."""
    assert notify.recv(4096).startswith(b"READY=1")
    good = config.read_text()
    second = good[good.index("  - id: keyid:a") :].replace("keyid:a", "keyid:b")
    second = second.replace("239.255.84.7", "239.255.84.8").replace("239.255.84.6", "239.255.84.9")

    def reload(text: str) -> bytes:
        config.write_text(text)
        running.send_signal(signal.SIGHUP)
        assert notify.recv(4096).startswith(b"RELOADING=1")
        return notify.recv(4096)

    own = re.sub("source_port: [0-9]+", f"source_port: {free_port()}", second)
    assert reload(good + second.replace("rekey: {", "rekey: {interface: none9, ")).endswith(
        b"refused"
    )
    assert reload(good + own) == b"READY=1\nSTATUS=serving 2 groups"
    assert (
        reload(good + own.replace("send: true", "send: false"))
        == b"READY=1\nSTATUS=serving 2 groups"
    )
    assert reload(good + "logging: {format: console}\n") == b"READY=1\nSTATUS=serving 1 group"
    running.send_signal(signal.SIGTERM)
    _, log = running.communicate(timeout=SECONDS)
    assert running.returncode == 0
    assert "there is no interface none9" in log
    assert "Traceback" not in log
    assert not log.splitlines()[-1].startswith("{")


def test_a_development_server_keeps_no_secrets_where_others_may_write(tmp_path: Path) -> None:
    """Who can write there could have laid out links and files that everybody reads."""
    tmp_path.chmod(0o777)
    done = CliRunner().invoke(server.app, ["serve", "--dev", "--data-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert "others can write there" in done.output
    assert not list(tmp_path.iterdir())
