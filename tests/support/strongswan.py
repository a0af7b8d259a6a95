"""A real strongSwan and a real gcks in network namespaces of their own.

swan --- (nat) --- gcks: two or three namespaces that only this module uses.
strongSwan's log and vici state are the judges.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.repository import ROOT
from tests.support.waiting import wait_for

CHARON = Path("/usr/lib/ipsec/charon")
SECRET = secrets.token_hex(32)
PLUGINS = (
    "random nonce aes sha1 sha2 hmac kdf gcm openssl pem pkcs1 pkcs8 x509 pubkey "
    "constraints kernel-netlink socket-default vici"
)

needs_strongswan = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(
        not CHARON.exists() or shutil.which("swanctl") is None,
        reason="strongSwan is not installed (apt-get install strongswan-charon strongswan-swanctl)",
    ),
]


@dataclass(frozen=True)
class Network:
    """Where both are; with `nat`, a third namespace masquerades strongSwan's address."""

    nat: bool = False
    six: bool = False

    @property
    def server(self) -> str:
        return "fd00:10::1" if self.six else "10.10.0.1"

    @property
    def swan(self) -> str:
        if self.nat:
            return "10.11.0.2"
        return "fd00:10::2" if self.six else "10.10.0.2"

    def make(self) -> None:
        self.remove()
        names = ("gcks-i1", "gcks-i2", "gcks-i3") if self.nat else ("gcks-i1", "gcks-i2")
        for name in names:
            _ip(f"netns add {name}")
            _ip(f"-n {name} link set lo up")
        if self.nat:
            self._link("gcks-i1", "gcks-i3", "10.10.0", "1/24", "9/24")
            self._link("gcks-i2", "gcks-i3", "10.11.0", "2/24", "9/24")
            _ip("-n gcks-i2 route add default via 10.11.0.9")
            _inside("gcks-i3", "sysctl -qw net.ipv4.ip_forward=1")
            rules = (
                "table ip nat {\n chain post {\n  type nat hook postrouting priority 100;\n"
                '  oifname "vgcks-i1" masquerade random\n }\n}\n'
            )
            subprocess.run(
                ["ip", "netns", "exec", "gcks-i3", "nft", "-f", "-"],
                input=rules, text=True, check=True,
            )  # fmt: skip
        elif self.six:
            self._link("gcks-i1", "gcks-i2", "fd00:10:", ":1/64", ":2/64")
        else:
            self._link("gcks-i1", "gcks-i2", "10.10.0", "1/24", "2/24")

    def _link(self, one: str, other: str, prefix: str, first: str, second: str) -> None:
        _ip(f"link add v{other} netns {one} type veth peer name v{one} netns {other}")
        joint = ":" if prefix.endswith(":") else "."
        for name, device, host in ((one, f"v{other}", first), (other, f"v{one}", second)):
            address = prefix + host if joint == ":" else f"{prefix}.{host}"
            nodad = " nodad" if joint == ":" else ""
            _ip(f"-n {name} addr add {address} dev {device}{nodad}")
            _ip(f"-n {name} link set {device} up")

    def remove(self) -> None:
        for name in ("gcks-i1", "gcks-i2", "gcks-i3"):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


def _inside(namespace: str, command: str) -> None:
    subprocess.run(["ip", "netns", "exec", namespace, *command.split()], check=True)


class Process:
    """A daemon in a namespace; its output in a file."""

    def __init__(
        self, namespace: str, command: list[str], output: Path, **environment: str
    ) -> None:
        self.output = output
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", namespace, *command],
                stdout=file, stderr=file, cwd=ROOT, env={**os.environ, **environment},
            )  # fmt: skip

    @property
    def text(self) -> str:
        return self.output.read_text() if self.output.exists() else ""

    def says(self, pattern: str, times: int = 1) -> None:
        wait_for(lambda: len(re.findall(pattern, self.text)) >= times, pattern)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(20)


