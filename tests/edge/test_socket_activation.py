"""Sockets handed over as systemd does it: nothing is bound, and nothing is lost in a restart."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gcks.daemon.inherited import Inherited
from gcks.iana import ExchangeType
from gcks.wire.message import encode_message
from tests.support.daemon_process import SERVE, Daemon
from tests.support.site import Site

LAUNCH = """
import os, sys
count, command = int(sys.argv[1]), sys.argv[2:]
given = [os.dup(int(n)) for n in os.environ.pop("GIVEN").split()]
high = [os.dup2(n, 50 + place) for place, n in enumerate(given)]
for place, number in enumerate(high):
    os.dup2(number, 3 + place, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES="a:b:c:d")
os.execvp(command[0], command)
"""
QUESTION = bytearray(
    encode_message(b"i" * 8, bytes(8), ExchangeType.IKE_SA_INIT, 8, 0, ())
) + bytes(60)
QUESTION[17] = 0x30  # major version 3: a request that is answered without any state
QUESTION[24:28] = len(QUESTION).to_bytes(4, "big")


class Handed:
    """Sockets that a manager keeps while the server comes and goes."""

    def __init__(self, site: Site) -> None:
        self.site = site
        addresses = [("127.0.0.1", site.port), ("127.0.0.1", site.natt)]
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in addresses]
        for sock, address in zip(self.sockets, addresses, strict=True):
            sock.bind(address)
        self.unwanted = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.unwanted.bind(("127.0.0.1", 0))
        self.sockets.append(self.unwanted)

    def serve(self) -> Daemon:
        numbers = " ".join(str(sock.fileno()) for sock in self.sockets)
        for sock in self.sockets:
            os.set_inheritable(sock.fileno(), True)
        command = [sys.executable, "-c", LAUNCH, str(len(self.sockets)), *SERVE]
        output = self.site.directory / "server.log"
        os.environ["GIVEN"] = numbers
        daemon = Daemon([*command, str(self.site.config)], output, keep_descriptors=True)
        del os.environ["GIVEN"]
        self.site.daemons.append(daemon)
        daemon.says("group_started", len(self.site.daemons))
        return daemon


@pytest.fixture
def handed(tmp_path: Path) -> Iterator[Handed]:
    site = Site(tmp_path)
    handed = Handed(site)
    yield handed
    for daemon in site.daemons:
        daemon.stop(signal.SIGKILL)
    for sock in handed.sockets:
        sock.close()


def test_what_comes_during_a_restart_is_answered_after_it(handed: Handed) -> None:
    server = handed.serve()
    assert "sockets_not_used" in server.text
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.settimeout(20)
    asker.connect(("127.0.0.1", handed.site.port))
    asker.send(QUESTION)
    first = asker.recv(1000)
    assert first[18] == ExchangeType.IKE_SA_INIT
    assert server.stop() == 0
    asker.send(QUESTION)  # nobody is there
    handed.serve()
    assert asker.recv(1000) == first
    asker.close()


def test_members_register_over_handed_sockets(handed: Handed) -> None:
    handed.serve()
    member = handed.site.join("gm1")
    member.says("registered ")
    assert member.stop() == 0


@pytest.mark.parametrize(
    "environment",
    [{}, {"LISTEN_FDS": "2"}, {"LISTEN_PID": "1", "LISTEN_FDS": "2"},
     {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"}],
)  # fmt: skip
def test_what_is_not_for_us_is_left_alone(environment: dict[str, str]) -> None:
    environment = {**environment, "PATH": "/bin"}
    assert Inherited(environment).close_rest() == []
    assert environment == {"PATH": "/bin"}
