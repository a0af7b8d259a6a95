"""A member whose interface is there, and isn't the one that rekeys come by.

The twelfth row of tests/exchange/test_misconfigured.py: it takes hosts with two interfaces.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon_process import MEMBER, SERVE, Daemon
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
  - id: keyid:two
    members: [{identity: 'fqdn:gm1.test'}]
    atd: 1s
    dtd: 2s
    rekey: {address: 239.255.84.10, spread: 200ms, interface: eth0}
    data_sas: [{name: one, destination: 239.1.2.10, lifetime: 16s, renew: 8s}]
"""
JOIN = """
identity: fqdn:gm1.test
server: {address: 192.0.2.1, identity: 'fqdn:gcks.test'}
local: {address: 192.0.2.11, interface: eth1}
authentication: {psk: 'file:psk'}
groups: [{id: 'keyid:two'}]
data_plane: {kind: none}
control: {path: member.sock}
ike: {reregister_jitter: 0s}
logging: {format: console}
"""
SERVER, HOST = "gcks-two-server", "gcks-two-member"
NETWORK = f"""
netns add {SERVER}
netns add {HOST}
-n {SERVER} link add eth0 type veth peer name eth0 netns {HOST}
-n {SERVER} link add eth1 type veth peer name eth1 netns {HOST}
-n {SERVER} addr add 192.0.2.1/24 dev eth0
-n {SERVER} addr add 198.51.100.1/24 dev eth1
-n {HOST} addr add 192.0.2.11/24 dev eth0
-n {HOST} addr add 198.51.100.11/24 dev eth1
-n {SERVER} link set eth0 up
-n {SERVER} link set eth1 up
-n {HOST} link set eth0 up
-n {HOST} link set eth1 up
-n {HOST} link set lo up
"""


@pytest.fixture
def network() -> Iterator[None]:
    try:
        for command in NETWORK.strip().splitlines():
            subprocess.run(["ip", *command.split()], check=True)
        yield
    finally:
        for name in (SERVER, HOST):
            subprocess.run(["ip", "netns", "del", name], check=False)


def test_a_wrong_interface_is_named_on_both_sides(network: None, tmp_path: Path) -> None:
    for name, text in (("gcks.yaml", CONFIG), ("member.yaml", JOIN)):
        (tmp_path / name).write_text(text)
    for name in ("psk", "master.key"):
        (tmp_path / name).write_bytes(os.urandom(32))
        (tmp_path / name).chmod(0o600)
    inside = ["ip", "netns", "exec"]
    server = Daemon([*inside, SERVER, *SERVE, str(tmp_path / "gcks.yaml")], tmp_path / "server.log")
    try:
        server.says("group_started")
        command = [*MEMBER, "--config", str(tmp_path / "member.yaml")]
        member = Daemon([*inside, HOST, *command], tmp_path / "member.log")
        try:
            member.says("registered ")
            wait_for(lambda: "reregistering" in member.text, "its SA runs out", seconds=40)
            server.says("comes back after a rekey")
        finally:
            member.stop(signal.SIGKILL)
    finally:
        server.stop(signal.SIGKILL)
    assert "multicast to 239.255.84.10 port 848 let through to eth1" in member.text
    assert "look whether multicast to 239.255.84.10:848 reaches it" in server.text
