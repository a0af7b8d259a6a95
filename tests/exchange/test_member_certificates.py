"""GSA_AUTH with X.509 certificates and RFC 7427 signatures, from the member's side.

Shows gcks/member/gsa_auth.py and gcks/crypto/certificates.py.
"""

from __future__ import annotations

import pytest

from gcks.events import RegistrationAttemptFailed
from gcks.ike.credentials import Credentials, PreSharedKey
from tests.support.authority import DAY, KEYS, NOW, Authority
from tests.support.world import SECRET, World, state


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
