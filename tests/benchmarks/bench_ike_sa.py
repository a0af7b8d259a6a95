"""Regular against optimized rekeys of an IKE SA, and registration over TCP against UDP.

Run: python tests/benchmarks/bench_ike_sa.py
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gcks.crypto.encr import make_cipher
from gcks.daemon.config.loaded import Listener
from gcks.daemon.dev_files import prepare
from gcks.datagrams import Endpoint
from gcks.datagrams import Path as IkePath
from gcks.ike import succession
from gcks.ike.channel import Channel, Request, Response
from gcks.ike.ike_rekey import Parent
from gcks.ike.legality import Rule, check
from gcks.ike.negotiation import choose
from gcks.ike.protect import IkeProtection
from gcks.ike.secured import Secured
from gcks.ike.succession import TakeOver
from gcks.keyserver.settings import ServerSettings
from gcks.wire.header import decode_header
from gcks.wire.payloads import decode_chain
from tests.support.free_ports import free_port
from tests.support.initiator import DEMO, Initiator
from tests.support.registrations import loopback_config, make_initiators, register_all
from tests.support.server_process import start_server
from tests.support.world import SERVER_SETTINGS

REKEYS = 400
REGISTRATIONS = 1000
PATH = IkePath(Endpoint("192.0.2.1", 500), Endpoint("10.0.0.1", 500))
REQUEST = Rule(36, is_response=False)


def sides() -> tuple[Secured, Secured]:
    keys = [make_cipher(20, 0, os.urandom(36), b"") for _ in range(2)]
    suite = choose(SERVER_SETTINGS.ike_proposals, SERVER_SETTINGS.ike_proposals).suite
    parent = Parent(suite, os.urandom(32))

    def side(out: int, *, initiator: bool) -> Secured:
        protection = IkeProtection(b"i" * 8, b"r" * 8, keys[out], keys[1 - out], os.urandom)
        secured = Secured(Channel(protection, PATH, initiator=initiator), parent, bytes(32))
        secured.optimized = True
        return secured

    return side(0, initiator=True), side(1, initiator=False)


def rekeys(settings: ServerSettings) -> tuple[float, float]:
    """Return octets on the wire and CPU seconds of one rekey, both sides together."""
    octets, begin = 0, time.process_time()
    for _ in range(REKEYS):
        asks, answers = sides()
        asks.optimized = settings.optimized_rekey is not None
        (request,) = asks.rekey(settings, os.urandom(8), os.urandom, 0.0)
        got = answers.channel.receive(decode_header(request.octets), request.octets, 0.0)
        assert isinstance(got, Request)
        contents = check(REQUEST, decode_chain(got.first, got.chain))
        spi = os.urandom(8)
        payloads, _ = succession.answer(answers, contents, SERVER_SETTINGS, spi, os.urandom)
        (response,) = answers.channel.respond(got.exchange, payloads)
        back = asks.channel.receive(decode_header(response.octets), response.octets, 0.0)
        assert isinstance(back, Response)
        decision = succession.answered(asks, back, settings, 0.0)
        assert isinstance(decision, TakeOver)
        octets += len(request.octets) + len(response.octets)
    return octets / REKEYS, (time.process_time() - begin) / REKEYS


def over_tcp(peers: Sequence[Initiator], port: int) -> None:
    for peer in peers:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            local = Endpoint(*sock.getsockname())
            peer.path = peer.path._replace(remote=local, local=Endpoint("127.0.0.1", port))
            sock.sendall(b"IKETCP" + _frame(peer.init()))
            peer.accept(_read(sock))
            sock.sendall(_frame(peer.auth(DEMO)))
            _read(sock)


def _frame(octets: bytes) -> bytes:
    return (len(octets) + 6).to_bytes(2, "big") + bytes(4) + octets


def _read(sock: socket.socket) -> bytes:
    length = int.from_bytes(_exactly(sock, 2), "big")
    return _exactly(sock, length - 2)[4:]


def _exactly(sock: socket.socket, count: int) -> bytes:
    octets = b""
    while len(octets) < count:
        part = sock.recv(count - len(octets))
        if not part:
            raise ConnectionError("the server closed the connection")
        octets += part
    return octets


def registrations() -> list[tuple[str, float, float]]:
    """Return transport, server CPU seconds and wall seconds per registration with PSK."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        files, port = prepare(Path(name)), free_port()
        config = loopback_config(files, port)
        config = replace(config, listeners=(Listener("127.0.0.1", (port,), (), (port,)),))
        server = start_server(config, Path(name) / "log")
        try:
            for transport, register in (("UDP", register_all), ("TCP", over_tcp)):
                peers = make_initiators(files, REGISTRATIONS, certificate=False)
                cpu, wall = server.cpu_seconds, time.perf_counter()
                register(peers, port)
                seconds = time.perf_counter() - wall
                used = server.cpu_seconds - cpu
                found.append((transport, used / REGISTRATIONS, seconds / REGISTRATIONS))
        finally:
            server.kill()
    return found


def main() -> None:
    print(f"{'rekey of an IKE SA':<24}{'octets':>8}{'CPU us, both sides':>20}")
    for title, settings in (
        ("regular", replace(SERVER_SETTINGS, optimized_rekey=None)),
        ("optimized", SERVER_SETTINGS),
    ):
        octets, cpu = rekeys(settings)
        print(f"{title:<24}{octets:>8.0f}{cpu * 1e6:>20.0f}")
    print(f"\n{'registration, PSK':<24}{'server CPU us':>14}{'per s':>8}")
    for transport, cpu, wall in registrations():
        print(f"{transport:<24}{cpu * 1e6:>14.0f}{1 / wall:>8.0f}")


if __name__ == "__main__":
    main()
