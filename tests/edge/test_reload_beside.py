"""Configurations are read beside the event loop: one at a time, in order, and nobody waits."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gcks.daemon.config.loaded import ServerConfig
from gcks.daemon.config.server_file import load_server
from gcks.daemon.server_runtime import ServerRuntime
from gcks.errors import LocalError
from tests.support.site import Site

PLAN, RELOAD = b'{"do": "plan"}\n', b'{"do": "reload"}\n'
SHOW = b'{"do": "show", "what": "server"}\n'


@dataclass
class Loader:
    """Reads the file only when it is let; counts how often it is asked, and for what at once."""

    path: Path
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    began: int = 0
    at_once: int = 0
    most_at_once: int = 0
    change: Callable[[ServerConfig], ServerConfig] = lambda config: config

    def __call__(self, path: Path | None) -> ServerConfig:
        self.began += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            assert self.go.acquire(timeout=30)
            return self.change(load_server(path or self.path))
        finally:
            self.at_once -= 1


@dataclass
class Running:
    runtime: ServerRuntime
    loader: Loader
    control: Path
    manager: socket.socket

    async def ask(self, line: bytes) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(self.control)
        writer.write(line)
        await reader.readline()
        answer: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        return answer

    async def begins(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.loader.began < count:
                await asyncio.sleep(0.01)

    def said(self) -> list[str]:
        """Return what the service manager was told meanwhile."""
        told = []
        while True:
            try:
                told.append(self.manager.recv(4096).decode().partition("=")[0])
            except BlockingIOError:
                return [one for one in told if one != "WATCHDOG"]


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(0.0)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    site = Site(tmp_path)
    loader = Loader(site.config)
    runtime = ServerRuntime(load_server(site.config), reload=loader)
    ready = asyncio.Event()
    task = asyncio.create_task(runtime.run(lambda _: ready.set()))
    await asyncio.wait_for(ready.wait(), 20)
    found = Running(runtime, loader, tmp_path / "control.sock", manager)
    await asyncio.sleep(0)
    found.said()
    yield found
    for _ in range(20):
        loader.go.release()
    runtime.stop()
    await task
    manager.close()


@pytest.mark.parametrize("order", [PLAN, RELOAD])
async def test_others_are_answered_while_files_are_read(running: Running, order: bytes) -> None:
    asked = asyncio.create_task(running.ask(order))
    await running.begins(1)
    for _ in range(3):
        assert (await asyncio.wait_for(running.ask(SHOW), 10))["ok"]
    assert not asked.done()
    running.loader.go.release()
    assert (await asked)["ok"]


async def test_no_collection_stops_the_loop_while_files_are_read(running: Running) -> None:
    """One stops every thread, for a fifth of a second with 10,000 secrets."""
    asked = asyncio.create_task(running.ask(PLAN))
    await running.begins(1)
    assert not gc.isenabled()
    running.loader.go.release()
    assert (await asked)["ok"] and gc.isenabled()


async def test_reloads_are_one_at_a_time_and_told_to_the_manager(running: Running) -> None:
    asked = [asyncio.create_task(running.ask(RELOAD)) for _ in range(3)]
    await running.begins(1)
    os.kill(os.getpid(), signal.SIGHUP)
    await running.ask(SHOW)
    assert running.loader.began == 1
    for count in range(1, 5):
        await running.begins(count)
        running.loader.go.release()
    assert [(await one)["ok"] for one in asked] == [True] * 3
    while running.runtime._reloads._one_reload.locked():
        await asyncio.sleep(0.01)
    assert running.loader.most_at_once == 1
    assert running.said() == ["RELOADING", "READY"] * 4


async def test_signals_that_come_meanwhile_are_one_more_reload(running: Running) -> None:
    """The last one counts: what changed before it is read after it."""
    for _ in range(2):
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0)
        await running.begins(1)
    running.loader.go.release()
    await running.begins(2)
    running.loader.go.release()
    reloading = running.runtime._reloads._task
    assert reloading is not None
    await reloading
    assert running.loader.began == 2


async def test_what_is_wrong_changes_nothing_and_the_manager_knows(running: Running) -> None:
    def refuse(config: ServerConfig) -> ServerConfig:
        raise LocalError("not this")

    def break_down(config: ServerConfig) -> ServerConfig:
        raise RuntimeError("a mistake of ours")

    before = running.runtime.config
    for change, cause in ((refuse, "not this"), (break_down, "internal error")):
        running.loader.change = change
        running.loader.go.release()
        with capture_logs() as logs:
            answer = await running.ask(RELOAD)
        assert not answer["ok"] and cause in answer["error"]
        assert "reload_refused" in [line["event"] for line in logs]
        assert running.said() == ["RELOADING", "READY"]
    running.loader.go.release()
    os.kill(os.getpid(), signal.SIGHUP)
    await running.begins(3)
    while running.runtime._reloads._one_reload.locked():
        await asyncio.sleep(0.01)
    assert running.runtime.config is before
    running.loader.change = lambda config: replace(config, audit=None)
    running.loader.go.release()
    assert (await running.ask(RELOAD))["ok"]
    assert running.runtime.config.audit is None


async def test_a_server_that_is_stopped_meanwhile_takes_nothing_over(running: Running) -> None:
    asked = asyncio.create_task(running.ask(RELOAD))
    await running.begins(1)
    before = running.runtime.config
    running.runtime.stop()
    await asyncio.wait((asked,), timeout=20)
    running.loader.go.release()
    await asyncio.sleep(0.1)
    assert running.runtime.config is before
    assert asked.exception() is not None
