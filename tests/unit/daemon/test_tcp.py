"""IKE over TCP on real sockets (RFC 9329): prefix, framing, limits."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import uvloop

from gcks.daemon import tcp
from gcks.daemon.tcp import (
    FRAMES_PER_TURN,
    KEEPALIVE,
    MARKER,
    MAX_STREAMS_PER_HOST,
    PREFIX,
    Connection,
    Stream,
    Streams,
    Turns,
    bind_tcp,
)
from gcks.datagrams import Endpoint, Path
from gcks.errors import DropReason, LocalError
from gcks.events import DatagramDropped

SECONDS = 5.0


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """The daemon runs on uvloop."""
    policy: asyncio.AbstractEventLoopPolicy = request.param()
    return policy


MESSAGE = bytes(range(28, 60))
ANSWER = b"answer".ljust(28)


def frame(message: bytes, marker: bytes = MARKER) -> bytes:
    body = marker + message
    return (len(body) + 2).to_bytes(2, "big") + body


class Server:
    """Our listening side, and what it took."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, Path]] = []
        self.dropped: list[DatagramDropped] = []
        self.turn, self.taken_in_turn = 0, Counter[int]()
        self.pause_after = self.cut_after = 0
        self.streams = Streams(self._take, self.dropped.append)
        self.address = Endpoint("127.0.0.1", 0)

    def _take(self, octets: bytes, path: Path) -> None:
        self.taken.append((octets, path))
        self.taken_in_turn[self.turn] += 1
        if len(self.taken) == self.pause_after:
            self.streams.pause()
        if len(self.taken) == self.cut_after:
            self.streams.close()

    def count_turns(self) -> None:
        """Tell the turns of the event loop apart."""
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.count_turns)

    async def start(self) -> Server:
        sock = bind_tcp(self.address)
        self.address = Endpoint(*sock.getsockname())
        await self.streams.listen(sock)
        return self

    async def peer(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(SECONDS):
            while len(self.taken) < count:
                await asyncio.sleep(0)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = await Server().start()
    yield server
    server.streams.close()


async def closed(reader: asyncio.StreamReader) -> bytes:
    """Wait for the end of a connection; return what came before."""
    async with asyncio.timeout(SECONDS):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def test_messages_come_whole_however_the_stream_is_cut(server: Server) -> None:
    """RFC 9329 section 3: the length counts itself; section 4: the prefix comes first."""
    _, writer = await server.peer()
    for octet in PREFIX + frame(MESSAGE) + frame(MESSAGE[::-1]):
        writer.write(bytes((octet,)))
        await writer.drain()
        await asyncio.sleep(0)
    await server.until(2)
    assert [octets for octets, _ in server.taken] == [MESSAGE, MESSAGE[::-1]]
    (path,) = {path for _, path in server.taken}
    assert path.stream > 0 and path.local == server.address
    writer.close()


async def test_many_messages_in_one_segment_and_an_answer_on_the_same_stream(
    server: Server,
) -> None:
    reader, writer = await server.peer()
    writer.write(PREFIX + frame(MESSAGE) * 50)
    await server.until(50)
    assert server.streams.send(ANSWER, server.taken[0][1])
    assert await reader.readexactly(34) == frame(ANSWER)
    writer.close()


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\n", b"IKETCQ", b"\0" * 6, b"X"])
async def test_a_stream_that_begins_otherwise_is_cut(server: Server, begin: bytes) -> None:
    reader, writer = await server.peer()
    writer.write(begin + frame(MESSAGE))
    assert await closed(reader) == b""
    assert server.taken == []
    assert [event.reason for event in server.dropped] == [DropReason.MALFORMED]
    writer.close()


@pytest.mark.parametrize("length", [0, 1, 2])
async def test_a_frame_without_content_cuts_the_stream(server: Server, length: int) -> None:
    reader, writer = await server.peer()
    writer.write(PREFIX + length.to_bytes(2, "big"))
    assert await closed(reader) == b""
    assert len(server.dropped) == 1
    writer.close()


@pytest.mark.parametrize(
    "body",
    [b"\0\0\0\1" + MESSAGE, b"A", b"\xff\xff", b"\0\0\0", MARKER, MARKER + MESSAGE[:27]],
    ids=["ESP", "octet", "keepalives", "half a marker", "marker", "half a header"],
)
async def test_what_is_no_ike_message_cuts_the_stream(server: Server, body: bytes) -> None:
    """RFC 9329 section 6.1; a frame costs work, so a stranger gets one of them."""
    reader, writer = await server.peer()
    writer.write(PREFIX + frame(body, b"") * 1000 + frame(MESSAGE))
    assert await closed(reader) == b""
    assert server.taken == []
    assert [event.reason for event in server.dropped] == [DropReason.MALFORMED]
    writer.close()


async def test_what_follows_on_a_connection_that_we_have_cut_counts_no_more(
    server: Server,
) -> None:
    server.cut_after = 3
    reader, writer = await server.peer()
    writer.write(PREFIX + frame(MESSAGE) * 50)
    assert await closed(reader) == b""
    assert len(server.taken) == 3
    writer.close()


async def test_a_nat_keepalive_is_no_error(server: Server) -> None:
    """RFC 9329 section 6.6."""
    _, writer = await server.peer()
    writer.write(PREFIX + frame(KEEPALIVE, b"") + frame(MESSAGE))
    await server.until(1)
    assert server.dropped == []
    writer.close()


async def test_all_peers_together_have_so_many_messages_in_a_turn_of_the_loop(
    server: Server,
) -> None:
    """The timers and UDP go on between, and one message comes before another's thousands."""
    server.count_turns()
    writers = [(await server.peer())[1] for _ in range(3)]
    for writer in writers[1:]:
        writer.write(PREFIX + frame(MESSAGE) * 2000)
    await server.until(1)
    writers[0].write(PREFIX + frame(MESSAGE[::-1]))
    await server.until(4001)
    assert max(server.taken_in_turn.values()) <= FRAMES_PER_TURN
    assert MESSAGE[::-1] in [octets for octets, _ in server.taken[:2000]]
    for writer in writers:
        writer.close()


async def test_what_has_come_waits_too_while_the_server_is_paused(server: Server) -> None:
    server.pause_after = 10
    _, writer = await server.peer()
    messages = [number.to_bytes(28, "big") for number in range(200)]
    writer.write(PREFIX + b"".join(map(frame, messages)))
    await server.until(10)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(server.taken) == 10
    server.streams.resume()
    await server.until(200)
    assert [octets for octets, _ in server.taken] == messages
    writer.close()


async def test_a_peer_that_does_not_read_is_cut(server: Server) -> None:
    _, writer = await server.peer()
    writer.write(PREFIX + frame(MESSAGE))
    await server.until(1)
    path = server.taken[0][1]
    sent = 0
    while server.streams.send(bytes(60_000), path):
        sent += 1
        assert sent < 1000
    await asyncio.sleep(0)
    async with asyncio.timeout(SECONDS):
        while len(server.streams):
            await asyncio.sleep(0)
    assert "doesn't read" in server.dropped[-1].detail
    writer.close()


async def test_who_says_nothing_is_cut(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "PREFIX_SECONDS", 0.01)
    reader, writer = await server.peer()
    assert await closed(reader) == b""
    writer.close()


async def test_one_host_has_a_bounded_number_of_connections(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "MAX_STREAMS_PER_HOST", 3)
    peers = [await server.peer() for _ in range(3)]
    for _, writer in peers:
        writer.write(PREFIX + frame(MESSAGE))
    await server.until(3)
    reader, writer = await server.peer()
    assert await closed(reader) == b""
    assert (len(server.streams), server.streams.refused) == (3, 1)
    for _, one in (*peers, (reader, writer)):
        one.close()


async def test_who_is_gone_before_we_look_is_no_fault_of_ours(server: Server) -> None:
    """Its connection has no peer any more; a traceback for each would fill a disk."""
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with socket.create_connection(server.address) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    _, writer = await server.peer()
    writer.write(PREFIX + frame(MESSAGE))
    await server.until(1)
    writer.close()
    async with asyncio.timeout(SECONDS):
        while len(server.streams) or len(os.listdir("/proc/self/fd")) > before:
            await asyncio.sleep(0)
    assert faults == []


def stranger(number: int, host: str) -> Stream:
    """A connection of that host, so far as limits go."""
    stream = Stream(number, Turns(), print, print, print, originator=False)
    stream.remote = Endpoint(host, 4500)
    return stream


def test_an_ipv6_host_is_its_network() -> None:
    streams = Streams(print, print)
    many = [stranger(n, f"2001:db8::{n:x}") for n in range(MAX_STREAMS_PER_HOST + 1)]
    assert [streams.admit(one) for one in many] == [True] * MAX_STREAMS_PER_HOST + [False]
    assert streams.admit(stranger(1000, "2001:db8:0:1::1"))
    streams.forget(many[0])
    assert streams.admit(many[-1])


async def test_connections_leave_descriptors_to_everything_else(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + tcp.DESCRIPTORS_KEPT + 20, hard))
    try:
        peers = [await server.peer() for _ in range(20)]  # with two descriptors each, here
        for _, writer in peers:
            writer.write(PREFIX)
        async with asyncio.timeout(SECONDS):
            while len(server.streams) + server.streams.refused < len(peers):
                await asyncio.sleep(0)
        assert 5 <= len(server.streams) <= 10
        kept = [os.dup(0) for _ in range(tcp.DESCRIPTORS_KEPT - len(peers))]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for descriptor in kept:
        os.close(descriptor)
    for _, writer in peers:
        writer.close()


