"""The watchdog is fed by the event loop itself: a loop that hangs feeds nobody.

Both daemons run in this process.  The socket's queue is what the service manager
would read: all that was sent while the loop hung, by whatever thread, lies in it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from gcks.daemon.config.member_file import load_member
from gcks.daemon.config.server_file import load_server
from gcks.daemon.member_runtime import MemberRuntime
from gcks.daemon.server_runtime import ServerRuntime
from tests.support.site import JOIN, Site

WATCHDOG_SECONDS = 0.06
"""The longest silence that the service manager would allow."""
HANGS_SECONDS = 10 * WATCHDOG_SECONDS
PATIENCE_SECONDS = 30.0
FED = b"WATCHDOG=1"
Runtime = ServerRuntime | MemberRuntime


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_SECONDS * 1_000_000)))
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.setblocking(False)
        yield sock


def server(directory: Path) -> Runtime:
    return ServerRuntime(load_server(Site(directory).config))


def member(directory: Path) -> Runtime:
    """Make a member whose server isn't there: it goes on trying."""
    file = directory / "gm1.yaml"
    file.write_text(JOIN.format(name="gm1", local="", **vars(Site(directory))))
    return MemberRuntime(load_member(file))


def told(manager: socket.socket) -> list[bytes]:
    """Return what has been sent since the last time."""
    found = []
    while True:
        try:
            found.append(manager.recv(4096))
        except BlockingIOError:
            return found


async def fed(manager: socket.socket, times: int) -> list[bytes]:
    """Let the loop run until the watchdog was fed so often; return all that was sent."""
    found: list[bytes] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while found.count(FED) < times:
            await asyncio.sleep(WATCHDOG_SECONDS / 6)
            found += told(manager)
    return found


@pytest.mark.parametrize("make", [server, member])
def test_the_watchdog_is_fed_while_the_loop_runs_and_only_then(
    make: Callable[[Path], Runtime], manager: socket.socket, tmp_path: Path
) -> None:
    runtime = make(tmp_path)

    async def watch() -> None:
        running = asyncio.ensure_future(runtime.run())
        try:
            sent = await fed(manager, 5)
            assert [one.partition(b"\n")[0] for one in sent if one != FED] == [b"READY=1"]
            told(manager)
            time.sleep(HANGS_SECONDS)
            assert told(manager) == []
            await fed(manager, 5)
        finally:
            runtime.stop()
            await running
        assert b"STOPPING=1" in told(manager)

    uvloop.run(watch())