class Gcks(Process):
    """A key server with one group; `ike`, `server` and `authentication` are lines of YAML."""

    def __init__(
        self,
        directory: Path,
        network: Network,
        ike: str = "",
        server: str = "",
        authentication: str = "",
    ) -> None:
        for name, content in (("psk", SECRET.encode()), ("master.key", secrets.token_bytes(32))):
            (directory / name).write_bytes(content)
            (directory / name).chmod(0o600)
        anchors = "[ca.pem]" if (directory / "ca.pem").exists() else "[]"
        rekey = "ff15::1" if network.six else "239.1.1.1"
        data = "ff15::2" if network.six else "239.1.1.2"
        (directory / "gcks.yaml").write_text(
            f"server: {{identity: 'fqdn:gcks.test'{server}}}\n"
            f"listen: [{{address: '{network.server}'}}]\n"
            "authentication:\n"
            f"  psk: [{{identity: 'fqdn:*.test', secret: 'file:psk'}}]\n"
            f"  trust_anchors: {anchors}\n"
            f"{authentication}"
            f"ike: {{{ike}}}\n"
            "store: {path: gcks.sqlite, master_key: master.key}\n"
            "logging: {format: console, level: debug}\n"
            "groups:\n"
            "  - id: keyid:demo\n"
            "    members: [{identity: 'fqdn:*.test'}]\n"
            f"    rekey: {{address: '{rekey}'}}\n"
            f"    data_sas: [{{name: all, destination: '{data}'}}]\n"
        )
        command = [sys.executable, "-m", "gcks", "serve", str(directory / "gcks.yaml")]
        super().__init__("gcks-i1", command, directory / "gcks.log")
        self.says("group_started")


class StrongSwan(Process):
    """charon with a private configuration, driven by swanctl."""

    def __init__(self, directory: Path, network: Network) -> None:
        self.directory, self.network = directory / "swan", network
        for name in ("x509", "x509ca", "private", "pubkey"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self.uri = f"unix://{self.directory}/charon.vici"
        configuration = self.directory / "strongswan.conf"
        configuration.write_text(
            f"charon {{\n load = {PLUGINS}\n install_routes = no\n"
            f" plugins {{ vici {{ socket = {self.uri} }} }}\n"
            " retransmit_timeout = 1.0\n retransmit_base = 1.5\n retransmit_tries = 4\n"
            " fragment_size = 600\n signature_authentication = yes\n"
            f" filelog {{ all {{ path = {self.directory}/charon.log\n default = 1\n ike = 2\n"
            "  net = 1\n flush_line = yes } }\n}\n"
        )
        self.started = f"{configuration}"
        super().__init__(
            "gcks-i2", [str(CHARON)], self.directory / "output", STRONGSWAN_CONF=self.started
        )
        wait_for(lambda: (self.directory / "charon.vici").exists(), "charon")

    @property
    def text(self) -> str:
        log = self.directory / "charon.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def swanctl(self, *arguments: str) -> str:
        done = subprocess.run(
            ["swanctl", *arguments, "--uri", self.uri],
            capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "SWANCTL_DIR": str(self.directory),
                 "STRONGSWAN_CONF": self.started},
        )  # fmt: skip
        return done.stdout + done.stderr

    def connect(
        self,
        *,
        auth: str = "psk",
        connection: str = "",
        local: str = "",
        remote: str = "",
        certificate: str = "certs = gm1.pem\n",
    ) -> str:
        """Load one connection and bring it up; return what swanctl says."""
        certificate = "" if auth == "psk" else certificate
        theirs = "psk" if auth == "psk" else "pubkey"
        proposals = "" if "proposals" in connection else "proposals = default\n"
        (self.directory / "swanctl.conf").write_text(
            "connections { test {\n version = 2\n childless = force\n mobike = no\n"
            f" local_addrs = {self.network.swan}\n remote_addrs = {self.network.server}\n"
            f" {proposals}{connection}\n"
            f" local {{ auth = {auth}\n {certificate}{local} id = gm1.test }}\n"
            f" remote {{ auth = {theirs}\n {remote} id = gcks.test }}\n"
            f"}} }}\nsecrets {{ ike-1 {{ secret = {SECRET} }} }}\n"
        )
        self.swanctl("--load-all")
        return self.swanctl("--initiate", "--ike", "test", "--timeout", "15")

    def sas(self) -> str:
        return self.swanctl("--list-sas")

    @property
    def established(self) -> int:
        return len(re.findall("ESTABLISHED", self.sas()))
