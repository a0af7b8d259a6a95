"""Debian's strongSwan as the initiator of a childless IKE SA with our key server (RFC 6023)."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.certificate_chains import KEYS, Chain, pem, write_key
from tests.support.strongswan import Gcks, Network, Process, StrongSwan, needs_strongswan
from tests.support.waiting import wait_for

pytestmark = needs_strongswan

CERTIFICATE = ", certificate: gcks.pem, key: gcks.key"
Start = Callable[..., tuple[Gcks, StrongSwan]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Process] = []
    networks: list[Network] = []

    def go(
        ike: str = "",
        *,
        idle: str = "1h",
        network: Network | None = None,
        chain: Chain | None = None,
        server: str = "",
        authentication: str = "",
    ) -> tuple[Gcks, StrongSwan]:
        place = network or Network()
        networks.append(place)
        place.make()
        if chain is not None:
            chain.write(tmp_path)
        certificate = CERTIFICATE if chain else ""
        gcks = Gcks(tmp_path, place, f"idle: {idle}{ike}", certificate + server, authentication)
        running.append(gcks)
        swan = StrongSwan(tmp_path, place)
        running.append(swan)
        return gcks, swan

    yield go
    for process in running:
        process.stop()
    for place in networks:
        place.remove()
    assert not [one for one in running if isinstance(one, Gcks) and "Traceback" in one.text]


def established(swan: StrongSwan, said: str) -> None:
    assert "established between" in said, said + swan.text[-3000:]
    assert swan.established == 1


@pytest.mark.parametrize(
    "proposal",
    [
        "aes256gcm16-prfsha256-x25519",
        "aes128gcm16-prfsha384-ecp256",
        "aes256-sha256-prfsha512-ecp384",
        "aes128-sha384-modp2048",
        "aes256-sha512-modp3072",
        "chacha20poly1305-prfsha256-x25519",
    ],
)
def test_pre_shared_key_with_every_kind_of_suite(start: Start, proposal: str) -> None:
    _, swan = start()
    established(swan, swan.connect(connection=f"proposals = {proposal}"))


@pytest.mark.parametrize(
    ("kind", "auth"),
    [
        ("ecdsa-p256", "ecdsa-256-sha256"),
        ("ecdsa-p384", "ecdsa-384-sha384"),
        ("ed25519", "pubkey"),
        ("rsa", "rsa/pss-sha256"),
    ],
)
def test_certificates_and_signatures_of_every_kind(start: Start, kind: str, auth: str) -> None:
    """RFC 7427: both sides sign, both sides verify."""
    gcks, swan = start(chain=Chain(kind))
    established(swan, swan.connect(auth=auth))
    gcks.says("method=certificate")


def test_a_revoked_certificate_is_refused(start: Start, tmp_path: Path) -> None:
    """RFC 5280 section 6.3; the operator learns why."""
    chain = Chain("ecdsa-p256")
    (tmp_path / "ca.crl").write_bytes(chain.crl())
    gcks, swan = start(chain=chain, authentication="  crls: [ca.crl]\n  revocation: hard\n")
    established(swan, swan.connect(auth="pubkey"))
    mine = x509.load_pem_x509_certificate((tmp_path / "swan" / "x509" / "gm1.pem").read_bytes())
    (tmp_path / "ca.crl").write_bytes(chain.crl(mine))
    gcks.process.send_signal(signal.SIGHUP)
    gcks.says("reloaded")
    swan.swanctl("--terminate", "--ike", "test")
    assert "AUTHENTICATION_FAILED" in swan.connect(auth="pubkey")
    gcks.says("registration_refused .*CN=gm1.test: revoked")


def test_certreq_chooses_among_our_certificates(start: Start, tmp_path: Path) -> None:
    """RFC 7296 section 3.7: strongSwan names the CA that it trusts."""
    stranger, chain = Chain("ed25519"), Chain("ecdsa-p256")
    key, certificate = stranger.leaf("gcks.test")
    (tmp_path / "first.pem").write_bytes(pem(certificate))
    write_key(tmp_path / "first.key", key)
    others = ", certificates: [{certificate: gcks.pem, key: gcks.key}]"
    first = ", certificate: first.pem, key: first.key"
    chain.write(tmp_path)
    _, swan = start(server=first + others)
    established(swan, swan.connect(auth="pubkey"))
    assert 'received end entity cert "CN=gcks.test"' in swan.text


def test_raw_public_keys_on_both_sides(start: Start, tmp_path: Path) -> None:
    """RFC 7670 section 5: each side knows the other's key from its configuration."""
    (tmp_path / "swan" / "private").mkdir(parents=True)
    (tmp_path / "swan" / "pubkey").mkdir()
    ours, theirs = KEYS["ecdsa-p256"](), KEYS["ecdsa-p256"]()
    write_key(tmp_path / "gcks.key", ours)
    write_key(tmp_path / "swan" / "private" / "gm1.pem", theirs)
    for path, key in (
        (tmp_path / "gm1.pub", theirs),
        (tmp_path / "swan" / "pubkey" / "gm1.pem", theirs),
        (tmp_path / "swan" / "pubkey" / "gcks.pem", ours),
    ):
        public = key.public_key()
        path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    gcks, swan = start(
        server=", key: gcks.key",
        authentication="  raw_public_keys: [{identity: 'fqdn:gm1.test', key: gm1.pub}]\n",
    )
    said = swan.connect(
        auth="pubkey", certificate="pubkeys = gm1.pem\n", remote="pubkeys = gcks.pem\n"
    )
    established(swan, said)
    gcks.says("method=raw_public_key")


