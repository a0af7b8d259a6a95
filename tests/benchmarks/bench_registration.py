"""What one registration costs the server process, as a multiple of the crypto floor.

A real server (fork, UDP on loopback, SQLite on disk) against hand-made initiators;
only the server's CPU time counts.  Run: python tests/benchmarks/bench_registration.py
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from gcks.crypto.signature import SigningKey
from gcks.daemon.config.loaded import Listener, LogOptions, ServerConfig
from gcks.daemon.dev import demo_group, server_config
from gcks.daemon.dev_files import DevFiles, prepare
from gcks.datagrams import Endpoint
from gcks.ike.credentials import OwnCredential
from gcks.ike.retransmission import Retransmission
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.registration import KeyWrap, RegistrationRequest
from gcks.keyserver.groups.spi import SpiPool
from gcks.wire.identification import Identity
from tests.benchmarks.floor import floor_ecdsa, floor_psk
from tests.benchmarks.server_process import ServerProcess, start_server
from tests.exchange.initiator import DEMO, Initiator

REGISTRATIONS = 2000
WARM_UP = 1000
BATCH = 50
FLOOR_LOOPS = 3000
REKEY_MEMBERS = 10_000


def bench_config(files: DevFiles, port: int) -> ServerConfig:
    config = server_config(files, 3600)
    group = demo_group(3600)
    assert group.rekey is not None
    rekey = replace(group.rekey, source=Endpoint("127.0.0.1", port))
    group = replace(group, rekey=rekey, members=(replace(group.members[0], identity="*"),))
    return replace(
        config,
        settings=replace(
            config.settings,
            ike_sa_idle_seconds=0.2,
            cookie_threshold=10**6,
            cookie_threshold_per_prefix=10**6,
            puzzle_difficulty=0,
            rate_per_address=1e6,
            retransmission=Retransmission(0.2, tries=1),
        ),
        groups={group.name: group},
        listeners=(Listener("127.0.0.1", (port,), ()),),
        metrics=None,
        logs=LogOptions("json", "info"),
    )


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def make_initiators(files: DevFiles, count: int, *, certificate: bool) -> list[Initiator]:
    """Make members; each has a key and certificate of its own, issued by the dev CA."""
    secret = files.secret.read_bytes()
    if not certificate:
        return [Initiator(f"gm{number}", secret=secret) for number in range(count)]
    ca_key = load_pem_private_key(files.ca_key.read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    return [
        Initiator(identity=f"fqdn:c{number}.dev", certificate=issue(ca, ca_key, f"c{number}.dev"))
        for number in range(count)
    ]


def issue(ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, host: str) -> OwnCredential:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ca.not_valid_before_utc)
        .not_valid_after(ca.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return OwnCredential((leaf.public_bytes(Encoding.DER),), SigningKey(key))


def exchange(sock: socket.socket, requests: list[bytes]) -> dict[bytes, bytes]:
    """Send all requests; return the responses by initiator SPI."""
    for request in requests:
        sock.send(request)
    found: dict[bytes, bytes] = {}
    while len(found) < len(requests):
        octets = sock.recv(65535)
        if octets[18] != 37:  # INFORMATIONAL: the server closes an earlier SA
            found[octets[:8]] = octets
    return found


def register_all(peers: list[Initiator], port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.connect(("127.0.0.1", port))
        sock.settimeout(20)
        for at in range(0, len(peers), BATCH):
            batch = peers[at : at + BATCH]
            for peer in batch:
                local = sock.getsockname()
                path = peer.path._replace(
                    remote=Endpoint(*local), local=Endpoint("127.0.0.1", port)
                )
                peer.path = path
            answers = exchange(sock, [peer.init() for peer in batch])
            for peer in batch:
                peer.accept(answers[peer.spi_i])
            exchange(sock, [peer.auth(DEMO) for peer in batch])


@dataclass
class Cost:
    """What one registration costs: CPU seconds, registrations per second, octets per member."""

    cpu: float
    rate: float
    memory: float


def measure(*, certificate: bool) -> tuple[Cost, Cost]:
    """Return the cost of members that come for the first time, and that come again."""
    with tempfile.TemporaryDirectory() as name:
        files = prepare(Path(name))
        port = free_port()
        server = start_server(bench_config(files, port), Path(name) / "log")
        try:
            register_all(make_initiators(files, WARM_UP, certificate=certificate), port)
            peers = make_initiators(files, REGISTRATIONS, certificate=certificate)
            first = measured(server, peers, port)
            again = [
                Initiator(identity=str(p.identity), secret=p.secret, certificate=p.certificate)
                for p in peers
            ]
            return first, measured(server, again, port)
        finally:
            server.kill()


def measured(server: ServerProcess, peers: list[Initiator], port: int) -> Cost:
    memory, cpu, wall = server.resident_octets, server.cpu_seconds, time.perf_counter()
    register_all(peers, port)
    seconds = time.perf_counter() - wall
    used = server.cpu_seconds - cpu
    time.sleep(2)
    grown = server.resident_octets - memory
    return Cost(used / len(peers), len(peers) / seconds, grown / len(peers))


def rekey_seconds() -> float:
    """Return the CPU seconds that building one rekey of a large group takes."""
    group, _ = Group.create(demo_group(3600), SpiPool(os.urandom), os.urandom, time.time, 0.0)
    for number in range(REKEY_MEMBERS):
        identity = Identity.parse(f"fqdn:gm{number}.dev")
        group.register(
            RegistrationRequest(identity, "127.0.0.1", False, 0, None), KeyWrap(3, bytes(32)), 1.0
        )
    return min(_timed(group, 10.0 + turn) for turn in range(20))


def _timed(group: Group, now: float) -> float:
    start = time.perf_counter()
    group.rekey(now)
    return time.perf_counter() - start


def main() -> None:
    print(f"{'registration':<34}{'CPU us':>8}{'floor us':>10}{'times':>7}{'target':>8}"
          f"{'per s':>8}{'octets/member':>15}")  # fmt: skip
    for name, certificate, floor, target in (
        ("PSK", False, floor_psk, 5.0),
        ("ECDSA P-256 certificates", True, floor_ecdsa, 3.5),
    ):
        floor(200)
        before = floor(FLOOR_LOOPS)
        costs = measure(certificate=certificate)
        crypto = (before + floor(FLOOR_LOOPS)) / 2 / FLOOR_LOOPS
        for when, cost in zip(("first", "again"), costs, strict=True):
            print(f"{name + ', ' + when:<34}{cost.cpu * 1e6:>8.0f}{crypto * 1e6:>10.0f}"
                  f"{cost.cpu / crypto:>7.2f}{target:>8.1f}{cost.rate:>8.0f}"
                  f"{cost.memory:>15.0f}")  # fmt: skip
    print(f"rekey of {REKEY_MEMBERS} members built in {rekey_seconds() * 1e3:.2f} ms (target 10)")


if __name__ == "__main__":
    main()
