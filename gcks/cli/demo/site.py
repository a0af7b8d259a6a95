"""The processes of the demonstration, their files, and what they say of themselves."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gcks.cli.client import Client, NoServer
from gcks.errors import LocalError

GROUP: Final = "keyid:demo"
HOST: Final = "127.0.0.1"
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
_KEY_OCTETS: Final = 32

_SERVER: Final = """\
# Written by gcks demo.
server: {{identity: "fqdn:gcks.demo"}}
listen: [{{address: {host}, ike_ports: [{ike}], natt_ports: [{natt}], tcp_ports: []}}]
authentication: {{psk: [{{identity: "fqdn:*.demo", secret: "file:psk"}}]}}
store: {{path: gcks.sqlite, master_key: master.key}}
control: {{path: server.sock}}
logging: {{format: json}}
groups:
  - id: {group}
    key_management: lkh
    members: [{{identity: "fqdn:*.demo", send: true}}]
    atd: 1s
    dtd: 2s
    exclusion_window: 200ms
    rekey: {{address: 239.255.84.{last}, port: {rekey}, source_port: {ike}, spread: 600ms}}
    data_sas:
      - {{name: video, destination: 239.255.85.{last}, destination_port: 5000}}
"""
_MEMBER: Final = """\
# Written by gcks demo.
identity: fqdn:{name}.demo
server: {{address: {host}, port: {ike}, natt_port: {natt}, identity: "fqdn:gcks.demo"}}
local: {{address: {host}, port: 0, natt_port: 0}}
authentication: {{psk: "file:psk"}}
groups: [{{id: "{group}", send: true}}]
data_plane: {{kind: none}}
ike: {{reregister_jitter: 1s, retry_first: 1s, retry_max: 2s}}
control: {{path: {name}.sock}}
logging: {{format: json}}
"""


@dataclass(slots=True)
class MemberState:
    """What a member says of itself; empty where it doesn't answer."""

    name: str
    state: str = "starting"
    rekey_spi: str = ""
    data_spis: tuple[str, ...] = ()
    registrations: int = 0
    rekeys: int = 0
    next_message_id: int = 0
    last_error: str = ""


@dataclass(slots=True)
class SiteState:
    """One look at everybody."""

    rekey_spi: str = ""
    next_message_id: int = 0
    data_spi: str = ""
    members: dict[str, MemberState] = field(default_factory=dict)

    def in_step(self, name: str) -> bool:
        """Tell whether a member holds the group's current keys."""
        member = self.members[name]
        return (
            member.state == "registered"
            and member.rekey_spi == self.rekey_spi != ""
            and self.data_spi in member.data_spis
        )


class Site:
    """A directory with everything, and the processes that run from it."""

    def __init__(self, directory: Path, names: tuple[str, ...]) -> None:
        self.directory, self.names = directory, names
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._clients: dict[str, Client] = {}
        ike, natt, rekey = _free_ports(3)
        self._values = {
            "host": HOST, "ike": ike, "natt": natt, "rekey": rekey, "group": GROUP,
            "last": 1 + secrets.randbelow(250),
        }  # fmt: skip
        self._write()

    def _write(self) -> None:
        for name in ("psk", "master.key"):
            file = self.directory / name
            file.touch(mode=0o600)
            file.write_bytes(secrets.token_bytes(_KEY_OCTETS))
        (self.directory / "gcks.yaml").write_text(_SERVER.format(**self._values))
        for name in self.names:
            text = _MEMBER.format(name=name, **self._values)
            (self.directory / f"{name}.yaml").write_text(text)

    # --- processes ------------------------------------------------------------------

    def start_server(self) -> None:
        """Start the key server and wait until it answers.  Raises `LocalError`."""
        self._start("server", "gcks", "serve", "gcks.yaml")
        self._client("server")

    def start_members(self) -> None:
        """Start all members; they register by themselves."""
        for name in self.names:
            self._start(
                name, "gcks.cli.member_command", "run", "--demo", "--config", f"{name}.yaml"
            )

    def _start(self, name: str, module: str, *arguments: str) -> None:
        with (self.directory / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603  our own programs
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        """End everybody, the members first; who doesn't end in time is killed."""
        for client in self._clients.values():
            client.close()
        for name, process in reversed(self._processes.items()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            if name == next(iter(self._processes)):
                continue
        end = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # --- asking ---------------------------------------------------------------------

    def order(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Order something of the server.  Raises `LocalError`."""
        return self._client("server").ask(do, **arguments)

    def deafen(self, name: str, seconds: float) -> None:
        """Let a member lose all multicast for a while."""
        self._client(name).ask("deafen", seconds=seconds)

    def look(self) -> SiteState:
        """Ask everybody.  Raises `LocalError` where the server has ended."""
        server = self._client("server")
        state = SiteState()
        for sa in server.ask("show", what="sas")["sas"]:
            if sa["state"] == "current" and sa["name"] == "rekey":
                state.rekey_spi = sa["spi"]
            elif sa["state"] == "current":
                state.data_spi = sa["spi"]
        for rekey in server.ask("show", what="rekeys")["rekeys"]:
            state.next_message_id = rekey["next_message_id"]
        for name in self.names:
            state.members[name] = self._member(name)
        return state

    def _member(self, name: str) -> MemberState:
        if name not in self._processes:
            return MemberState(name, "not started")
        try:
            (held,) = self._client(name, patient=False).ask("status")["memberships"]
        except (LocalError, ValueError):
            self._clients.pop(name, None)
            return MemberState(name)
        return MemberState(
            name=name,
            state=held["state"],
            rekey_spi=held["rekey_spi"],
            data_spis=tuple(sa["spi"] for sa in held["data_sas"]),
            registrations=held["registrations"],
            rekeys=held["rekeys"],
            next_message_id=held["next_message_id"],
            last_error=held["last_error"],
        )

    def _client(self, name: str, *, patient: bool = True) -> Client:
        if name not in self._clients:
            end = time.monotonic() + (START_SECONDS if patient else 0.0)
            self._clients[name] = self._connect(name, end)
        return self._clients[name]

    def _connect(self, name: str, end: float) -> Client:
        while True:
            try:
                return Client(self.directory / f"{name}.sock", name)
            except NoServer:
                process = self._processes.get(name)
                if process is not None and process.poll() is not None:
                    raise LocalError(self._last_words(name)) from None
                if time.monotonic() >= end:
                    raise
                time.sleep(0.05)

    def _last_words(self, name: str) -> str:
        text = ""
        with suppress(OSError):
            text = (self.directory / f"{name}.log").read_text().strip()
        return f"{name} has ended: {text.splitlines()[-1] if text else 'without a word'}"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind((HOST, 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
