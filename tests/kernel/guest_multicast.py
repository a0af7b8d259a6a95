"""Inside the guest: one key server, three members and a stranger, and encrypted multicast.

usage: guest_multicast.py RESULT_DIRECTORY.  Leaves report.json and the daemons' logs there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

from guest import (
    HERE,
    RESULT,
    lines,
    network,
    secret,
    spawn,
    start_member,
    start_server,
    start_traffic,
    wait_for,
)

HOSTS = {"server": "10.9.0.1", "gm1": "10.9.0.11", "gm2": "10.9.0.12", "gm3": "10.9.0.13",
         "eve": "10.9.0.99"}  # fmt: skip
MEMBERS = ("gm1", "gm2", "gm3")
GROUPS = ("239.1.2.3:5000", "239.1.2.4:5001", "239.1.2.5:5002", "239.1.2.6:5003", "ff15::5:5004")
NAMES = ("each", "shared", "transport", "six")
RECEIVER = ("gm3", "six")
"""Who only receives, in which group; it tries to send all the same."""
RATE = 20
TRAFFIC_SECONDS = 44
START_SECONDS = 5
RENEW_SECONDS = 12
KILL_AFTER_SECONDS = 20
EVENTS = ("registered", "rekey_received", "data_plane_failed", "reregistering", "policy_refused")


def data_sa(name: str, destination: str, port: int, extra: str) -> str:
    return (
        f"      - {{name: {name}, destination: {destination}, destination_port: {port}, "
        f"lifetime: 60s, renew: {RENEW_SECONDS}s, {extra}}}\n"
    )


def group(name: str, rekey_address: str, sas: str, mode: str = "tunnel") -> str:
    return (
        f"  - id: keyid:{name}\n    members: [{{identity: 'fqdn:gm*.test', send: true}}]\n"
        f"    mode: {mode}\n    atd: 2s\n    dtd: 5s\n"
        f"    rekey: {{address: {rekey_address}, interface: eth0, spread: 1s, lifetime: 10m}}\n"
        f"    data_sas:\n{sas}"
    )


def configure() -> None:
    secret("master.key", os.urandom(32))
    secret("psk", os.urandom(32).hex().encode())
    each = "".join(
        data_sa(m, "239.1.2.3", 5000,
                f"source: {HOSTS[m]}, senders: single, sender: 'fqdn:{m}.test'")
        for m in MEMBERS
    )  # fmt: skip
    shared = data_sa("all", "239.1.2.4", 5001, "suite: aes256-sha256")
    transport = data_sa("esp", "239.1.2.5", 5002, "suite: aes128-sha384")
    transport += data_sa("ah", "239.1.2.6", 5003, "protocol: ah, suite: sha256")
    six = data_sa("six", "ff15::5", 5004, "suite: aes256-sha256")
    (RESULT / "gcks.yaml").write_text(
        "server: {identity: 'fqdn:gcks.test'}\n"
        f"listen: [{{address: {HOSTS['server']}}}]\n"
        "authentication: {psk: [{identity: 'fqdn:gm*.test', secret: 'file:psk'}]}\n"
        "store: {path: gcks.sqlite, master_key: master.key}\n"
        "groups:\n"
        + group("each", "239.255.84.1", each)
        + group("shared", "239.255.84.2", shared)
        + group("transport", "239.255.84.3", transport, "transport")
        + group("six", "239.255.84.4", six)
    )
    for member in MEMBERS:
        (RESULT / f"{member}.yaml").write_text(
            f"identity: fqdn:{member}.test\n"
            f"server: {{address: {HOSTS['server']}, identity: 'fqdn:gcks.test'}}\n"
            f"local: {{interface: eth0}}\n"
            "authentication: {psk: 'file:psk'}\n"
            "groups:\n" + "".join(membership(member, name) for name in NAMES)
        )


def membership(member: str, name: str) -> str:
    send = "false" if (member, name) == RECEIVER else "true"
    return f"  - {{id: 'keyid:{name}', send: {send}}}\n"


def blocked(member: str) -> bool:
    """Tell whether the member can't yet send from its own address where it should."""
    command = ["ip", "-n", member, "-o", "xfrm", "policy"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    others = [f"src {address}/32" for name, address in HOSTS.items() if name != member]
    mine = [line for line in listed.splitlines() if not any(other in line for other in others)]
    return sum("action block" in line for line in mine) > (member == RECEIVER[0])


def main() -> None:
    network(HOSTS)
    configure()
    server = start_server()
    wait_for("server", lambda: lines("server", "group_started"), 40)
    daemons = [start_member(name) for name in MEMBERS]
    wait_for("members", lambda: all(len(lines(m, "registered")) == len(NAMES) for m in MEMBERS), 60)
    wait_for("sending", lambda: not any(map(blocked, MEMBERS)), 30)
    begin = time.monotonic() + START_SECONDS
    watch = spawn(
        "eve",
        [str(HERE / "eve.py"), str(START_SECONDS + TRAFFIC_SECONDS + 4), *GROUPS],
        "eve.json",
    )
    traffic = [start_traffic(one, begin, TRAFFIC_SECONDS, RATE, GROUPS) for one in MEMBERS]
    time.sleep(KILL_AFTER_SECONDS)
    subprocess.run(["pkill", "-KILL", "-f", "gcks serve"], check=False)
    server.wait()
    before = {m: len(lines(m, "rekey_received")) for m in MEMBERS}
    time.sleep(1)
    server = start_server()
    for process in (*traffic, watch):
        process.wait(timeout=TRAFFIC_SECONDS + 40)
    report = {
        "hosts": {m: json.loads((RESULT / f"{m}.json").read_text()) for m in MEMBERS},
        "eve": json.loads((RESULT / "eve.json").read_text()),
        "rekeys_before_kill": before,
        "events": {m: {e: len(lines(m, e)) for e in EVENTS} for m in MEMBERS},
        "restored": [entry["restored"] for entry in lines("server", "group_started")],
    }
    (RESULT / "report.json").write_text(json.dumps(report))
    for process in (*daemons, server):
        process.send_signal(signal.SIGTERM)
    for process in (*daemons, server):
        process.wait(timeout=15)


main()
