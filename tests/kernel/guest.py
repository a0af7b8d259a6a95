"""What the guests' scripts share: a bridged network, daemons in namespaces, their logs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULT = Path(sys.argv[1])
SERVER = "10.9.0.1"


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


def network(hosts: Mapping[str, str]) -> None:
    """Make a namespace for each host, all on one bridge, by name and IPv4 address."""
    sh("ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up")
    for name, address in hosts.items():
        sh(
            f"ip netns add {name} && ip link add v{name} type veth peer name eth0 netns {name} && "
            f"ip link set v{name} master br0 up && ip -n {name} link set lo up && "
            f"ip -n {name} addr add {address}/24 dev eth0 && "
            f"ip -n {name} addr add fd00::{address.split('.')[-1]}/64 dev eth0 nodad && "
            f"ip -n {name} link set eth0 up && ip -n {name} route add 224.0.0.0/4 dev eth0"
        )


def secret(name: str, octets: bytes) -> None:
    """Write a file that only root can read."""
    (RESULT / name).write_bytes(octets)
    (RESULT / name).chmod(0o600)


def spawn(host: str, arguments: list[str], log: str) -> subprocess.Popen[bytes]:
    with (RESULT / log).open("ab") as output:
        return subprocess.Popen(
            ["ip", "netns", "exec", host, sys.executable, *arguments],
            stdout=output, stderr=output if log.endswith(".log") else None,
        )  # fmt: skip


def start_server() -> subprocess.Popen[bytes]:
    return spawn("server", ["-m", "gcks", "serve", str(RESULT / "gcks.yaml")], "server.log")


def start_member(name: str) -> subprocess.Popen[bytes]:
    config = str(RESULT / f"{name}.yaml")
    return spawn(name, ["-m", "gcks.cli.member_command", "run", "--config", config], f"{name}.log")


def start_traffic(
    name: str, begin: float, seconds: int, rate: int, groups: tuple[str, ...]
) -> subprocess.Popen[bytes]:
    arguments = [str(HERE / "traffic.py"), name, str(begin), str(seconds), str(rate), *groups]
    return spawn(name, arguments, f"{name}.json")


def lines(name: str, event: str) -> list[dict[str, object]]:
    """Return a daemon's log lines of one event."""
    found = []
    path = RESULT / f"{name}.log"
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("{") and (entry := json.loads(line))["event"] == event:
            found.append(entry)
    return found


def wait_for(what: str, condition: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.2)
