"""The control socket over a real one: roles, answers by their schemas, readers that don't read."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gcks.daemon.control import listener as listening
from gcks.daemon.control import peers
from gcks.daemon.control.event_lines import (
    KEPT_OF_A_KIND,
    Recent,
    Wanted,
    event_line,
    missed_line,
)
from gcks.daemon.control.listener import ControlSocket
from gcks.daemon.control.peers import Access, Gate, PeerRole
from gcks.daemon.control.requests import (
    REQUESTS,
    EventsRequest,
    RekeyGroupRequest,
    Request,
    only_reads,
    read_request,
)
from gcks.daemon.control.server_answers import answer
from gcks.daemon.control.views import DoneView, EventsView, View
from gcks.errors import LocalError
from gcks.events import KINDS, CookieRequired, Event, GroupStarted, GroupStartedOver, OrderRefused
from generated_by.answers import VIEWS
from generated_by.event_schema import event_schema
from tests.support.event_samples import sample

EVENT = GroupStarted("keyid:demo", restored=False, members=7)


def no_mistake(events: Sequence[Event]) -> None:
    raise AssertionError(events)


async def done(request: Request, role: PeerRole, by: str) -> View:
    """Answer as the server does for orders: only operators."""
    if isinstance(request, RekeyGroupRequest) and role < PeerRole.OPERATOR:
        raise LocalError(f"{by} may read, not order")
    return DoneView(done=by)


Open = Callable[..., Awaitable[ControlSocket[Request]]]


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Open]:
    opened: list[ControlSocket[Request]] = []

    async def start(access: Access | None = None) -> ControlSocket[Request]:
        made = ControlSocket(
            tmp_path / "c.sock", Gate(access or Access()), read_request, done, no_mistake
        )
        await made.open()
        opened.append(made)
        return made

    yield start
    for one in opened:
        one.close()


async def talk(path: Path, *lines: bytes) -> list[dict[str, Any]]:
    """Send lines, one after the other; return the greeting and the answers."""
    reader, writer = await asyncio.open_unix_connection(path)
    answers = [json.loads(await reader.readline())]
    for line in lines:
        writer.write(line + b"\n")
        answers.append(json.loads(await reader.readline() or b"null"))
    writer.close()
    return answers


async def test_an_operator_asks_and_is_answered(control: Open, tmp_path: Path) -> None:
    await control()
    path = tmp_path / "c.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    hello, first, second = await talk(
        path, b'{"id": 7, "do": "rekey", "group": "keyid:a"}', b'{"do": "show", "what": "groups"}'
    )
    assert (hello["hello"], hello["role"], hello["protocol"]) == ("gcks", "operator", 1)
    assert (first["id"], first["ok"]) == (7, True)
    assert "uid 0" in first["result"]["done"] or os.geteuid() != 0
    assert (second["id"], second["ok"]) == (None, True)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"nonsense", "JSON"),
        (b"[]", "object"),
        (b'{"do": "format"}', "format"),
        (b'{"id": "x", "do": "rekey"}', "group"),
        (b'{"do": "rekey", "group": "a", "colour": 1}', "colour"),
        (b'{"do": "exclude", "group": "a", "names": []}', "names"),
        (b'{"do": "exclude", "group": "a", "names": ["gm1"]}', "fqdn:gm"),
        (b'{"do": "exclude", "group": "a", "kind": "certificate", "names": ["zz"]}', "certificate"),
        (b'{"do": "show", "what": "groups", "limit": 100000}', "limit"),
        (b"\xff\xfe", ""),
    ],
)
async def test_a_wrong_request_is_answered_and_the_next_one_works(
    control: Open, tmp_path: Path, line: bytes, word: str
) -> None:
    await control()
    _, wrong, right = await talk(tmp_path / "c.sock", line, b'{"do": "show", "what": "groups"}')
    assert not wrong["ok"] and word in wrong["error"]
    assert right["ok"]


async def test_a_line_without_end_ends_the_connection(
    control: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MAX_REQUEST_OCTETS", 4096)
    await control()
    reader, writer = await asyncio.open_unix_connection(tmp_path / "c.sock")
    await reader.readline()
    writer.write(b"x" * 100_000)
    assert await reader.read() == b""
    writer.close()


async def test_no_more_peers_than_there_is_room_for(
    control: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "MAX_PEERS", 2)
    await control()
    held = [await asyncio.open_unix_connection(tmp_path / "c.sock") for _ in range(2)]
    for reader, _ in held:
        assert b"hello" in await reader.readline()
    (refused,) = await talk(tmp_path / "c.sock")
    assert "end one of them" in refused["error"]
    held[0][1].close()
    await asyncio.sleep(0.05)
    (hello,) = await talk(tmp_path / "c.sock")
    assert hello["hello"] == "gcks"
    held[1][1].close()


# --- events -------------------------------------------------------------------------------


async def test_events_reach_who_follows_them(control: Open, tmp_path: Path) -> None:
    made = await control()
    made.tell([EVENT])  # nobody follows yet
    reader, writer = await asyncio.open_unix_connection(tmp_path / "c.sock")
    await reader.readline()
    writer.write(b'{"do": "events"}\n')
    assert json.loads(await reader.readline())["ok"]
    await asyncio.sleep(0)
    made.tell([EVENT, EVENT])
    lines = [json.loads(await reader.readline()) for _ in range(2)]
    assert [line["event"] for line in lines] == ["group_started"] * 2
    assert lines[0]["members"] == 7 and lines[0]["at"].endswith("+00:00")
    writer.close()
    await asyncio.sleep(0.05)
    assert (made.followers, made.connected) == (0, 0)


async def test_recent_events_come_before_those_that_follow(tmp_path: Path) -> None:
    """In one answer; none is lost or told twice between it and the first line that follows."""
    recent: list[Any] = []

    async def last(request: Request, role: PeerRole, by: str) -> View:
        assert isinstance(request, EventsRequest)
        return EventsView(events=recent[0].last(request.last, request.wanted))

    made = ControlSocket(tmp_path / "c.sock", Gate(Access()), read_request, last, no_mistake)
    recent.append(made.recent)
    await made.open()
    for members in range(5):
        made.tell([replace(EVENT, members=members)])
    reader, writer = await asyncio.open_unix_connection(tmp_path / "c.sock")
    await reader.readline()
    writer.write(b'{"do": "events", "last": 2}\n')
    while not made.followers:
        await asyncio.sleep(0)
    made.tell([replace(EVENT, members=5)])
    answer = json.loads(await reader.readline())
    line = json.loads(await reader.readline())
    told = [*answer["result"]["events"], line]
    assert [one["members"] for one in told] == [3, 4, 5]
    writer.close()
    (_, past) = await talk(tmp_path / "c.sock", b'{"do": "events", "last": 9, "follow": false}')
    assert len(past["result"]["events"]) == 6
    made.close()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("", [0, 1, 2, 3]),
        (', "level": "info"', [1, 2, 3]),
        (', "level": "warning"', [3]),
        (', "group": "keyid:a"', [1, 3]),
        (', "names": ["group_started", "cookie_required"]', [0, 1, 2]),
        (', "names": ["group_started"], "group": "keyid:b"', [2]),
    ],
)
async def test_only_what_is_wanted_is_told_of_the_past_and_of_what_follows(
    asked: str, told: list[int], tmp_path: Path
) -> None:
    async def last(request: Request, role: PeerRole, by: str) -> View:
        assert isinstance(request, EventsRequest)
        return EventsView(events=made.recent.last(request.last, request.wanted))

    made = ControlSocket(tmp_path / "c.sock", Gate(Access()), read_request, last, no_mistake)
    await made.open()
    happened = [
        CookieRequired("192.0.2.1:500"),
        replace(EVENT, group="keyid:a"),
        replace(EVENT, group="keyid:b"),
        sample(GroupStartedOver, group="keyid:a"),
    ]
    wanted = [happened[number].name for number in told]
    made.tell(happened)
    reader, writer = await asyncio.open_unix_connection(tmp_path / "c.sock")
    await reader.readline()
    writer.write(f'{{"do": "events", "last": 9{asked}}}\n'.encode())
    answer = json.loads(await reader.readline())
    assert [one["event"] for one in answer["result"]["events"]] == wanted
    while not made.followers:
        await asyncio.sleep(0)
    made.tell(happened)
    lines = [json.loads(await reader.readline()) for _ in wanted]
    assert [one["event"] for one in lines] == wanted
    writer.close()
    made.close()


async def test_an_event_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(LocalError, match=r"no event is called registered_refused; docs/events\.md"):
        read_request(b'{"do": "events", "names": ["registered_refused"]}')


def test_a_flood_of_one_event_does_not_wash_away_the_others() -> None:
    recent = Recent()
    recent.add([EVENT], 1.0)
    recent.add([CookieRequired("192.0.2.1:500")] * 5_000, 2.0)
    told = recent.last(1_000, Wanted())
    assert len(told) == KEPT_OF_A_KIND + 1
    assert told[0]["event"] == "group_started" and told[0]["at"].startswith("1970-01-01T00:00:01")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_event_is_as_its_schema_says(kind: type[Event]) -> None:
    validator = Draft202012Validator(event_schema())
    line = json.loads(json.dumps(event_line(sample(kind), 1.0)))
    validator.validate(line)
    assert not validator.is_valid({**line, "event": "something_else"})
    assert not validator.is_valid({**line, "surprise": 1})


def test_what_a_slow_reader_is_told_is_as_its_schema_says() -> None:
    Draft202012Validator(event_schema()).validate(missed_line(7, 1.0))


async def test_who_does_not_read_misses_events_and_holds_up_nobody(
    control: Open, tmp_path: Path
) -> None:
    made = await control()
    sock = socket.socket(socket.AF_UNIX)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.to_thread(sock.connect, str(tmp_path / "c.sock"))
    sock.sendall(b'{"do": "events"}\n')
    while not made.followers:
        await asyncio.sleep(0.01)
    for _ in range(200):
        made.tell([EVENT] * 100)
        await asyncio.sleep(0)
    assert (await talk(tmp_path / "c.sock", b'{"do": "show", "what": "groups"}'))[1]["ok"]

    def read_all() -> list[dict[str, Any]]:
        with sock.makefile("rb") as lines:
            told = [json.loads(lines.readline())]
            while told[-1].get("event") != "events_missed":
                told.append(json.loads(lines.readline()))
        return told[2:]  # behind the greeting and the answer

    *told, missed = await asyncio.to_thread(read_all)
    assert len(told) + missed["count"] == 20_000
    assert len(told) < 5 * listening.MAX_WAITING_EVENTS, "what the kernel holds, and what waits"
    sock.close()


async def test_who_takes_no_answer_is_left(
    control: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "READ_SECONDS", 0.1)
    made = await control()
    sock = socket.socket(socket.AF_UNIX)
    await asyncio.to_thread(sock.connect, str(tmp_path / "c.sock"))
    request = b'{"id": "' + b"x" * 100_000 + b'", "do": "show", "what": "groups"}\n'
    sock.setblocking(False)
    for _ in range(30):
        try:
            sock.send(request * 4)
        except (BlockingIOError, BrokenPipeError):
            break
        await asyncio.sleep(0.01)
    for _ in range(100):
        if not made.connected:
            break
        await asyncio.sleep(0.02)
    assert not made.connected
    sock.close()


# --- who may --------------------------------------------------------------------------------

ASK = """
import json, os, socket, sys
os.setgroups(json.loads(sys.argv[2])); os.setgid(65534); os.setuid(65534)
sock = socket.socket(socket.AF_UNIX); sock.connect(sys.argv[1])
lines = sock.makefile("rb")
hello = lines.readline().decode().strip()
print(hello)
if "error" in hello: print("null"); sys.exit()
sock.sendall(b'{"do": "rekey", "group": "keyid:a"}\\n')
print((lines.readline() or b"null").decode().strip())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="to be somebody else needs root")
@pytest.mark.parametrize(
    ("groups", "role", "may_order"),
    [
        ([], None, False),
        ([50], "reader", False),
        ([60], "operator", True),
        ([50, 60], "operator", True),
    ],
)
async def test_roles_come_from_the_kernels_credentials(
    control: Open, tmp_path: Path, groups: list[int], role: str | None, may_order: bool
) -> None:
    await control(Access(readers="staff", operators="games"))
    path = tmp_path / "c.sock"
    assert path.stat().st_mode & 0o777 == 0o666
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == 0 and str(directory).startswith("/tmp/"):
            directory.chmod(0o755)
    asked = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASK, str(path), json.dumps(groups), stdout=subprocess.PIPE
    )
    out, _ = await asked.communicate()
    hello, order = (json.loads(line) for line in out.splitlines())
    assert hello.get("role") == role
    if role is None:
        assert "ask as root" in hello["error"] and order is None
    else:
        assert order["ok"] is may_order


