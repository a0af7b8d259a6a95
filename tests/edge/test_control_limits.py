"""The control socket under local peers who mean it badly, and under our own mistakes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gcks.cli.client import Client
from gcks.daemon.control import listener as listening
from gcks.daemon.control.listener import ControlSocket
from gcks.daemon.control.peers import (
    KEPT_FOR_OPERATORS,
    MAX_OF_A_USER,
    MAX_PEERS,
    Access,
    Gate,
    Peer,
    PeerRole,
    Seats,
)
from gcks.daemon.control.requests import Request, read_request
from gcks.daemon.control.views import DoneView, View
from gcks.errors import LocalError
from gcks.events import Event, InternalErrorSeen

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="to be somebody else needs root")
GAMES, STAFF, NOBODY = 60, 50, 65534
ASK = b'{"do": "show", "what": "groups"}\n'


async def done(request: Request, role: PeerRole, by: str) -> View:
    if request.id == "bug":
        raise RuntimeError("a mistake of ours")
    return DoneView(done=by)


Open = Callable[..., Awaitable[Path]]


@pytest.fixture
def told() -> list[Event]:
    """What a control socket says of itself."""
    return []


@pytest.fixture
async def control(tmp_path: Path, told: list[Event]) -> AsyncIterator[Open]:
    opened: list[ControlSocket[Request]] = []
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.geteuid() and str(directory).startswith("/tmp/"):
            directory.chmod(0o755)

    async def start(access: Access | None = None) -> Path:
        path = tmp_path / "c.sock"
        made = ControlSocket(path, Gate(access or Access()), read_request, done, told.extend)
        await made.open()
        opened.append(made)
        return path

    yield start
    for one in opened:
        one.close()


async def ask(path: Path, *lines: bytes) -> list[dict[str, Any]]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"".join(lines))
    answers = [json.loads(await reader.readline()) for _ in range(1 + len(lines))]
    writer.close()
    return answers


# --- who keeps whom out -------------------------------------------------------------------


def seated(seats: Seats, role: PeerRole, uid: int, most: int = 100) -> int:
    """Take seats until there is none; return how many."""
    for count in range(most):
        try:
            seats.take(Peer(role, uid))
        except LocalError:
            return count
    return most


def test_one_reader_has_few_seats_and_all_readers_leave_some_to_operators() -> None:
    seats = Seats()
    taken = [seated(seats, PeerRole.READER, uid) for uid in range(1001, 1007)]
    assert taken[0] == MAX_OF_A_USER and sum(taken) == MAX_PEERS - KEPT_FOR_OPERATORS
    assert seated(seats, PeerRole.OPERATOR, 2001) == KEPT_FOR_OPERATORS
    seats.leave(Peer(PeerRole.READER, 1001))
    assert seated(seats, PeerRole.READER, 1001) == 1
    assert seated(Seats(), PeerRole.OPERATOR, 0) == MAX_PEERS, "root is bound by the total only"


HOLD = """
import json, os, socket, sys
os.setgroups([60]); os.setgid(65534); os.setuid(65534)
held = []
for _ in range(40):
    sock = socket.socket(socket.AF_UNIX); sock.connect(sys.argv[1])
    held.append((sock, "error" in json.loads(sock.makefile("rb").readline())))
print(sum(refused for _, refused in held), flush=True)
sys.stdin.read()
"""


@needs_root
async def test_idle_connections_of_a_reader_do_not_lock_root_out(control: Open) -> None:
    path = await control(Access(readers="games", operators="staff"))
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert int(await holder.stdout.readline()) == 40 - MAX_OF_A_USER
    hello, answer = await ask(path, ASK)
    assert hello["role"] == "operator" and answer["ok"]
    await holder.communicate(b"")


KNOCK = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print("on it", flush=True)
while True:
    sock = socket.socket(socket.AF_UNIX); sock.setblocking(False)
    try: sock.connect(sys.argv[1])
    except OSError: pass
    sock.close()
"""


@needs_root
async def test_who_knocks_without_end_does_not_lock_root_out(control: Open) -> None:
    path = await control(Access(readers="games", operators="staff"))
    knocker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KNOCK, str(path), stdout=subprocess.PIPE
    )
    assert knocker.stdout is not None
    await knocker.stdout.readline()

    def show() -> str:
        with Client(path) as client:
            return str(client.ask("show", what="groups")["done"])

    for _ in range(10):
        assert "uid 0" in await asyncio.wait_for(asyncio.to_thread(show), 20)
    knocker.kill()
    await knocker.wait()


