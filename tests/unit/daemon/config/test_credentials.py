"""Certificates, CRLs and raw public keys of the two files, and files that change meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gcks.crypto.revocation import Revocation
from gcks.daemon import credential_watch
from gcks.daemon.config.check import Report, check_file
from gcks.daemon.config.loaded import CredentialSource
from gcks.daemon.config.member_file import load_member
from gcks.daemon.config.server_file import load_server
from gcks.daemon.credential_watch import CredentialWatch
from gcks.events import CredentialsNotRenewed, CredentialsRenewed, Event
from gcks.iana import CertEncoding
from gcks.ike.credentials import Credentials
from gcks.member.settings import OwnAuthentication
from tests.support.config_files import write
from tests.support.pem_authority import PemAuthority

SERVER = """
server: {{identity: 'fqdn:gcks.example', {server}}}
listen: [{{address: 192.0.2.1}}]
authentication: {{{authentication}}}
store: {{path: gcks.sqlite, master_key: master.key}}
groups:
  - id: keyid:a
    members: [{{identity: 'fqdn:*.example', send: true}}]
    rekey: {{address: 239.1.1.1}}
    data_sas: [{{name: a, destination: 239.1.1.2}}]
"""
MEMBER = """
identity: fqdn:gm1.example
server: {{address: 192.0.2.1, identity: 'fqdn:gcks.example'}}
authentication: {{{authentication}}}
groups: [{{id: 'keyid:a'}}]
"""
PAIR = "certificate: server.pem, key: server.key"
CA = "trust_anchors: [ca.pem]"
OTHER_KEY = f"{PAIR}, certificates: [{{certificate: server.pem, key: member.key}}]"
OTHER_NAME = f"{PAIR}, certificates: [{{certificate: member.pem, key: member.key}}]"


def server(directory: Path, authentication: str, own: str = PAIR) -> Credentials:
    text = SERVER.format(server=own, authentication=authentication)
    return load_server(write(directory, text)).credentials


def report(directory: Path, authentication: str, own: str = PAIR) -> Report:
    text = SERVER.format(server=own, authentication=authentication)
    return check_file(write(directory, text))


def told(found: Report, *, warnings: bool = False) -> list[tuple[str, str]]:
    return [(one.key, one.text) for one in found.problems if one.warning == warnings]


# --- what the files say -----------------------------------------------------------------


def test_several_certificates_and_a_raw_key_of_the_server(
    directory: Path, authority: PemAuthority
) -> None:
    authority.leaf("second", "gcks.example")
    own = (
        f"{PAIR}, certificates: [{{certificate: second.pem, key: second.key}}, {{key: member.key}}]"
    )
    found = server(directory, "trust_anchors: [ca.pem]", own).own
    assert [len(one.chain) for one in found] == [1, 1, 0]
    assert len(found[0].authorities) == 1, "the CA above it is a trust anchor, so it is known"


def test_members_with_raw_public_keys(directory: Path, authority: PemAuthority) -> None:
    authority.public_key("member")
    found = server(
        directory,
        "raw_public_keys: [{identity: 'fqdn:gm1.example', key: member.pub}]",
        "key: server.key",
    )
    assert len(found.raw_public_keys("fqdn:gm1.example")) == 1
    assert [one.encoding for one in found.requests] == [CertEncoding.RAW_PUBLIC_KEY]


def test_a_member_with_raw_keys_on_both_sides(directory: Path, authority: PemAuthority) -> None:
    authority.public_key("server")
    text = MEMBER.format(authentication="key: member.key, raw_public_keys: [server.pub]")
    config = load_member(write(directory, text))
    assert config.settings.authentication is OwnAuthentication.CERTIFICATE
    assert len(config.credentials.raw_public_keys("fqdn:gcks.example")) == 1
    assert config.credentials.own[0].chain == ()


def test_a_member_may_have_both_a_psk_and_a_certificate(directory: Path) -> None:
    """RFC 9593: the server says what it takes."""
    text = MEMBER.format(
        authentication="psk: 'file:member.psk', certificate: member.pem, key: member.key, "
        "trust_anchors: [ca.pem]"
    )
    found = load_member(write(directory, text)).credentials
    assert found.own and found.find_psk("fqdn:gcks.example")


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("trust_anchors: [ca.pem]", Revocation.OFF),
        ("trust_anchors: [ca.pem], crls: [ca.crl]", Revocation.SOFT),
        ("trust_anchors: [ca.pem], crls: [ca.crl], revocation: hard", Revocation.HARD),
        ("trust_anchors: [ca.pem], revocation: hard", Revocation.HARD),
        ("trust_anchors: [ca.pem], crls: [ca.crl], revocation: ignore", Revocation.OFF),
    ],
)
def test_crls_make_revocation_soft_unless_told_otherwise(
    directory: Path, authority: PemAuthority, text: str, mode: Revocation
) -> None:
    authority.crl("member")
    trust = server(directory, text).trust
    assert trust is not None and trust.revocation.mode is mode
    assert bool(trust.revocation.revoked()) is ("crls" in text and mode is not Revocation.OFF)


@pytest.mark.parametrize(
    ("authentication", "own", "key", "reason"),
    [
        (f"{CA}, crls: [none.crl]", PAIR, "authentication.crls[0]", "can't read"),
        (f"{CA}, crls: [ca.pem]", PAIR, "authentication.crls[0]", "CRL"),
        ("crls: [ca.crl], psk: []", PAIR, "authentication.trust_anchors", "missing"),
        (f"{CA}, revocation: strict", PAIR, "authentication.revocation", "'soft'"),
        (f"{CA}, certificate_end: kill", PAIR, "authentication.certificate_end", "'keep'"),
        ("raw_public_keys: [{identity: 'fqdn:a', key: server.pem}]", PAIR,
         "authentication.raw_public_keys[0].key", "openssl pkey"),
        (CA, f"{PAIR}, ocsp: ca.pem", "server.ocsp", "OCSP"),
        (CA, "certificate: server.pem", "server", "give key too"),
        (CA, OTHER_KEY, "server.certificates[0].key", "is not the key"),
        (CA, OTHER_NAME, "server.certificates[0].certificate", "peers would refuse it"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    directory: Path, authority: PemAuthority, authentication: str, own: str, key: str, reason: str
) -> None:
    authority.crl("member")
    found = told(report(directory, authentication, own))
    assert any(one == key and reason in text for one, text in found), found


def test_a_crl_that_is_out_of_date_is_a_warning(directory: Path, authority: PemAuthority) -> None:
    authority.crl("member", days=-1)
    found = report(directory, "trust_anchors: [ca.pem], crls: [ca.crl]")
    assert found.usable
    assert told(found, warnings=True) == [
        ("authentication.crls[0]", "ca.crl: out of date; fetch a new one")
    ]


# --- files that change ------------------------------------------------------------------


class Watched:
    """A watch over a server's files; `look` stands for the minute that has passed."""

    def __init__(self, directory: Path, authority: PemAuthority) -> None:
        self.directory, self.authority = directory, authority
        authority.crl()
        text = SERVER.format(server=PAIR, authentication="trust_anchors: [ca.pem], crls: [ca.crl]")
        config = load_server(write(directory, text))
        self.taken: list[Credentials] = []
        self.told: list[str] = []
        assert config.credential_source is not None
        self.source = config.credential_source
        self.watch = CredentialWatch(self.source, self.taken.append, self.tell)

    def look(self) -> list[str]:
        asyncio.run(self.watch.look())
        return self.take()

    def tell(self, events: Sequence[Event]) -> None:
        self.told += [event.name for event in events]

    def take(self) -> list[str]:
        """Return what was told since the last time."""
        told, self.told = self.told, []
        return told


