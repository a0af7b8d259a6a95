"""GSA_AUTH with X.509 certificates and RFC 7427 signatures, from the member's side."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from gcks.crypto.certificates import TrustStore
from gcks.crypto.signature import SigningKey
from gcks.events import RegistrationAttemptFailed
from gcks.ike.credentials import Credentials, OwnCredential, PreSharedKey
from tests.exchange.demo import SECRET, World, state
from tests.exchange.network import WALL_AT_ZERO

NOW = datetime.datetime.fromtimestamp(WALL_AT_ZERO, datetime.UTC)
DAY = datetime.timedelta(days=1)
KEYS = {
    "ed25519": Ed25519PrivateKey.generate,
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


class Authority:
    """A CA for one test."""

    def __init__(self, name: str = "CA", until: datetime.datetime = NOW + 365 * DAY) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._build(self.name, self.key.public_key(), None, until)
        self.trust = TrustStore([self.certificate.public_bytes(Encoding.DER)])

    def _build(self, subject, public, name, until):  # type: ignore[no-untyped-def]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 30 * DAY)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=name is None, path_length=None), critical=True)
        )
        if name is not None:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
            )
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name: str, kind: str = "ecdsa-p256", until=NOW + 30 * DAY) -> OwnCredential:  # type: ignore[no-untyped-def]
        key = KEYS[kind]()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(subject, key.public_key(), name, until)
        pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return OwnCredential(
            (certificate.public_bytes(Encoding.DER),), SigningKey.from_pkcs8(pkcs8)
        )


def meet(server: Credentials, member: Credentials, *, certificate: bool = True) -> tuple[str, str]:
    """Let a member register; return its state and the cause of its failure."""
    world = World(server_credentials=server)
    node = world.member("gm1", credentials=member, certificate=certificate)
    world.run(2.0)
    failures = node.all(RegistrationAttemptFailed)
    if state(node) != "registered":
        assert node.plane.installed == {}
    return state(node), failures[0].cause if failures else ""


@pytest.mark.parametrize("kind", list(KEYS))
def test_both_sides_prove_themselves_by_certificate(kind: str) -> None:
    """RFC 7427 section 3."""
    ca = Authority()
    server = Credentials(own=(ca.issue("gcks.dev", kind),), trust=ca.trust)
    member = Credentials(own=(ca.issue("gm1.dev", kind),), trust=ca.trust)
    assert meet(server, member) == ("registered", "")


def test_a_server_from_another_ca_is_refused() -> None:
    ca, other = Authority(), Authority("other")
    server = Credentials(own=(other.issue("gcks.dev"),), trust=ca.trust)
    member = Credentials(own=(ca.issue("gm1.dev"),), trust=ca.trust)
    found, cause = meet(server, member)
    assert found == "waiting"
    assert "certificate" in cause


def test_a_server_certificate_for_another_name_is_refused() -> None:
    """RFC 4945 section 3.1: the certificate must name the configured identity."""
    ca = Authority()
    server = Credentials(own=(ca.issue("evil.dev"),), trust=ca.trust)
    member = Credentials(own=(ca.issue("gm1.dev"),), trust=ca.trust)
    assert meet(server, member)[0] == "waiting"


def test_an_expired_server_certificate_is_refused() -> None:
    ca = Authority()
    server = Credentials(own=(ca.issue("gcks.dev", until=NOW - DAY),), trust=ca.trust)
    member = Credentials(own=(ca.issue("gm1.dev"),), trust=ca.trust)
    found, cause = meet(server, member)
    assert found == "waiting"
    assert "certificate" in cause


def test_a_server_certificate_without_trust_anchor_is_refused() -> None:
    ca = Authority()
    server = Credentials(own=(ca.issue("gcks.dev"),), trust=ca.trust)
    member = Credentials(own=(ca.issue("gm1.dev"),))
    found, cause = meet(server, member)
    assert found == "waiting"
    assert "no trust anchors are configured" in cause


def test_a_member_without_certificate_says_so_before_it_sends_anything() -> None:
    ca = Authority()
    server = Credentials(own=(ca.issue("gcks.dev"),), trust=ca.trust)
    found, cause = meet(server, Credentials(trust=ca.trust))
    assert found == "waiting"
    assert cause == "no certificate is configured"


def test_a_member_without_psk_says_so() -> None:
    server = Credentials((PreSharedKey("fqdn:*.dev", SECRET),))
    found, cause = meet(server, Credentials(), certificate=False)
    assert found == "waiting"
    assert "no pre-shared key is configured for fqdn:gcks.dev" in cause
