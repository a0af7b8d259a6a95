"""`gcks serve CONFIG` and `gcks-member run --config` over IPv6: reload, restart, clear errors."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon_process import MEMBER, SERVE, Daemon
from tests.support.free_ports import free_ports
from tests.support.repository import ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

ADDRESS, SECOND = "fd00:9838::1", "fd00:9838::2"
GROUP = """
  - id: keyid:six
    members: [{{identity: 'fqdn:gm*.test', send: true}}]
    atd: 1s
    dtd: 2s
    rekey: {{address: '{rekey_address}', port: {rekey_port}, source_port: {port}, spread: 500ms}}
    data_sas:
      - {{name: one, destination: 'ff12::1', destination_port: 5000, suite: {suite}}}
"""
SERVER = """
server: {{identity: 'fqdn:gcks.test'}}
listen: [{{address: '{address}', ike_ports: [{port}], natt_ports: [{natt}], tcp_ports: [{natt}]}}]
authentication: {{psk: [{{identity: 'fqdn:gm*.test', secret: 'file:psk'}}]}}
store: {{path: gcks.sqlite, master_key: master.key}}
logging: {{format: console}}
groups:
"""
CLIENT = """
identity: fqdn:gm1.test
server: {{address: '{address}', port: {port}, natt_port: {natt}, identity: 'fqdn:gcks.test'}}
authentication: {{psk: 'file:psk'}}
groups: [{{id: 'keyid:six', send: true}}]
data_plane: {{kind: none}}
logging: {{format: console}}
"""


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A network namespace with one address, so that IPv6 multicast has an interface."""
    name = "gcks-edge"
    commands = (
        f"netns add {name}",
        f"-n {name} link set lo up",
        f"-n {name} link add v0 type veth peer name v1",
        f"-n {name} link set v1 up",
        f"-n {name} addr add {ADDRESS}/64 dev v0 nodad",
        f"-n {name} addr add {SECOND}/64 dev v0 nodad",
        f"-n {name} link set v0 up",
    )
    try:
        for command in commands:
            subprocess.run(["ip", *command.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


class Site:
    """A directory with everything that a server and a member need."""

    def __init__(self, directory: Path, namespace: str) -> None:
        self.directory, self.address = directory, ADDRESS
        self.rekey_address = "ff12::9838"
        self.inside = ["ip", "netns", "exec", namespace]
        self.port, self.natt, self.rekey_port = free_ports(3, "::1")
        for name, content in (
            ("psk", secrets.token_bytes(32)),
            ("master.key", secrets.token_bytes(32)),
        ):
            (directory / name).write_bytes(content)
            (directory / name).chmod(0o600)
        self.write("aes256gcm16")
        (directory / "member.yaml").write_text(CLIENT.format(**vars(self)))
        self.started: list[Daemon] = []

    def write(self, suite: str, extra: str = "") -> None:
        text = SERVER.format(**vars(self)) + GROUP.format(**vars(self), suite=suite) + extra
        (self.directory / "gcks.yaml").write_text(text)

    def start(self, command: list[str], log: str) -> Daemon:
        daemon = Daemon([*self.inside, *command], self.directory / log)
        self.started.append(daemon)
        return daemon

    def serve(self) -> Daemon:
        daemon = self.start([*SERVE, str(self.directory / "gcks.yaml")], "server.log")
        daemon.says("group_started")
        return daemon

    def join(self) -> Daemon:
        command = [*MEMBER, "--config", str(self.directory / "member.yaml")]
        return self.start(command, "member.log")


@pytest.fixture
def site(tmp_path: Path, namespace: str) -> Iterator[Site]:
    site = Site(tmp_path, namespace)
    yield site
    for daemon in site.started:
        daemon.stop(signal.SIGKILL)


def test_a_reload_over_ipv6_rekeys_what_changed_and_drops_nothing(site: Site) -> None:
    server, member = site.serve(), site.join()
    member.says("registered ")
    site.write("aes128gcm16")
    server.process.send_signal(signal.SIGHUP)
    member.says("rekey_received")
    assert "reregistering" not in member.text
    assert member.stop() == 0
    assert server.stop() == 0
    assert "Traceback" not in server.text + member.text


def test_a_server_on_all_addresses_answers_from_the_one_that_was_asked(site: Site) -> None:
    """RFC 7296 section 2.11; no false NAT detection, so port 4500 isn't needed (section 2.23)."""
    config, member_config = site.directory / "gcks.yaml", site.directory / "member.yaml"

    def everywhere(suite: str) -> None:
        site.write(suite)
        text = config.read_text().replace(f"address: '{ADDRESS}'", "address: '::'")
        text = text.replace(f"natt_ports: [{site.natt}]", "natt_ports: []")
        config.write_text(text.replace("rekey: {", f"rekey: {{source: '{ADDRESS}', "))

    everywhere("aes256gcm16")
    member_config.write_text(member_config.read_text().replace(ADDRESS, SECOND))
    server, member = site.serve(), site.join()
    member.says("registered ")
    everywhere("aes128gcm16")
    server.process.send_signal(signal.SIGHUP)
    member.says("rekey_received")
    assert f"server=[{SECOND}]:{site.port}" in member.text
    assert member.stop() == server.stop() == 0


LISTENER = """
import socket
index = socket.if_nametoindex("v0")
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("ff12::9838", 4500, 0, index))
group = socket.inet_pton(socket.AF_INET6, "ff12::9838") + index.to_bytes(4, "little")
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
print("listening", flush=True)
print("heard", sock.recv(65535).hex(), flush=True)
"""


def test_four_zero_octets_precede_a_rekey_to_port_4500(site: Site) -> None:
    """RFC 9838 section 2.4.1.1; the member takes them off."""
    site.rekey_port = 4500
    site.write("aes256gcm16")
    server, member = site.serve(), site.join()
    member.says("registered ")
    listener = site.start([sys.executable, "-c", LISTENER], "listener.log")
    listener.says("listening")
    site.write("aes128gcm16")
    server.process.send_signal(signal.SIGHUP)
    listener.says("heard 00000000(?!00000000)")
    member.says("rekey_received")


def test_a_bad_reload_changes_nothing(site: Site) -> None:
    server = site.serve()
    site.write("aes256gcm16", "      - {name: two, destination: '192.0.2.1'}\n")
    server.process.send_signal(signal.SIGHUP)
    server.says("reload_refused")
    site.join().says("registered .*data_sas=1|data_sas=1")
    assert server.stop() == 0


def test_members_follow_a_rekey_address_that_moved_while_the_server_was_down(site: Site) -> None:
    server, member = site.serve(), site.join()
    member.says("registered ")
    assert server.stop() == 0
    site.rekey_address = "ff12::9839"
    site.write("aes256gcm16")
    server = site.serve()
    member.says("rekey_received", 1)
    site.write("aes128gcm16")
    server.process.send_signal(signal.SIGHUP)
    member.says("rekey_received", 2)
    assert "reregistering" not in member.text
    assert "rekey_not_sent" not in server.text


def test_two_servers_cannot_share_a_database(site: Site) -> None:
    site.serve()
    site.port, site.natt, site.rekey_port = free_ports(3, "::1")
    site.write("aes256gcm16")
    done = subprocess.run(
        [*site.inside, *SERVE, str(site.directory / "gcks.yaml")],
        capture_output=True, text=True, timeout=30, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1
    assert "in use by another gcks" in done.stderr


def test_another_master_key_is_one_clear_message(site: Site) -> None:
    assert site.serve().stop() == 0
    (site.directory / "master.key").write_bytes(secrets.token_bytes(32))
    done = subprocess.run(
        [*site.inside, *SERVE, str(site.directory / "gcks.yaml")],
        capture_output=True, text=True, timeout=30, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1
    assert "sealed with another master key" in done.stderr
    assert "Traceback" not in done.stderr