@pytest.fixture
def watched(directory: Path, authority: PemAuthority) -> Watched:
    return Watched(directory, authority)


def test_nothing_is_read_while_nothing_changes(watched: Watched) -> None:
    assert watched.look() == watched.look() == []
    assert watched.taken == []


def test_a_new_crl_is_taken_over_once(watched: Watched) -> None:
    watched.authority.crl("member")
    assert watched.look() == ["credentials_renewed"]
    assert watched.look() == []
    (found,) = watched.taken
    assert found.trust is not None and len(found.trust.revocation.revoked()) == 1


def test_a_new_certificate_is_taken_over_with_its_key(watched: Watched) -> None:
    watched.authority.leaf("server", "gcks.example")
    watched.look()
    (found,) = watched.taken
    pem = (watched.directory / "server.pem").read_bytes()
    assert found.own[0].chain[0] == x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


@pytest.mark.parametrize("file", ["ca.crl", "server.pem", "server.key"])
def test_what_can_t_be_read_leaves_everything_as_it_was(watched: Watched, file: str) -> None:
    path = watched.directory / file
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    assert watched.look() == ["credentials_not_renewed"]
    assert watched.look() == [], "said once, not every minute"
    path.write_bytes(good)
    assert watched.look() == ["credentials_renewed"]
    assert len(watched.taken) == 1


