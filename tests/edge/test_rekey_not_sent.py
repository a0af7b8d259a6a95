"""A rekey that can't leave is in the log and in gcks events, whoever looks for it at night."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon_process import SERVE, Daemon
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and ip"
)
CONFIG = """
server: {identity: 'fqdn:gcks.test'}
listen: [{address: 192.0.2.1, tcp_ports: []}]
authentication: {psk: [{identity: 'fqdn:gm1.test', secret: 'file:psk'}]}
store: {path: gcks.sqlite, master_key: master.key}
control: {path: server.sock}
logging: {format: console}
groups:
  - id: keyid:one
    members: [{identity: 'fqdn:gm1.test'}]
    rekey: {address: 239.255.84.10, interface: gone0}
    data_sas: [{name: one, destination: 239.1.2.10}]
"""
NAMESPACE = "gcks-not-sent"
NETWORK = f"""
netns add {NAMESPACE}
-n {NAMESPACE} link add gone0 type veth peer name end0
-n {NAMESPACE} addr add 192.0.2.1/24 dev gone0
-n {NAMESPACE} link set gone0 up
-n {NAMESPACE} link set end0 up
"""
INSIDE = ["ip", "netns", "exec", NAMESPACE]


@pytest.fixture
def network() -> Iterator[None]:
    try:
        for command in NETWORK.strip().splitlines():
            subprocess.run(["ip", *command.split()], check=True)
        yield
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=False)


def ask(directory: Path, *command: str) -> str:
    gcks = [sys.executable, "-m", "gcks", *command, "--socket", str(directory / "server.sock")]
    return subprocess.run(gcks, check=True, capture_output=True, text=True).stdout


def test_an_interface_that_is_gone_is_told(network: None, tmp_path: Path) -> None:
    (tmp_path / "gcks.yaml").write_text(CONFIG)
    for name in ("psk", "master.key"):
        (tmp_path / name).write_bytes(os.urandom(32))
        (tmp_path / name).chmod(0o600)
    server = Daemon([*INSIDE, *SERVE, str(tmp_path / "gcks.yaml")], tmp_path / "server.log")
    try:
        server.says("server_started")
        subprocess.run(["ip", "-n", NAMESPACE, "link", "del", "gone0"], check=True)
        ask(tmp_path, "rekey", "keyid:one")
        server.says("rekey_not_sent")
        (line, *_) = ask(tmp_path, "events", "--event", "rekey_not_sent", "--json").splitlines()
        event = json.loads(line)
        assert (event["group"], event["destination"]) == ("keyid:one", "239.255.84.10:848")
        assert "gone0" in event["cause"]
        wait_for(lambda: f"cause='{event['cause']}'" in server.text, "the log tells the same")
    finally:
        server.stop()
