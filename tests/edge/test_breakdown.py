"""A fault of ours in the middle of a decision: the daemon ends, and goes on from what is durable.

What it had in memory by then is neither written nor sent.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gcks.crypto.signature import SigningKey
from gcks.daemon.config.member_file import load_member
from gcks.daemon.config.server_file import load_server
from gcks.daemon.member_runtime import MemberRuntime
from gcks.daemon.server_runtime import ServerRuntime
from gcks.errors import LocalError
from gcks.keyserver.commands import RekeyGroup
from gcks.keyserver.engine import Engine
from gcks.member.group_member import GroupMember
from gcks.store.sqlite import SqliteStore
from tests.support.free_ports import free_port
from tests.support.memory_store import StoredGroup, replay
from tests.support.repository import ROOT
from tests.support.site import GROUP, JOIN, Site

PATIENCE_SECONDS = 30.0
HOOK = """#!/bin/sh
sed -E 's/.*"command": "([a-z_]+)".*/\\1/' >> {log}
echo >> {log}
"""


def break_down(*_: object, **__: object) -> Any:
    raise RuntimeError("a mistake of ours")


@contextmanager
def fault(owner: type, name: str) -> Iterator[None]:
    """Let something of ours raise what nobody expects."""
    whole = getattr(owner, name)
    setattr(owner, name, break_down)
    try:
        yield
    finally:
        setattr(owner, name, whole)


def stored(site: Site) -> tuple[StoredGroup, ...]:
    store = SqliteStore(
        site.directory / "gcks.sqlite", (site.directory / "master.key").read_bytes()
    )
    groups = replay(store.load())
    store.close()
    return groups


def member_file(site: Site, plane: str = "kind: none") -> Path:
    file = site.directory / "gm1.yaml"
    text = JOIN.format(name="gm1", local="", **vars(site))
    file.write_text(text.replace("kind: none", plane))
    return file


async def ask(path: Path, line: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    await reader.readline()
    answer: dict[str, Any] = json.loads(await reader.readline() or "{}")
    writer.close()
    return answer


async def until_ready(runtime: ServerRuntime) -> asyncio.Future[None]:
    ready = asyncio.Event()
    running = asyncio.ensure_future(runtime.run(lambda _: ready.set()))
    await asyncio.wait_for(ready.wait(), PATIENCE_SECONDS)
    return running


ORDER = f'{{"do": "rekey", "group": "{GROUP}"}}\n'.encode()


def spis_of(runtime: ServerRuntime) -> list[bytes]:
    return sorted(sa.spi for group in runtime.engine.groups.values() for sa in group.sas.data)


def test_a_group_that_breaks_down_over_an_order_is_read_again(tmp_path: Path) -> None:
    """The next registration would be given SAs that the store doesn't know."""
    site = Site(tmp_path)

    async def main() -> list[bytes]:
        runtime = ServerRuntime(load_server(site.config))
        running = await until_ready(runtime)
        spis = spis_of(runtime)
        with fault(SigningKey, "sign"):
            answer = await ask(site.directory / "control.sock", ORDER)
        assert "mistake" not in str(answer) and not answer.get("ok")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not runtime.engine.groups:
                await asyncio.sleep(0.05)
        assert spis_of(runtime) == spis
        assert (await ask(site.directory / "control.sock", ORDER)).get("ok")
        renewed = spis_of(runtime)
        assert renewed != spis
        runtime.stop()
        await asyncio.wait_for(running, PATIENCE_SECONDS)
        return renewed

    renewed = uvloop.run(main())
    (group,) = stored(site)
    assert set(renewed) <= {sa.spi for sa in group.sas}


def test_a_server_that_breaks_down_ends(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def main() -> None:
        runtime = ServerRuntime(load_server(site.config))
        running = await until_ready(runtime)
        with fault(Engine, "command"):
            answer = await ask(site.directory / "control.sock", ORDER)
        with pytest.raises(LocalError, match="internal error: RuntimeError in "):
            await asyncio.wait_for(running, PATIENCE_SECONDS)
        assert "mistake" not in str(answer) and not answer.get("ok")
        with pytest.raises(LocalError, match="internal error: RuntimeError in "):
            runtime.command(RekeyGroup(GROUP))

    uvloop.run(main())


def test_a_member_that_breaks_down_removes_its_sas_and_says_why(tmp_path: Path) -> None:
    """Its engine isn't asked how to leave: it would only break down again."""
    site, log = Site(tmp_path), tmp_path / "hook.log"
    hook = tmp_path / "hook"
    hook.write_text(HOOK.format(log=log))
    hook.chmod(0o755)

    async def main() -> None:
        gcks = ServerRuntime(load_server(site.config))
        serving = await until_ready(gcks)
        member = MemberRuntime(load_member(member_file(site, f"kind: exec, command: [{hook}]")))
        running = asyncio.ensure_future(member.run())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not log.exists() or "install_sa" not in log.read_text():
                await asyncio.sleep(0.05)
            with (
                fault(GroupMember, "handle_timeout"),
                fault(GroupMember, "leave"),
                pytest.raises(LocalError, match="internal error: RuntimeError in "),
            ):
                await running
        gcks.stop()
        await serving

    uvloop.run(main())
    commands = log.read_text().split()
    assert commands.count("install_sa") == commands.count("remove_sa") > 0


EARLY = """
import asyncio, os, signal, sys
from pathlib import Path
from gcks.daemon.config.member_file import load_member
from gcks.daemon.config.server_file import load_server
from gcks.daemon.member_runtime import MemberRuntime
from gcks.daemon.process import run_to_end
from gcks.daemon.server_runtime import ServerRuntime

async def main(kind, file):
    path = Path(file)
    make = {"server": lambda: ServerRuntime(load_server(path)),
            "member": lambda: MemberRuntime(load_member(path))}
    running = asyncio.ensure_future(make[kind]().run())
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    await running

sys.exit(run_to_end(lambda: main(*sys.argv[1:])))
"""


@pytest.mark.parametrize("kind", ["server", "member"])
def test_a_signal_counts_from_the_very_start(kind: str, tmp_path: Path) -> None:
    """Or whoever stops a daemon that has just begun kills it, and its control socket stays."""
    site = Site(tmp_path)
    # Opened before all is there, and the loop runs meanwhile.
    metrics = f"metrics: {{listen: '127.0.0.1:{free_port(socket.SOCK_STREAM)}'}}\n"
    file = site.config if kind == "server" else member_file(site)
    file.write_text(file.read_text() + metrics)
    done = subprocess.run(
        [sys.executable, "-c", EARLY, kind, str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "stopped by SIGTERM" in done.stderr