async def test_a_command_waits_for_its_turn(tmp_path: Path) -> None:
    """A full backlog is no "there is no server"."""
    with socket.socket(socket.AF_UNIX) as server, contextlib.ExitStack() as first:
        server.bind(str(tmp_path / "c.sock"))
        server.listen(0)
        before = first.enter_context(socket.socket(socket.AF_UNIX))
        before.connect(str(tmp_path / "c.sock"))
        client = asyncio.create_task(asyncio.to_thread(Client, tmp_path / "c.sock"))
        await asyncio.wait((client,), timeout=0.3)
        assert not client.done(), client
        server.accept()[0].close()
        conn, _ = server.accept()
        conn.sendall(b'{"hello": "gcks", "role": "operator"}\n')
        assert (await client).role == "operator"
        conn.close()


@needs_root
@pytest.mark.parametrize(
    ("access", "mode", "group"),
    [
        (Access(), 0o600, 0),
        (Access(readers="games"), 0o660, GAMES),
        (Access(operators="staff"), 0o660, STAFF),
        (Access("games", "games"), 0o660, GAMES),
        (Access("games", "staff"), 0o666, 0),
    ],
)
async def test_the_kernel_keeps_strangers_out_where_it_can(
    control: Open, access: Access, mode: int, group: int
) -> None:
    status = (await control(access)).stat()
    assert (status.st_mode & 0o777, status.st_gid) == (mode, group)


async def test_who_may_not_give_the_socket_away_lets_all_knock(
    control: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    assert (await control(Access(readers="games"))).stat().st_mode & 0o777 == 0o666


async def test_who_asks_nothing_leaves_and_who_follows_stays(
    control: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "IDLE_SECONDS", 0.2)
    path = await control()
    follower, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"do": "events"}\n')
    idle, other = await asyncio.open_unix_connection(path)
    other.write(b'{"do": "show"')  # half a line is none
    assert b"hello" in await idle.readline()
    assert await asyncio.wait_for(idle.read(), 5) == b""
    await follower.readline()
    await follower.readline()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(follower.read(1), 0.5)
    writer.close()
    other.close()


async def test_names_are_not_waited_for_where_nobody_needs_them(
    control: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that doesn't answer holds up nobody on the event loop."""
    loop = asyncio.get_running_loop()

    def look_up(uid: int) -> SimpleNamespace:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()  # another thread has none
        loop.call_soon_threadsafe(looked.set)
        return SimpleNamespace(pw_name="somebody")

    looked = asyncio.Event()
    monkeypatch.setattr(pwd, "getpwuid", look_up)
    path = await control()
    await ask(path)
    assert not looked.is_set()
    _, first = await ask(path, ASK)
    assert first["result"]["done"] == f"somebody (uid {os.geteuid()})"
    assert await Peer(PeerRole.READER, 7).name() == "uid 7"


# --- every line gets an answer ------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"[" * (1 << 19),
        b'{"id":' + b"[" * 100_000,
        b'{"id": 7, "do":' + b'{"a":' * 50_000,
        b'{"id":' + b"9" * 100_000 + b', "do": "show", "what": "groups"}',
        b'{"id":' + b"9" * 4_000 + b', "do": "show", "what": "nothing"}',
        b'{"id": NaN, "do": "nope"}',
        b'{"id": "\\ud800", "do": "show", "what": "server"}',
        b'{"id": 1e999, "do": "show"}',
        b"\0",
        b"",
    ],
    ids=lambda line: repr(line[:20]),
)
async def test_every_line_gets_an_answer(control: Open, told: list[Event], line: bytes) -> None:
    path = await control()
    _, wrong, right = await ask(path, line + b"\n", ASK)
    assert not wrong["ok"] and right["ok"]
    assert not told, "a peer's mistake is none of ours"


async def test_a_mistake_of_ours_is_answered_and_told_once(
    control: Open, told: list[Event]
) -> None:
    path = await control()
    bug = b'{"id": "bug", "do": "show", "what": "groups"}\n'
    answers = (await ask(path, bug, bug, bug, ASK))[1:]
    assert [one["ok"] for one in answers] == [False, False, False, True]
    assert {one["id"] for one in answers[:3]} == {"bug"}
    assert "internal error" in answers[0]["error"] and "mistake" not in answers[0]["error"]
    (event,) = told
    assert isinstance(event, InternalErrorSeen)
    assert event.cause.startswith("RuntimeError('a mistake of ours') in done:")
