"""What strangers without any key try on a real server, which answers all others meanwhile."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon_process import SERVE
from tests.support.free_ports import free_ports
from tests.support.repository import ROOT
from tests.support.site import Site
from tests.support.waiting import wait_for

DESCRIPTORS = 512
"""A hard limit, which the server can't raise."""
WATCHDOG_SECONDS = 0.6
OCTETS = 1_500_000
"""What one stranger sends."""
PATIENCE_SECONDS = 5.0
"""On a busy machine; what is prevented here takes half a minute, or never ends."""
START_SECONDS = 30.0
QUESTION = b'{"do": "show", "what": "server"}\n'


class Server:
    """A server that a service manager watches, its standard error a pipe that nobody reads."""

    def __init__(self, directory: Path) -> None:
        site = Site(directory)
        self.control, self.tcp = directory / "control.sock", site.natt
        (metrics,) = free_ports(1)
        self.metrics = f"http://127.0.0.1:{metrics}/metrics"
        text = site.text().replace("tcp_ports: []", f"tcp_ports: [{self.tcp}]")
        site.config.write_text(f"{text}metrics: {{listen: '127.0.0.1:{metrics}'}}\n")
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(directory / "notify"))
        self._manager.settimeout(START_SECONDS)
        self.process = subprocess.Popen(
            [*SERVE, str(site.config)], cwd=ROOT, stderr=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, DESCRIPTORS)),
            env={**os.environ, "NOTIFY_SOCKET": str(directory / "notify"),
                 "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))},
        )  # fmt: skip
        while not self._manager.recv(1000).startswith(b"READY=1"):
            assert self.process.poll() is None
        self._manager.settimeout(PATIENCE_SECONDS)

    def beats(self, times: int) -> None:
        """Wait for so many messages to the watchdog."""
        for _ in range(times):
            assert self._manager.recv(1000) == b"WATCHDOG=1"

    def hear(self) -> None:
        """Take what the manager's queue holds already."""
        self._manager.setblocking(False)
        try:
            while True:
                self._manager.recv(1000)
        except BlockingIOError:
            self._manager.settimeout(PATIENCE_SECONDS)

    def ask(self) -> float:
        """Ask at the control socket; return how long it took."""
        begin = time.monotonic()
        with socket.socket(socket.AF_UNIX) as sock, sock.makefile("rb") as lines:
            sock.settimeout(PATIENCE_SECONDS)
            sock.connect(str(self.control))
            sock.sendall(QUESTION)
            lines.readline()
            assert b'"ok":true' in lines.readline().replace(b" ", b"")
        return time.monotonic() - begin

    def scrape(self) -> str:
        with urllib.request.urlopen(self.metrics, timeout=PATIENCE_SECONDS) as page:
            text: str = page.read().decode()
        return text

    def close(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        self._manager.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


def flood(port: int, frame: bytes, octets: int, sent: list[int]) -> None:
    """Send frames on one connection until it is cut, or so many octets have gone."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        try:
            sock.sendall(b"IKETCP")
            while sum(sent) < octets:
                sock.sendall(frame * 10_000)
                sent.append(len(frame) * 10_000)
        except OSError:
            return


@pytest.mark.parametrize("frame", [b"\0\3A", b"\0\3\xff"], ids=["nothing", "keepalive"])
def test_one_connection_holds_up_nobody(server: Server, frame: bytes) -> None:
    sent: list[int] = []
    stranger = threading.Thread(target=flood, args=(server.tcp, frame, OCTETS, sent))
    stranger.start()
    slowest = server.ask()
    while stranger.is_alive():
        slowest = max(slowest, server.ask())
    assert slowest < PATIENCE_SECONDS
    server.hear()
    server.beats(3)


def connections(port: int, hosts: int, each: int) -> list[socket.socket]:
    """Open connections from many addresses, as far as it goes."""
    made = []
    for host in range(1, hosts + 1):
        for _ in range(each):
            sock = socket.socket()
            sock.bind((f"127.0.1.{host}", 0))
            sock.settimeout(1)
            try:
                sock.connect(("127.0.0.1", port))
                sock.sendall(b"IKETCP")
            except OSError:
                sock.close()
                continue
            made.append(sock)
    return made


def test_connections_take_no_descriptor_that_the_server_needs(server: Server) -> None:
    held = connections(server.tcp, 12, 64)
    server.hear()
    server.beats(6)
    for _ in range(10):
        assert server.ask() < PATIENCE_SECONDS
    wait_for(lambda: "gcks_tcp_connections_refused_total 0.0" not in server.scrape(), "refusals")
    values = dict(line.rsplit(" ", 1) for line in server.scrape().splitlines() if line[0] != "#")
    assert float(values["process_max_fds"]) == DESCRIPTORS
    assert 250 < float(values["gcks_tcp_connections"]) <= DESCRIPTORS - 200
    for sock in held:
        sock.close()
