"""Inside the guest: five members under traffic, of whom two are excluded and one misses a rekey.

usage: guest_exclusion.py RESULT_DIRECTORY.  Leaves report.json and the daemons' logs there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULT = Path(sys.argv[1])
MEMBERS = ("gm1", "gm2", "gm3", "gm4", "gm5")
HOSTS = {"server": "10.9.0.1", **{m: f"10.9.0.1{m[-1]}" for m in MEMBERS}, "eve": "10.9.0.99"}
DATA = "239.1.2.4:5001"
RATE = 20
START_SECONDS = 6
TRAFFIC_SECONDS = 56
RENEW_SECONDS = 10
EVENTS = ("registered", "rekey_received", "reregistering", "registration_failed")
FIRST_OUT, SECOND_OUT, LOSER = "gm5", "gm3", "gm4"
FIRST_AT, LOSS_AT, SECOND_AT, HEARS_AT = 8, 20, 21, 26
"""Seconds of traffic: an exclusion; then one that a member doesn't hear of."""


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


def network() -> None:
    sh("ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up")
    for name, address in HOSTS.items():
        sh(
            f"ip netns add {name} && ip link add v{name} type veth peer name eth0 netns {name} && "
            f"ip link set v{name} master br0 up && ip -n {name} link set lo up && "
            f"ip -n {name} addr add {address}/24 dev eth0 && "
            f"ip -n {name} link set eth0 up && ip -n {name} route add 224.0.0.0/4 dev eth0"
        )


def configure(*excluded: str) -> None:
    names = ", ".join(f"'fqdn:{one}.test'" for one in excluded)
    (RESULT / "gcks.yaml").write_text(
        "server: {identity: 'fqdn:gcks.test'}\n"
        f"listen: [{{address: {HOSTS['server']}}}]\n"
        "authentication: {psk: [{identity: 'fqdn:gm*.test', secret: 'file:psk'}]}\n"
        "store: {path: gcks.sqlite, master_key: master.key}\n"
        "groups:\n"
        "  - id: keyid:tree\n"
        "    key_management: lkh\n"
        "    exclusion_window: 500ms\n"
        f"    excluded: [{names}]\n"
        "    members: [{identity: 'fqdn:gm*.test', send: true}]\n"
        "    atd: 2s\n    dtd: 5s\n"
        "    rekey: {address: 239.255.84.1, interface: eth0, spread: 1s, lifetime: 10m}\n"
        "    data_sas:\n"
        "      - {name: all, destination: 239.1.2.4, destination_port: 5001, lifetime: 60s, "
        f"renew: {RENEW_SECONDS}s, suite: aes256-sha256}}\n"
    )


def credentials() -> None:
    (RESULT / "master.key").write_bytes(os.urandom(32))
    (RESULT / "psk").write_bytes(os.urandom(32).hex().encode())
    for name in ("master.key", "psk"):
        (RESULT / name).chmod(0o600)
    for member in MEMBERS:
        (RESULT / f"{member}.yaml").write_text(
            f"identity: fqdn:{member}.test\n"
            f"server: {{address: {HOSTS['server']}, identity: 'fqdn:gcks.test'}}\n"
            "local: {interface: eth0}\n"
            "authentication: {psk: 'file:psk'}\n"
            "groups: [{id: 'keyid:tree', send: true}]\n"
        )


def spawn(host: str, arguments: list[str], log: str) -> subprocess.Popen[bytes]:
    with (RESULT / log).open("ab") as output:
        return subprocess.Popen(
            ["ip", "netns", "exec", host, sys.executable, *arguments],
            stdout=output, stderr=output if log.endswith(".log") else None,
        )  # fmt: skip


def lines(name: str, event: str) -> list[dict[str, object]]:
    path = RESULT / f"{name}.log"
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("{") and (entry := json.loads(line))["event"] == event:
            found.append(entry)
    return found


def wait_for(what: str, condition: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.2)


def main() -> None:
    network()
    credentials()
    configure()
    server = spawn("server", ["-m", "gcks", "serve", str(RESULT / "gcks.yaml")], "server.log")
    wait_for("server", lambda: lines("server", "group_started"), 40)
    daemons = [
        spawn(
            m, ["-m", "gcks.cli.member", "run", "--config", str(RESULT / f"{m}.yaml")], f"{m}.log"
        )
        for m in MEMBERS
    ]
    wait_for("members", lambda: all(lines(m, "registered") for m in MEMBERS), 60)
    time.sleep(4)  # the tree has grown by the fifth: one rekey tells it
    begin = time.monotonic() + START_SECONDS
    watch = spawn(
        "eve", [str(HERE / "eve.py"), str(START_SECONDS + TRAFFIC_SECONDS + 4), DATA], "eve.json"
    )
    traffic = [
        spawn(
            m,
            [str(HERE / "traffic.py"), m, str(begin), str(TRAFFIC_SECONDS), str(RATE), DATA],
            f"{m}.json",
        )
        for m in MEMBERS
    ]
    signal_server = lambda: subprocess.run(  # noqa: E731
        ["pkill", "-HUP", "-f", "gcks serve"], check=True
    )
    time.sleep(max(0.0, begin + FIRST_AT - time.monotonic()))
    configure(FIRST_OUT)
    signal_server()
    time.sleep(max(0.0, begin + LOSS_AT - time.monotonic()))
    sh(f"bridge link set dev v{LOSER} mcast_flood off")
    time.sleep(max(0.0, begin + SECOND_AT - time.monotonic()))
    configure(FIRST_OUT, SECOND_OUT)
    signal_server()
    time.sleep(max(0.0, begin + HEARS_AT - time.monotonic()))
    sh(f"bridge link set dev v{LOSER} mcast_flood on")
    for process in (*traffic, watch):
        process.wait(timeout=TRAFFIC_SECONDS + 40)
    report = {
        "rate": RATE,
        "times": {"first": FIRST_AT, "second": SECOND_AT, "end": TRAFFIC_SECONDS},
        "hosts": {m: json.loads((RESULT / f"{m}.json").read_text()) for m in MEMBERS},
        "eve": json.loads((RESULT / "eve.json").read_text()),
        "events": {m: {e: len(lines(m, e)) for e in EVENTS} for m in MEMBERS},
    }
    (RESULT / "report.json").write_text(json.dumps(report))
    for process in (*daemons, server):
        process.send_signal(signal.SIGTERM)
    for process in (*daemons, server):
        process.wait(timeout=15)


main()