def test_a_file_that_goes_and_comes_is_noticed(watched: Watched) -> None:
    path = watched.directory / "ca.crl"
    content = path.read_bytes()
    path.unlink()
    assert watched.look() == ["credentials_not_renewed"]
    path.write_bytes(content)
    os.utime(path, (1, 1))
    assert watched.look() == ["credentials_renewed"]


def test_a_reload_brings_its_own_files(watched: Watched, directory: Path) -> None:
    text = SERVER.format(server=PAIR, authentication="trust_anchors: [ca.pem]")
    config = load_server(write(directory, text))
    watched.watch.use(config.credential_source)
    watched.authority.crl("member")
    assert watched.look() == []
    assert replace(config, credential_source=None) == config, "no part of what a reload compares"


async def test_the_watch_outlives_what_nobody_thought_of(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once dead it would leave CRLs to expire, and one day nobody could register."""
    monkeypatch.setattr(credential_watch, "LOOK_SECONDS", 0.01)
    taken = asyncio.Event()

    def take_over(credentials: Credentials) -> None:
        if not failed:
            failed.append(credentials)
            raise RuntimeError("a mistake of ours")
        taken.set()

    failed: list[Credentials] = []
    watch = CredentialWatch(watched.source, take_over, watched.tell)
    watch.start()
    watched.authority.crl("member")
    async with asyncio.timeout(20):
        while not watched.told:
            await asyncio.sleep(0.01)
        watched.authority.crl()
        await taken.wait()
    watch.stop()
    assert watched.told == ["internal_error", "credentials_renewed"]


def test_a_file_of_the_configuration_that_is_away_is_no_end(
    directory: Path, authority: PemAuthority
) -> None:
    """The PSK in it is checked again together with the files that have changed."""
    psk = f"authentication: {{psk: [{{identity: 'fqdn:b', secret: 'hex:{'22' * 32}'}}]}}\n"
    (directory / "psk.yaml").write_text(psk)
    (directory / "psk.yaml").chmod(0o600)
    text = SERVER.format(server=PAIR, authentication=CA)
    path = write(directory, f"include: [psk.yaml]\n{text}")
    path.chmod(0o600)
    taken: list[Credentials] = []
    told: list[Event] = []
    watch = CredentialWatch(load_server(path).credential_source, taken.append, told.extend)
    (directory / "psk.yaml").unlink()
    for expected in (CredentialsNotRenewed, CredentialsRenewed):
        authority.leaf("server", "gcks.example")
        asyncio.run(watch.look())
        assert isinstance(told.pop(), expected) and not told
        (directory / "psk.yaml").write_text(psk)
        (directory / "psk.yaml").chmod(0o600)
    assert len(taken) == 1


async def test_what_a_reload_overtakes_is_not_taken_over(watched: Watched) -> None:
    """The reload has read newer files than the look that began before it."""
    reading, go = threading.Event(), threading.Event()

    def read() -> Credentials:
        reading.set()
        assert go.wait(20)
        return watched.source.read()

    watched.watch.use(CredentialSource(watched.source.files, read))
    watched.authority.crl("member")
    look = asyncio.create_task(watched.watch.look())
    await asyncio.to_thread(reading.wait, 20)
    watched.watch.use(watched.source)
    go.set()
    await look
    assert watched.taken == []
    await watched.watch.look()
    assert len(watched.taken) == 1


def test_what_changes_after_it_was_read_is_noticed(watched: Watched) -> None:
    """Between the reading of a configuration and the first look at its files may lie seconds."""
    (watched.directory / "ca.crl").touch()
    watched.watch.use(watched.source)
    assert watched.look() == ["credentials_renewed"]
