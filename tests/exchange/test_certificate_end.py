"""Certificates that expire or are revoked while their member is registered.

Shows gcks/keyserver and gcks/crypto/revocation.py.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from math import inf

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gcks.crypto.certificates import TrustStore
from gcks.crypto.revocation import Crl, Revocation
from gcks.events import (
    IkeSaClosed,
    MemberCertificateEnded,
    MemberLeft,
    RegistrationAttemptFailed,
    RekeyReceived,
)
from gcks.ike.credentials import Credentials
from gcks.journal import MemberSaved
from gcks.keyserver.commands import Reload, RenewCredentials
from gcks.keyserver.groups.certificate_end import CHECK_SECONDS
from gcks.keyserver.groups.policy import LKH, GroupPolicy
from tests.support.authority import DAY, NOW, Authority
from tests.support.world import SERVER_SETTINGS, MemberNode, World, group_policy, keys_of, state

LIFETIME = 1000.0

INBAND = replace(group_policy(), rekey=None)
MULTICAST = group_policy()
TREE = replace(MULTICAST, key_management=LKH)
SOON = 100.0


class Scene:
    """Two members with certificates; that of gm1 is the one that ends."""

    def __init__(self, policy: GroupPolicy, *, removes: bool, until: datetime.datetime) -> None:
        self.ca = Authority()
        self.short = self.ca.issue("gm1.dev", until=until)
        self.credentials = Credentials((), (self.ca.issue("gcks.dev"),), self.ca.trust)
        settings = replace(SERVER_SETTINGS, remove_on_certificate_end=removes)
        self.world = World(groups=(policy,), settings=settings, server_credentials=self.credentials)
        self.gm1 = self.member("gm1", self.short)
        self.gm2 = self.member("gm2", self.ca.issue("gm2.dev"))

    def member(self, name: str, own) -> MemberNode:  # type: ignore[no-untyped-def]
        credentials = Credentials((), (own,), self.ca.trust)
        return self.world.member(name, credentials=credentials, certificate=True)

    def revoke(self) -> None:
        """Give the server a CRL that names gm1's certificate."""
        serial = x509.load_der_x509_certificate(self.short.chain[0]).serial_number
        revoked = (
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW).build()
        )
        crl = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.ca.name)
            .last_update(NOW)
            .next_update(NOW + DAY)
            .add_revoked_certificate(revoked)
            .sign(self.ca.key, hashes.SHA256())
        )
        trust = TrustStore(
            self.ca.trust.anchors, [Crl(crl.public_bytes(Encoding.DER))], Revocation.SOFT
        )
        renewed = Credentials((), self.credentials.own, trust)
        network = self.world.network
        outcome = self.world.server.command(RenewCredentials(renewed), network.now)
        network.server_did(outcome)

    def events(self, kind: type) -> list:  # type: ignore[type-arg]
        assert self.world.network.server is not None
        return self.world.network.server.all(kind)

    @property
    def current(self) -> set[tuple[bytes, bytes]]:
        group = self.world.server.groups["keyid:demo"]
        return {(sa.spi, sa.keymat) for sa in group.sas.data}


def ended(policy: GroupPolicy, cause: str, *, removes: bool) -> Scene:
    """Let the time come, or the CRL."""
    expires = cause == "certificate_expired"
    until = NOW + datetime.timedelta(seconds=SOON) if expires else NOW + 30 * DAY
    scene = Scene(policy, removes=removes, until=until)
    scene.world.run(SOON / 2)
    assert state(scene.gm1) == state(scene.gm2) == "registered"
    if not expires:
        scene.revoke()
    scene.world.run(SOON + CHECK_SECONDS + 5)
    (event,) = scene.events(MemberCertificateEnded)
    assert event == MemberCertificateEnded("keyid:demo", "fqdn:gm1.dev", cause, removes)
    return scene


@pytest.mark.parametrize("cause", ["certificate_expired", "certificate_revoked"])
@pytest.mark.parametrize("policy", [INBAND, MULTICAST], ids=["inband", "multicast"])
def test_keep_reports_it_once_and_goes_on(policy: GroupPolicy, cause: str) -> None:
    scene = ended(policy, cause, removes=False)
    scene.world.run(2 * LIFETIME)
    assert len(scene.events(MemberCertificateEnded)) == 1
    assert state(scene.gm1) == "registered"
    assert scene.current <= keys_of(scene.gm1)


