"""sd_notify(3): the messages, both kinds of socket, silence where nobody listens."""

from __future__ import annotations

import os
import re
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gcks.daemon.systemd import ServiceManager
from gcks.daemon.tcp import DESCRIPTORS_KEPT, MAX_STREAMS
from tests.support.repository import ROOT


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A service manager's socket, and what NOTIFY_SOCKET says of it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@gcks-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        sock.settimeout(2)
        yield name, sock


def test_each_state_is_one_datagram(manager: tuple[str, socket.socket]) -> None:
    name, sock = manager
    service = ServiceManager({"NOTIFY_SOCKET": name})
    service.ready("2 groups")
    service.reloading(12.5)
    service.watchdog()
    service.stopping()
    assert [sock.recv(4096) for _ in range(4)] == [
        b"READY=1\nSTATUS=2 groups",
        b"RELOADING=1\nMONOTONIC_USEC=12500000",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_a_status_can_say_nothing_else(manager: tuple[str, socket.socket]) -> None:
    name, sock = manager
    ServiceManager({"NOTIFY_SOCKET": name}).ready("a\nMAINPID=1")
    assert sock.recv(4096) == b"READY=1\nSTATUS=a MAINPID=1"


@pytest.mark.parametrize("name", ["", "/nowhere/notify", "@nobody", "relative", "/" + "x" * 200])
def test_without_a_manager_nothing_happens(name: str) -> None:
    ServiceManager({"NOTIFY_SOCKET": name} if name else {}).ready("up")


def test_a_manager_that_does_not_read_holds_nothing_up(
    manager: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcks.daemon.systemd._PATIENCE_SECONDS", 0.001)
    service = ServiceManager({"NOTIFY_SOCKET": manager[0]})
    for _ in range(600):
        service.watchdog()
    assert manager[1].recv(100) == b"WATCHDOG=1"


def test_it_is_heard_where_no_descriptor_is_left(manager: tuple[str, socket.socket]) -> None:
    """Else whoever opens enough connections would have the manager kill us."""
    service = ServiceManager({"NOTIFY_SOCKET": manager[0]})
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    taken = [lowest]
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 5, limits[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        service.watchdog()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)
    assert manager[1].recv(100) == b"WATCHDOG=1"


def test_a_manager_that_begins_anew_is_heard_again(tmp_path: Path) -> None:
    name = str(tmp_path / "notify")
    service = ServiceManager({"NOTIFY_SOCKET": name})
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(name)
            sock.settimeout(2)
            service.watchdog()
            assert sock.recv(100) == b"WATCHDOG=1"
        Path(name).unlink()
        service.watchdog()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_the_watchdog_interval(environment: dict[str, str], seconds: float | None) -> None:
    assert ServiceManager(environment).watchdog_seconds == seconds


# --- the units --------------------------------------------------------------------------


def unit(name: str) -> dict[str, list[str]]:
    lines = (ROOT / "systemd" / name).read_text().splitlines()
    settings: dict[str, list[str]] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings.setdefault(key, []).append(value)
    return settings


@pytest.mark.parametrize(
    ("name", "example"), [("gcks.service", "gcks.yaml"), ("gcks-member.service", "member.yaml")]
)
def test_units_load_the_credentials_that_the_examples_name(name: str, example: str) -> None:
    lines = (ROOT / "config" / example).read_text().splitlines()
    used = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    wanted = set(re.findall(r"\$\{CREDENTIALS_DIRECTORY\}/(\S+)", used))
    loaded = {value.partition(":")[0] for value in unit(name)["LoadCredential"]}
    assert wanted
    assert loaded == wanted


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("gcks.service", "CAP_NET_BIND_SERVICE"),
        ("gcks-member.service", "CAP_NET_ADMIN CAP_NET_BIND_SERVICE"),
    ],
)
def test_units_notify_and_stay_in_their_box(name: str, capability: str) -> None:
    settings = unit(name)
    assert settings["Type"] == ["notify"]
    assert settings["LimitCORE"] == ["0"]
    assert settings["DynamicUser"] == settings["NoNewPrivileges"] == ["yes"]
    assert settings["ProtectSystem"] == ["strict"]
    assert settings["AmbientCapabilities"] == settings["CapabilityBoundingSet"] == [capability]
    assert int(settings["WatchdogSec"][0]) > 0


def test_the_server_may_have_every_connection_at_once() -> None:
    (limit,) = map(int, unit("gcks.service")["LimitNOFILE"])
    assert limit >= MAX_STREAMS + DESCRIPTORS_KEPT


def test_the_server_keeps_state_and_reloads() -> None:
    settings = unit("gcks.service")
    assert settings["StateDirectory"] == ["gcks"]
    assert settings["ExecReload"] == ["/opt/gcks/bin/gcks reload"]
