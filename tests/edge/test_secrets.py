"""No key is anywhere but in the key log: not in logs, answers, metrics, nor the store's file."""

from __future__ import annotations

import base64
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from gcks.cli.client import Client
from gcks.daemon.config.member_file import load_member
from gcks.daemon.config.server_file import load_server
from tests.support.daemon_process import MEMBER, SERVE, Daemon
from tests.support.free_ports import free_ports
from tests.support.site import GROUP, JOIN, Site

PIECE_OCTETS = 16
"""So much of a key is a leak, too."""
SUBJECTS = (
    "server", "groups", "members", "sas", "rekeys", "senders", "census", "exclusions", "features",
)  # fmt: skip
KEYS = {
    "ike_sa": ("sk_ei", "sk_er", "sk_ai", "sk_ar"),
    "rekey_sa": ("gsk_e", "gsk_a", "gsk_w"),
    "data_sa": ("key_e", "key_a"),
}


class Watched(Site):
    """A site where everything is said that can be, and keys are logged."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.urls: list[str] = []
        self.psks = {"psk": self._secret("psk"), "wrong": self._secret("wrong")}
        self.config.write_text(self._say_all(self.text()))

    def _secret(self, name: str) -> bytes:
        octets = os.urandom(32)
        (self.directory / name).write_bytes(octets)
        (self.directory / name).chmod(0o600)
        return octets

    def _say_all(self, text: str) -> str:
        (port,) = free_ports(1)
        self.urls.append(f"http://127.0.0.1:{port}/metrics")
        text = text.replace("format: json", "format: json, level: debug")
        text = text.replace("format: console", "format: console, level: debug")
        return f"{text}metrics: {{listen: '127.0.0.1:{port}'}}\n"

    def _start(self, command: list[str], name: str) -> Daemon:
        keys = ["--key-log", str(self.directory / f"{name}.keys")]
        daemon = Daemon([*command, *keys], self.directory / f"{name}.log")
        self.daemons.append(daemon)
        return daemon

    def serve(self) -> Daemon:
        daemon = self._start([*SERVE, str(self.config)], "server")
        daemon.says("group_started")
        return daemon

    def join(self, name: str, psk: str = "psk") -> Daemon:  # type: ignore[override]
        file = self.directory / f"{name}.yaml"
        text = JOIN.format(name=name, local="", **vars(self)).replace("file:psk", f"file:{psk}")
        file.write_text(self._say_all(text))
        return self._start([*MEMBER, "--config", str(file)], name)

    def break_configuration(self) -> None:
        """Put the key itself where it doesn't go, as somebody might who types it."""
        self.config.chmod(0o600)
        key = self.psks["psk"].hex()
        self.config.write_text(
            self.config.read_text().replace("secret: 'file:psk'", f"secret: 'hex:{key}zz'")
        )

    @property
    def secrets(self) -> set[bytes]:
        """Every key that this test can know."""
        found = {*self.psks.values(), (self.directory / "master.key").read_bytes()}
        kinds = set()
        for file in self.directory.glob("*.keys"):
            for line in file.read_text().splitlines()[1:]:
                entry = json.loads(line)
                kinds.add(entry["type"])
                found |= {bytes.fromhex(entry[name]) for name in KEYS[entry["type"]]}
        assert kinds == set(KEYS)
        return found - {b""}


def forms(secret: bytes) -> Iterator[bytes]:
    """Yield how each piece of a secret may be written."""
    for start in range(0, len(secret) - PIECE_OCTETS + 1, PIECE_OCTETS // 2):
        piece = secret[start : start + PIECE_OCTETS]
        yield piece
        yield piece.hex().encode()
        yield piece.hex().upper().encode()
        yield repr(piece)[2:-1].encode()
        yield json.dumps(piece.decode("latin-1"))[1:-1].encode()
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            for before in range(3):  # wherever in a longer text it begins
                yield encode(bytes(before) + piece)[4 if before else 0 : -4]


def leaks(secrets: set[bytes], octets: bytes) -> list[bytes]:
    return [form for secret in secrets for form in forms(secret) if form in octets]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Watched]:
    site = Watched(tmp_path)
    yield site
    for daemon in site.daemons:
        daemon.stop(9)


