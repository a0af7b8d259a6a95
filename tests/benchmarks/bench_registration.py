"""What one registration costs the server process, as a multiple of the crypto floor.

A real server (fork, UDP on loopback, SQLite on disk) against hand-made initiators;
only the server's CPU time counts.  Run: python tests/benchmarks/bench_registration.py
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gcks.change import Change
from gcks.daemon.dev import demo_group
from gcks.daemon.dev_files import prepare
from gcks.iana import Kwa
from gcks.keyserver.commands import RekeyGroup
from gcks.keyserver.groups.groups import Groups
from gcks.keyserver.groups.registration import AdmissionRequest
from gcks.wire.identification import Identity
from tests.benchmarks.floor import floor_ecdsa, floor_psk
from tests.support.free_ports import free_port
from tests.support.initiator import Initiator
from tests.support.registrations import loopback_config, make_initiators, register_all
from tests.support.server_process import ServerProcess, start_server

REGISTRATIONS = 2000
WARM_UP = 1000
FLOOR_LOOPS = 3000
REKEY_MEMBERS = 10_000


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
        server = start_server(loopback_config(files, port), Path(name) / "log")
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
    policy, groups = demo_group(3600), Groups(os.urandom, time.time)
    groups.start({policy.name: policy}, (), 0.0, Change())
    for number in range(REKEY_MEMBERS):
        request = AdmissionRequest(
            group=policy.name,
            identity=Identity.parse(f"fqdn:gm{number}.dev"),
            address="127.0.0.1",
            kwa=Kwa.KW_5649_256,
            sender=False,
            sender_id_count=0,
            sag=None,
        )
        groups.admit(request, 1.0, Change())
    return min(_timed(groups, policy.name, 10.0 + turn) for turn in range(20))


def _timed(groups: Groups, name: str, now: float) -> float:
    began = time.process_time()
    groups.command(RekeyGroup(name), now, Change())
    return time.process_time() - began


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