def test_a_group_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LocalError, match="groupadd"):
        Gate(Access(operators="no-such-group"))


# --- the path ------------------------------------------------------------------------------


async def test_what_a_killed_server_left_is_taken_over_and_nothing_else(
    control: Open, tmp_path: Path
) -> None:
    path = tmp_path / "c.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    made = await control()
    with pytest.raises(LocalError, match="another server"):
        await control()
    assert (await talk(path))[0]["hello"] == "gcks"
    made.close()
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(LocalError, match="Address already in use"):
        await control()
    assert path.read_text() == "precious"


async def test_a_path_that_is_too_long_says_so(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="shorter"):
        await ControlSocket(
            tmp_path / ("x" * 120), Gate(Access()), read_request, done, no_mistake
        ).open()


# --- schemas -------------------------------------------------------------------------------


def test_requests_and_answers_have_schemas() -> None:
    requests = REQUESTS.json_schema()
    Draft202012Validator.check_schema(requests)
    for name, view in VIEWS.items():
        schema = view.model_json_schema(mode="serialization")
        Draft202012Validator.check_schema(schema)
        assert "schema_version" in schema["properties"], name
    validator = Draft202012Validator(requests)
    for line in (
        b'{"do": "show", "what": "members", "match": "fqdn:*"}',
        b'{"do": "exclude", "group": "keyid:a", "names": ["fqdn:gm1.dev"], "immediate": true}',
        b'{"id": 3, "do": "events"}',
    ):
        read_request(line)
        validator.validate(json.loads(line))
    assert not validator.is_valid({"do": "show", "what": "weather"})
    assert isinstance(read_request(b'{"do": "events"}'), EventsRequest)
    assert answer is not None and set(VIEWS) > {"plan", "groups"}


# --- what the server's readers may ----------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [b'{"do": "plan", "config": "/etc/shadow"}', b'{"do": "reload"}',
     b'{"do": "rekey", "group": "keyid:a"}'],
)  # fmt: skip
async def test_a_reader_asks_for_no_file_and_orders_nothing(line: bytes) -> None:
    """The file would be read with the server's rights: errors quote it and its environment."""
    noted: list[Event] = []
    server: Any = SimpleNamespace(note=noted.append)  # it must not be asked for anything else
    request = read_request(line)
    with pytest.raises(LocalError, match="an operator is"):
        await answer(server, request, PeerRole.READER, "uid 7")
    assert noted == [OrderRefused(request.do, "uid 7")]
    assert only_reads(read_request(b'{"do": "plan"}'))