async def test_a_paused_server_leaves_messages_in_the_kernel(server: Server) -> None:
    _, writer = await server.peer()
    writer.write(PREFIX + frame(MESSAGE))
    await server.until(1)
    server.streams.pause()
    writer.write(frame(MESSAGE))
    await writer.drain()
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(server.taken) == 1
    server.streams.resume()
    await server.until(2)
    writer.close()


async def test_a_connection_is_made_when_there_is_something_to_send(server: Server) -> None:
    taken: list[bytes] = []
    drops: list[DatagramDropped] = []
    connection = Connection(
        "127.0.0.1", server.address, lambda octets, path: taken.append(octets), drops.append
    )
    path = Path(Endpoint("127.0.0.1", 500), server.address, stream=1)
    connection.send(MESSAGE, path)
    connection.send(MESSAGE[::-1], path)
    await server.until(2)
    server.streams.send(ANSWER, server.taken[0][1])
    async with asyncio.timeout(SECONDS):
        while not taken:
            await asyncio.sleep(0)
    assert taken == [ANSWER]
    connection.send(b"no message", path)  # the server cuts the connection
    async with asyncio.timeout(SECONDS):
        while len(server.taken) < 3:
            await asyncio.sleep(0.01)
            connection.send(MESSAGE, path)
    connection.close()


async def test_nobody_listens_is_counted_and_no_error() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        remote = Endpoint(*sock.getsockname())
        connection = Connection("127.0.0.1", remote, lambda *_: None, lambda _: None)
        connection.send(MESSAGE, Path(remote, remote, stream=1))
        async with asyncio.timeout(SECONDS):
            while not connection.failures:
                await asyncio.sleep(0)
    connection.close()


def test_an_occupied_port_is_named() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        with pytest.raises(LocalError, match="can't listen on TCP 127.0.0.1"):
            bind_tcp(Endpoint(*sock.getsockname()))