def test_no_secret_leaves_by_anything_but_the_key_log(site: Watched) -> None:
    said: dict[str, bytes] = {}

    def keep(name: str, text: str, *must_hold: str) -> None:
        assert all(one in text for one in must_hold), (name, text)
        said[name] = text.encode()

    server = site.serve()
    members = [site.join(name) for name in ("gm1", "gm2", "gm3")]
    for member in members:
        member.says("registered ")
    site.join("gm4", psk="wrong").says("AUTHENTICATION_FAILED")
    site.gcks("rekey", GROUP)
    site.gcks("exclude", GROUP, "fqdn:gm2.test", "--now")
    members[0].says("rekey_received", 3)
    keep("plan", site.gcks("plan"))
    keep("repr", repr(load_server(site.config)), "ServerConfig(")
    keep("repr of a member's", repr(load_member(site.directory / "gm1.yaml")), "MemberConfig(")
    site.break_configuration()
    keep("reload", site.gcks("reload", code=1), "authentication.psk[0].secret")
    keep("plan of the broken", site.gcks("plan", code=1), "authentication.psk[0].secret")
    keep("check", site.gcks("check", str(site.config), code=1), "secret")
    keep("check --json", site.gcks("check", "--json", str(site.config), code=1), "secret")
    with Client(site.directory / "control.sock") as client:
        for subject in SUBJECTS:
            keep(f"show {subject} --json", json.dumps(client.ask("show", what=subject)))
    for subject in ("members", "sas", "rekeys"):
        keep(f"show {subject}", site.gcks("show", subject))
    keep("events", site.gcks("events", "--last", "1000"), "registration_refused", "rekey_sent")
    keep("events --json", site.gcks("events", "--last", "1000", "--json"), "operator_excluded")
    for arguments in (("status",), ("status", "--json")):
        at = ("--socket", str(site.directory / "gm1.sock"))
        keep(f"gcks-member {arguments}", site.member(*arguments, *at), GROUP)
    for url in site.urls:
        with urllib.request.urlopen(url, timeout=5) as page:
            keep(url, page.read().decode(), "_loop_lag_seconds")
    store = b"".join(one.read_bytes() for one in site.directory.glob("gcks.sqlite*"))
    for daemon in site.daemons:
        assert daemon.stop() == 0
    keep("server.log", server.text, '"level": "debug"', "reload_refused", "registration_refused")
    for daemon in site.daemons[1:]:
        keep(daemon.output.name, daemon.text, "debug")
    keep("audit.log", (site.directory / "audit.log").read_text(), "registration_refused")
    said["store"] = store
    said["store, closed"] = (site.directory / "gcks.sqlite").read_bytes()
    secrets = site.secrets
    print(f"{len(secrets)} secrets, {len(said)} texts, {sum(map(len, said.values()))} octets")
    assert leaks(secrets, b"".join(one.read_bytes() for one in site.directory.glob("*.keys")))
    assert {name: found for name, text in said.items() if (found := leaks(secrets, text))} == {}


@pytest.mark.parametrize("before", range(4))
def test_every_way_to_write_a_key_is_found(before: int) -> None:
    key = os.urandom(36)
    octets = os.urandom(before) + key + os.urandom(5)
    for written in (
        octets,
        octets.hex().encode(),
        octets.hex().upper().encode(),
        repr(octets).encode(),
        json.dumps(octets.decode("latin-1")).encode(),
        base64.b64encode(octets),
        base64.urlsafe_b64encode(octets),
    ):
        assert leaks({key}, written)
        assert not leaks({os.urandom(36)}, written)
