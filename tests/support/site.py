"""One real server with its configuration, its members, and what its operator does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from generated_by.answers import VIEWS
from tests.support.daemon_process import MEMBER, SERVE, Daemon
from tests.support.free_ports import free_ports
from tests.support.repository import ROOT
from tests.support.waiting import wait_for

GROUP = "keyid:ops"
CONFIG = """
server: {{identity: 'fqdn:gcks.test'}}
listen: [{{address: 127.0.0.1, ike_ports: [{port}], natt_ports: [{natt}], tcp_ports: []}}]
authentication: {{psk: [{{identity: 'fqdn:gm*.test', secret: 'file:psk'}}]}}
store: {{path: gcks.sqlite, master_key: master.key}}
control: {{path: control.sock}}
audit: {{path: audit.log}}
logging: {{format: json}}
groups:
  - id: keyid:ops
    key_management: {keys}
    members: [{{identity: 'fqdn:gm*.test', send: true}}]
    atd: 1s
    dtd: 2s
    exclusion_window: {window}
    rekey: {{address: '239.255.84.77', port: {rekey_port}, source_port: {port}, spread: 500ms}}
    data_sas:
      - {{name: one, destination: '239.255.84.78', destination_port: 5000, suite: {suite}}}
"""
JOIN = """
identity: fqdn:{name}.test
server: {{address: 127.0.0.1, port: {port}, natt_port: {natt}, identity: 'fqdn:gcks.test'}}
local: {{address: 127.0.0.1, port: 0, natt_port: 0{local}}}
authentication: {{psk: 'file:psk'}}
groups: [{{id: 'keyid:ops', send: true}}]
data_plane: {{kind: none}}
control: {{path: '{name}.sock'}}
ike: {{reregister_jitter: 0s}}
logging: {{format: console}}
"""


class Site:
    """A directory with a server's configuration and its members'."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.options: dict[str, Any] = {"keys": "lkh", "suite": "aes256gcm16", "window": "100ms"}
        self.port, self.natt, self.rekey_port = free_ports(3)
        for name in ("psk", "master.key"):
            (directory / name).write_bytes(os.urandom(32))
            (directory / name).chmod(0o600)
        self.write()
        self.daemons: list[Daemon] = []
        self.started_by: list[str] = []
        """What the server is started by, with its arguments; nothing: directly."""

    @property
    def config(self) -> Path:
        return self.directory / "gcks.yaml"

    def text(self, **options: Any) -> str:
        return CONFIG.format(**vars(self), **{**self.options, **options})

    def write(self, **options: Any) -> None:
        self.config.write_text(self.text(**options))

    def serve(self) -> Daemon:
        command = [*self.started_by, *SERVE, str(self.config)]
        daemon = Daemon(command, self.directory / "server.log")
        self.daemons.append(daemon)
        control, process = self.directory / "control.sock", daemon.process
        wait_for(lambda: control.exists() or process.poll() is not None, "the control socket")
        assert control.exists(), daemon.text
        daemon.says("group_started", len(self.daemons))
        return daemon

    def join(self, name: str, local: str = "") -> Daemon:
        file = self.directory / f"{name}.yaml"
        file.write_text(JOIN.format(name=name, local=local and f", {local}", **vars(self)))
        daemon = Daemon([*MEMBER, "--config", str(file)], self.directory / f"{name}.log")
        self.daemons.append(daemon)
        return daemon

    def gcks(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gcks", *arguments],
            capture_output=True, text=True, timeout=30, cwd=ROOT, stdin=subprocess.DEVNULL,
            env={**os.environ, "GCKS_CONTROL": str(self.directory / "control.sock")},
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def member(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gcks.cli.member_command", *arguments],
            capture_output=True, text=True, timeout=30, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def ask(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Return the JSON answer, held against its schema."""
        answer: dict[str, Any] = json.loads(self.gcks(*arguments, "--json", code=code))
        subject = arguments[1] if arguments[0] == "show" else arguments[0]
        schema = VIEWS[subject].model_json_schema(mode="serialization")
        Draft202012Validator(schema).validate(answer)
        assert answer["schema_version"] == 1
        return answer
