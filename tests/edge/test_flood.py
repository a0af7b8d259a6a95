"""A flood of IKE_SA_INIT from made-up peers, and honest members among it (RFC 7296 section 2.6)."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gcks.daemon.dev_files import prepare
from gcks.datagrams import Endpoint
from gcks.errors import WireError
from gcks.iana import ExchangeType, NotifyType
from gcks.wire.notify import Notify
from tests.support.free_ports import free_port
from tests.support.initiator import DEMO, Initiator
from tests.support.plain import decode_plain
from tests.support.registrations import loopback_config
from tests.support.server_process import ServerProcess, start_server

FLOOD, FLOOD_SECONDS, SOURCES = 50_000, 10.0, 40
HONEST, HONEST_SECONDS = 100, 30.0
GROWTH_OCTETS = 64 << 20
PATIENCE_SECONDS = 2.0


@dataclass
class Flood:
    """A child process that sends from many loopback addresses and counts what comes back."""

    port: int

    def __post_init__(self) -> None:
        self._result, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.write(write_end, json.dumps(self._send()).encode())
            os._exit(0)
        os.close(write_end)

    def _send(self) -> tuple[int, int, int]:
        sockets = []
        for number in range(SOURCES):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((f"127.{number + 1}.{number}.9", 0))
            sock.connect(("127.0.0.1", self.port))
            sock.setblocking(False)
            sockets.append(sock)
        template = Initiator("nobody").init()
        begin, sent, octets_out, octets_in = time.monotonic(), 0, 0, 0
        while sent < FLOOD:
            due = min(FLOOD, int((time.monotonic() - begin) / FLOOD_SECONDS * FLOOD))
            for _ in range(due - sent):
                octets_out += sockets[sent % SOURCES].send(os.urandom(8) + template[8:])
                sent += 1
            octets_in += _drain(sockets)
            time.sleep(0.001)
        time.sleep(0.5)
        return sent, octets_out, octets_in + _drain(sockets)

    def result(self) -> tuple[int, int, int]:
        os.waitpid(self.pid, 0)
        with os.fdopen(self._result) as pipe:
            sent, octets_out, octets_in = json.loads(pipe.read())
        return sent, octets_out, octets_in


def _drain(sockets: list[socket.socket]) -> int:
    octets = 0
    for sock in select.select(sockets, [], [], 0)[0]:
        try:
            while True:
                octets += len(sock.recv(65535))
        except BlockingIOError:
            continue
    return octets


def register(peer: Initiator, port: int) -> bool:
    """Register as an honest member does: cookies given back, requests sent again."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(PATIENCE_SECONDS)
        local = Endpoint(*sock.getsockname())
        peer.path = peer.path._replace(remote=local, local=Endpoint("127.0.0.1", port))
        answer = _ask(sock, peer.init())
        cookie = _cookie(answer)
        if cookie:
            answer = _ask(sock, peer.init(cookie=cookie))
        peer.accept(answer)
        return _ask(sock, peer.auth(DEMO))[18] == ExchangeType.GSA_AUTH


def _ask(sock: socket.socket, request: bytes) -> bytes:
    for _ in range(10):
        sock.send(request)
        try:
            return sock.recv(65535)
        except TimeoutError:
            continue
    raise AssertionError("no answer")


def _cookie(answer: bytes) -> bytes:
    try:
        _, payloads = decode_plain(answer)
    except WireError:
        return b""
    notifies = [one for one in payloads if isinstance(one, Notify)]
    return next((one.data for one in notifies if one.type == NotifyType.COOKIE), b"")


@pytest.fixture
def server(tmp_path: Path):  # type: ignore[no-untyped-def]
    files, port = prepare(tmp_path), free_port()
    config = loopback_config(files, port)
    settings = replace(config.settings, cookie_threshold=500, half_open_seconds=30.0)
    process = start_server(replace(config, settings=settings), tmp_path / "log")
    yield process, port, files.secret.read_bytes()
    process.kill()


@pytest.mark.alone
def test_honest_members_register_during_a_flood(
    server: tuple[ServerProcess, int, bytes], tmp_path: Path
) -> None:
    """Nothing is kept for the flood, and it gets fewer octets than it sends."""
    process, port, secret = server
    assert register(Initiator("first", secret=secret), port)
    resident = process.resident_octets
    flood = Flood(port)
    time.sleep(1.0)
    begin = time.monotonic()
    for number in range(HONEST):
        assert register(Initiator(f"gm{number}", secret=secret), port)
    assert time.monotonic() - begin < HONEST_SECONDS
    sent, octets_out, octets_in = flood.result()
    assert sent == FLOOD
    assert octets_in < octets_out
    assert process.resident_octets - resident < GROWTH_OCTETS
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert len(log) < 1 << 20, "a flood can't fill the disk"
