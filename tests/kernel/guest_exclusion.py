"""Inside the guest: five members under traffic, of whom two are excluded and one misses a rekey.

usage: guest_exclusion.py RESULT_DIRECTORY.  Leaves report.json and the daemons' logs there.
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
    sh,
    spawn,
    start_member,
    start_server,
    start_traffic,
    wait_for,
)

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
    secret("master.key", os.urandom(32))
    secret("psk", os.urandom(32).hex().encode())
    for member in MEMBERS:
        (RESULT / f"{member}.yaml").write_text(
            f"identity: fqdn:{member}.test\n"
            f"server: {{address: {HOSTS['server']}, identity: 'fqdn:gcks.test'}}\n"
            "local: {interface: eth0}\n"
            "authentication: {psk: 'file:psk'}\n"
            "groups: [{id: 'keyid:tree', send: true}]\n"
        )


def server_reload() -> None:
    subprocess.run(["pkill", "-HUP", "-f", "gcks serve"], check=True)


def main() -> None:
    network(HOSTS)
    credentials()
    configure()
    server = start_server()
    wait_for("server", lambda: lines("server", "group_started"), 40)
    daemons = [start_member(name) for name in MEMBERS]
    wait_for("members", lambda: all(lines(m, "registered") for m in MEMBERS), 60)
    time.sleep(4)  # the tree has grown by the fifth: one rekey tells it
    begin = time.monotonic() + START_SECONDS
    watch = spawn(
        "eve", [str(HERE / "eve.py"), str(START_SECONDS + TRAFFIC_SECONDS + 4), DATA], "eve.json"
    )
    traffic = [start_traffic(one, begin, TRAFFIC_SECONDS, RATE, (DATA,)) for one in MEMBERS]
    time.sleep(max(0.0, begin + FIRST_AT - time.monotonic()))
    configure(FIRST_OUT)
    server_reload()
    time.sleep(max(0.0, begin + LOSS_AT - time.monotonic()))
    sh(f"bridge link set dev v{LOSER} mcast_flood off")
    time.sleep(max(0.0, begin + SECOND_AT - time.monotonic()))
    configure(FIRST_OUT, SECOND_OUT)
    server_reload()
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