@pytest.mark.parametrize("cause", ["certificate_expired", "certificate_revoked"])
@pytest.mark.parametrize("policy", [INBAND, TREE], ids=["inband", "tree"])
def test_remove_shuts_a_member_out(policy: GroupPolicy, cause: str) -> None:
    """Everybody else has new keys, over the IKE SAs or by the tree."""
    scene = ended(policy, cause, removes=True)
    scene.world.run(scene.world.network.now + 10.0)
    assert [event.cause for event in scene.events(MemberLeft)] == [cause]
    assert scene.world.server.groups["keyid:demo"].state.members.identities() == ("fqdn:gm2.dev",)
    assert scene.gm1.all(IkeSaClosed)
    assert scene.gm2.all(RekeyReceived)
    assert scene.current <= keys_of(scene.gm2)
    assert not scene.current & keys_of(scene.gm1)
    scene.world.run(2 * LIFETIME)
    assert state(scene.gm1) != "registered"
    assert scene.gm1.all(RegistrationAttemptFailed)
    assert state(scene.gm2) == "registered"


def test_remove_ends_the_membership_where_rekeys_are_multicast() -> None:
    scene = ended(MULTICAST, "certificate_revoked", removes=True)
    assert scene.world.server.groups["keyid:demo"].state.members.identities() == ("fqdn:gm2.dev",)


def test_an_ike_sa_doesn_t_outlive_the_certificate_that_made_it() -> None:
    """Else its owner could go on registering by GSA_REGISTRATION."""
    scene = Scene(MULTICAST, removes=True, until=NOW + 30 * DAY)
    settings = replace(scene.world.settings, ike_sa_idle_seconds=1000.0)
    world = scene.world
    reload = Reload(settings, world.server.credentials, world.policies)
    world.network.server_did(world.server.command(reload, world.network.now))
    scene.world.run(SOON / 2)
    late = scene.member("gm1", scene.short)
    scene.world.run(SOON / 2 + 5)
    assert state(late) == "registered"
    assert scene.world.server.ike_sas.of_peer("fqdn:gm1.dev")
    scene.revoke()
    scene.world.run(SOON / 2 + 10)
    assert not scene.world.server.ike_sas.of_peer("fqdn:gm1.dev")


def test_a_restart_forgets_no_certificate() -> None:
    """What ends a membership is in the journal with it."""
    until = NOW + datetime.timedelta(seconds=SOON)
    scene = Scene(MULTICAST, removes=True, until=until)
    scene.world.run(SOON / 2)
    scene.world.start_server()
    scene.world.run(SOON + CHECK_SECONDS + 5)
    assert [event.identity for event in scene.events(MemberCertificateEnded)] == ["fqdn:gm1.dev"]
    scene.world.start_server()
    scene.revoke()
    assert scene.world.server.groups["keyid:demo"].state.members.identities() == ("fqdn:gm2.dev",)


def test_a_thousand_that_expire_at_once_are_all_reported_within_the_same_check() -> None:
    scene = Scene(MULTICAST, removes=False, until=NOW + datetime.timedelta(seconds=SOON))
    scene.world.run(10.0)
    group = scene.world.server.groups["keyid:demo"]
    for number in range(2, 1000):
        name, ends = f"fqdn:gm{number}.dev", NOW.timestamp() + SOON
        group.state.members.put(
            MemberSaved(group.name, name, "10.0.0.1", (), b"", 0.0, certificate_ends=ends)
        )
    scene.world.run(SOON + CHECK_SECONDS + 5)
    told = [event.identity for event in scene.events(MemberCertificateEnded)]
    others = {f"fqdn:gm{number}.dev" for number in range(2, 1000)}
    assert len(told) == len(set(told)) and set(told) == {"fqdn:gm1.dev", *others}


def test_members_without_certificate_cost_no_timer() -> None:
    world = World(groups=(MULTICAST,))
    member = world.member("gm1")
    world.run(10.0)
    assert state(member) == "registered"
    assert world.server.groups["keyid:demo"].certificates_at == inf
