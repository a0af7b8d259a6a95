"""The metrics page over HTTP: what Prometheus asks for, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from gcks.daemon.http import serve_metrics
from gcks.datagrams import Endpoint
from gcks.errors import LocalError
from tests.support.metrics_states import Server


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


async def start() -> tuple[asyncio.Server, int]:
    listening = await serve_metrics(Endpoint("127.0.0.1", 0), Server().metrics.registry)
    return listening, listening.sockets[0].getsockname()[1]


async def test_prometheus_gets_its_page() -> None:
    listening, port = await start()
    answer = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b'gcks_members{group="keyid:demo"} 5.0' in body
    headers, _, nothing = (await ask(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")).partition(
        b"\r\n\r\n"
    )
    assert headers.startswith(b"HTTP/1.0 200 OK") and b"Content-Length: " in headers
    assert nothing == b""
    listening.close()


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.1\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n", b"\r\n\r\n"]
)
async def test_other_requests_find_nothing(request_: bytes) -> None:
    listening, port = await start()
    assert (await ask(port, request_)).startswith(b"HTTP/1.0 404")
    listening.close()


async def test_a_request_without_end_is_cut_off() -> None:
    listening, port = await start()
    with contextlib.suppress(ConnectionError):
        assert await ask(port, b"GET /" + b"a" * 100_000) == b""
    assert (await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.0 200")
    listening.close()


async def test_idle_readers_make_room_for_prometheus() -> None:
    """They hold a bounded number of descriptors, and the oldest goes first."""
    listening, port = await start()
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
    assert (await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.0 200")
    for reader, _ in idle[:15]:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(1):
                assert await reader.read() == b""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await idle[-1][0].read()
    for _, writer in idle:
        writer.close()
    listening.close()


async def test_an_occupied_port_is_one_clear_error(port: int) -> None:
    """The fixture holds the port."""
    with pytest.raises(LocalError, match=f"can't serve metrics on TCP 127.0.0.1:{port}: .* in use"):
        await serve_metrics(Endpoint("127.0.0.1", port), Server().metrics.registry)
