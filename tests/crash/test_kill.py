"""The server is killed at 200 random moments, and nothing that a peer saw is ever contradicted.

Real processes, real UDP, a real database.  Each life is a few to 150 ms long, with
registrations and rekeys all the time; SIGKILL comes whatever the server is doing.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest

from gcks.daemon.config.loaded import Listener, LogOptions, ServerConfig
from gcks.daemon.dev import server_config
from gcks.daemon.dev_files import prepare
from gcks.datagrams import Endpoint
from gcks.store.sqlite import SqliteStore
from gcks.wire.header import decode_header
from gcks.wire.kd import KeyDownload
from tests.support.free_ports import free_port
from tests.support.initiator import DEMO, Initiator, group_sender
from tests.support.memory_store import replay
from tests.support.server_process import start_server

pytestmark = pytest.mark.slow

KILLS = 200
SEED = 9838
IN_FLIGHT = 6
LOOPBACK = "127.0.0.1"
GSA_REKEY = 41
IKE_SA_INIT, GSA_AUTH = 34, 39
DATA_RENEW_SECONDS, REKEY_RENEW_SECONDS = 0.08, 0.7


@dataclass
class Witness:
    """All that peers ever saw."""

    sender_ids: list[int] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    rekeys: dict[bytes, dict[int, set[bytes]]] = field(default_factory=dict)
    order: dict[bytes, list[int]] = field(default_factory=dict)

    def saw_rekey(self, datagram: bytes) -> None:
        header = decode_header(datagram)
        assert header.exchange == GSA_REKEY
        spi = header.spi_i + header.spi_r
        self.rekeys.setdefault(spi, {}).setdefault(header.message_id, set()).add(datagram)
        seen = self.order.setdefault(spi, [])
        if header.message_id not in seen:
            seen.append(header.message_id)

    def saw_registration(self, peer: Initiator, response: bytes) -> None:
        (kd,) = (p for p in peer.read(response) if isinstance(p, KeyDownload))
        for bag in kd.member_bags:
            self.sender_ids += bag.sender_ids
        self.acknowledged.add(str(peer.identity))


def config_of(directory: Path) -> ServerConfig:
    config = server_config(prepare(directory), 3600)
    port, rekey_port = free_port(), free_port()
    (group,) = config.groups.values()
    assert group.rekey is not None
    rekey = replace(
        group.rekey,
        source=Endpoint(LOOPBACK, port),
        destination=Endpoint(group.rekey.destination.host, rekey_port),
        renew_seconds=REKEY_RENEW_SECONDS,  # type: ignore[arg-type]
        spread_seconds=0.05,
    )
    sas = tuple(replace(sa, renew_seconds=DATA_RENEW_SECONDS) for sa in group.data_sas)  # type: ignore[arg-type]
    group = replace(group, rekey=rekey, data_sas=sas)
    return replace(
        config,
        groups={group.name: group},
        listeners=(Listener(LOOPBACK, (port,), ()),),
        metrics=None,
        logs=LogOptions("json", "error"),
    )


def multicast_listener(group: Endpoint) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind(tuple(group))
    request = struct.pack("=4s4s", socket.inet_aton(group.host), socket.inet_aton(LOOPBACK))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    return sock


class Peers:
    """Members that register without pause over one socket."""

    def __init__(self, server: Endpoint, secret: bytes, witness: Witness) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((LOOPBACK, 0))
        self.server, self.secret, self.witness = server, secret, witness
        self.waiting: dict[bytes, Initiator] = {}
        self.count = 0

    def begin(self) -> None:
        self.count += 1
        peer = Initiator(f"gm{self.count}", secret=self.secret)
        peer.path = peer.path._replace(local=self.server, remote=Endpoint(*self.sock.getsockname()))
        self.waiting[peer.spi_i] = peer
        self.sock.sendto(peer.init(), tuple(self.server))

    def take(self, octets: bytes) -> None:
        peer = self.waiting.get(octets[:8])
        if peer is None:
            return
        exchange = decode_header(octets).exchange
        if exchange == IKE_SA_INIT:
            peer.accept(octets)
            self.sock.sendto(peer.auth(DEMO, group_sender(2)), tuple(self.server))
        elif exchange == GSA_AUTH:
            self.witness.saw_registration(peer, octets)
            del self.waiting[octets[:8]]
            self.begin()


def live(peers: Peers, listener: socket.socket, seconds: float) -> None:
    """One life of the server as its peers see it."""
    peers.waiting.clear()
    for _ in range(IN_FLIGHT):
        peers.begin()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for sock in select.select([peers.sock, listener], [], [], left)[0]:
            octets = sock.recv(65535)
            if sock is listener:
                peers.witness.saw_rekey(octets)
            else:
                peers.take(octets)


def drain(peers: Peers, listener: socket.socket) -> None:
    """Take what left the server before it died."""
    while ready := select.select([peers.sock, listener], [], [], 0)[0]:
        for sock in ready:
            octets = sock.recv(65535)
            if sock is listener:
                peers.witness.saw_rekey(octets)
            elif decode_header(octets).exchange == GSA_AUTH and octets[:8] in peers.waiting:
                peers.witness.saw_registration(peers.waiting.pop(octets[:8]), octets)


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> tuple[Witness, ServerConfig]:
    directory = tmp_path_factory.mktemp("crash")
    config, random, witness = config_of(directory), Random(SEED), Witness()
    (group,) = config.groups.values()
    assert group.rekey is not None
    listener = multicast_listener(group.rekey.destination)
    secret = (directory / "psk").read_bytes()
    peers = Peers(group.rekey.source, secret, witness)
    for _ in range(KILLS):
        server = start_server(config, directory / "log")
        live(peers, listener, random.uniform(0.005, 0.15))
        server.kill()
        drain(peers, listener)
    listener.close()
    peers.sock.close()
    return witness, config


def test_there_was_something_to_lose(aftermath: tuple[Witness, ServerConfig]) -> None:
    witness, _ = aftermath
    assert len(witness.acknowledged) > KILLS
    assert sum(map(len, witness.rekeys.values())) > KILLS / 2
    assert len(witness.rekeys) > 3


def test_no_sender_id_was_given_twice(aftermath: tuple[Witness, ServerConfig]) -> None:
    """RFC 9838 section 2.5.1: the counter never goes back while any key lives."""
    witness, _ = aftermath
    assert len(witness.sender_ids) == len(set(witness.sender_ids))


def test_no_message_id_was_used_twice(aftermath: tuple[Witness, ServerConfig]) -> None:
    """RFC 9838 section 2.4.1.3: one Message ID, one content; copies are bitwise identical."""
    witness, _ = aftermath
    for messages in witness.rekeys.values():
        assert all(len(contents) == 1 for contents in messages.values())


def test_message_ids_only_rise(aftermath: tuple[Witness, ServerConfig]) -> None:
    witness, _ = aftermath
    for numbers in witness.order.values():
        assert numbers == sorted(numbers)


def test_no_acknowledged_member_was_lost(aftermath: tuple[Witness, ServerConfig]) -> None:
    witness, config = aftermath
    store = SqliteStore(config.store_path, config.master_key)
    (group,) = replay(store.load())
    store.close()
    assert witness.acknowledged <= {member.identity for member in group.members}
    assert group.next_sender_id > max(witness.sender_ids)