def test_a_large_chain_goes_in_fragments_both_ways(start: Start) -> None:
    """RFC 7383."""
    _, swan = start(", fragment_size: 500", chain=Chain("rsa-large", intermediates=2))
    established(swan, swan.connect(auth="rsa/pss-sha256", connection="fragmentation = force"))
    assert re.search("received fragment #[0-9]+ of [0-9]+", swan.text)
    assert re.search("splitting IKE message .* into [0-9]+ fragments", swan.text)


def test_a_cookie_is_given_back(start: Start) -> None:
    """RFC 7296 section 2.6."""
    gcks, swan = start(", cookie_threshold: 0")
    established(swan, swan.connect())
    gcks.says("cookie_required")
    assert "N(COOKIE)" in swan.text


def test_another_key_exchange_method_is_asked_for(start: Start) -> None:
    """RFC 7296 section 1.2: INVALID_KE_PAYLOAD."""
    _, swan = start()
    proposals = "proposals = aes256gcm16-prfsha256-modp2048-x25519"
    established(swan, swan.connect(connection=proposals))
    assert "INVALID_KE_PAYLOAD" in swan.text or "N(INVAL_KE)" in swan.text


def test_strongswan_rekeys_and_deletes(start: Start) -> None:
    """RFC 7296 sections 1.3.2, 1.4.1."""
    gcks, swan = start()
    established(swan, swan.connect())
    for count in (1, 2, 3):
        assert "rekey completed" in swan.swanctl("--rekey", "--ike", "test")
        gcks.says("ike_sa_rekeyed .*by_peer=True", count)
    wait_for(lambda: swan.established == 1, "the newest IKE SA alone")
    assert "IKE_SA deleted" in swan.swanctl("--terminate", "--ike", "test")
    gcks.says("closed by the peer", 4)


def test_we_rekey_and_strongswan_follows(start: Start) -> None:
    """RFC 7296 section 1.3.2: our request, our Delete of the old SA."""
    gcks, swan = start(", rekey_after: 2s")
    established(swan, swan.connect())
    gcks.says("ike_sa_rekeyed .*by_peer=False", 3)
    wait_for(lambda: swan.established == 1, "the newest IKE SA alone")
    assert "rekeyed between" in swan.text


def test_liveness_checks_from_both_sides(start: Start) -> None:
    """RFC 7296 section 2.4."""
    _, swan = start(", liveness: 2s")
    established(swan, swan.connect(connection="dpd_delay = 3s"))
    swan.says(r"parsed INFORMATIONAL request [0-9]+ \[ \]", 2)
    wait_for(lambda: swan.established == 1, "still there")


def test_strongswan_notices_that_we_are_gone(start: Start) -> None:
    gcks, swan = start()
    established(swan, swan.connect(connection="dpd_delay = 1s"))
    gcks.stop()
    wait_for(lambda: swan.established == 0, "given up")


def test_we_delete_what_is_idle(start: Start) -> None:
    """RFC 9838 section 2.3.4."""
    gcks, swan = start(idle="2s")
    established(swan, swan.connect())
    gcks.says("registration is over")
    wait_for(lambda: swan.established == 0, "closed")
    assert "received DELETE for IKE_SA" in swan.text


def test_authentication_once_more(start: Start) -> None:
    """strongSwan's own reauthentication wants a Child SA to recreate: close, and come again."""
    gcks, swan = start()
    established(swan, swan.connect())
    swan.swanctl("--terminate", "--ike", "test")
    established(swan, swan.connect())
    gcks.says("peer_authenticated", 2)


def test_initial_contact_ends_the_sa_of_a_killed_strongswan(start: Start, tmp_path: Path) -> None:
    """RFC 7296 section 2.4."""
    gcks, swan = start()
    established(swan, swan.connect())
    swan.stop(signal.SIGKILL)
    (swan.directory / "charon.vici").unlink()
    again = StrongSwan(tmp_path, swan.network)
    try:
        established(again, again.connect())
        gcks.says("initial contact")
    finally:
        again.stop()


@pytest.mark.parametrize("port", [500, 848])
def test_behind_a_nat_the_peer_moves_to_4500(start: Start, port: int) -> None:
    """RFC 7296 section 2.23, RFC 9838 section 2.1.1: whichever port it began on."""
    gcks, swan = start(network=Network(nat=True))
    established(swan, swan.connect(connection=f"remote_port = {port}"))
    assert "local host is behind NAT" in swan.text
    assert re.search(r"sending packet: .*\[4500\] to 10.10.0.1\[4500\]", swan.text)
    gcks.says("peer_authenticated .*remote=10.10.0.9:")
    assert "rekey completed" in swan.swanctl("--rekey", "--ike", "test")


def test_over_ipv6(start: Start) -> None:
    gcks, swan = start(network=Network(six=True))
    established(swan, swan.connect())
    gcks.says(r"peer_authenticated .*remote=\[fd00:10::2\]:")


@pytest.mark.parametrize("secret", ["another secret that is long enough"])
def test_a_wrong_secret_is_refused_and_told(start: Start, secret: str) -> None:
    gcks, swan = start()
    (swan.directory.parent / "psk").write_text(secret)
    gcks.stop()
    again = Process("gcks-i1", gcks.process.args[4:], swan.directory.parent / "again.log")  # type: ignore[index]
    try:
        again.says("group_started")
        assert "AUTHENTICATION_FAILED" in swan.connect() + swan.text or "AUTH_FAILED" in swan.text
        again.says("AUTHENTICATION_FAILED")
    finally:
        again.stop()
    assert swan.established == 0
