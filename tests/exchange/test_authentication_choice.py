"""Several credentials on either side: who proves itself how (RFC 7670, RFC 9593, CERTREQ).

Shows gcks/ike/proof.py and gcks/ike/credentials.py.
"""

from __future__ import annotations

import pytest

from gcks.crypto.certificates import TrustStore, authorities_above
from gcks.crypto.signature import ALGORITHMS, SigningKey, load_public_key
from gcks.events import MemberRegistered, RegistrationAttemptFailed, RegistrationRefused
from gcks.iana import AuthMethod, CertEncoding, ExchangeType, NotifyType
from gcks.ike.credentials import Credentials, OwnCredential, PreSharedKey, RawPublicKey
from gcks.wire.auth_methods import AuthAnnouncement
from gcks.wire.authentication import Authentication
from gcks.wire.certificate import Certificate
from gcks.wire.identification import IDi
from gcks.wire.notify import Notify
from tests.support.authority import Authority
from tests.support.initiator import DEMO, Initiator, Server, only
from tests.support.world import SECRET, World, state

ALL_ECDSA = b"".join(
    AuthAnnouncement(14, 0, one.identifier, linked=True).encode()
    for one in ALGORITHMS.values()
    if one.kind == "ecdsa"
)
PSK = (PreSharedKey("fqdn:*.dev", SECRET),)
SERVER, GM1 = "fqdn:gcks.dev", "fqdn:gm1.dev"


def raw(kind: str = "ed25519") -> OwnCredential:
    return OwnCredential((), SigningKey.generate(kind))


def known(identity: str, own: OwnCredential) -> RawPublicKey:
    spki = own.key.public_spki
    return RawPublicKey(identity, spki, load_public_key(spki))


def meet(server: Credentials, member: Credentials, *, certificate: bool = True) -> tuple[str, str]:
    """Let a member register; return the method that the server saw, or why it failed."""
    world = World(server_credentials=server)
    node = world.member("gm1", credentials=member, certificate=certificate)
    world.run(2.0)
    if state(node) == "registered":
        assert world.network.server is not None
        (event,) = world.network.server.all(MemberRegistered)
        return event.method, ""
    return "", node.all(RegistrationAttemptFailed)[0].cause


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256", "rsa-pss"])
def test_both_sides_prove_themselves_by_raw_public_keys(kind: str) -> None:
    """RFC 7670."""
    own, theirs = raw(kind), raw(kind)
    server = Credentials((), (own,), None, [known(GM1, theirs)])
    member = Credentials((), (theirs,), None, [known(SERVER, own)])
    assert meet(server, member) == ("raw_public_key", "")


def test_a_raw_key_that_is_not_configured_is_refused() -> None:
    own, theirs = raw(), raw()
    server = Credentials((), (own,), None, [known(GM1, raw())])
    member = Credentials((), (theirs,), None, [known(SERVER, own)])
    assert "AUTHENTICATION_FAILED" in meet(server, member)[1]
    server = Credentials((), (own,), None, [known(GM1, theirs)])
    member = Credentials((), (theirs,), None, [known(SERVER, raw())])
    assert "another public key of fqdn:gcks.dev" in meet(server, member)[1]


def test_a_certificate_on_one_side_and_a_raw_key_on_the_other() -> None:
    ca, theirs = Authority(), raw()
    server = Credentials((), (ca.issue("gcks.dev"),), None, [known(GM1, theirs)])
    member = Credentials((), (theirs,), ca.trust)
    assert meet(server, member) == ("raw_public_key", "")


def test_the_server_s_certificate_is_the_one_that_the_member_trusts() -> None:
    """CERTREQ, RFC 7296 section 3.7: one server, two populations of members."""
    old, new = Authority("old"), Authority("new")
    anchors = [*old.trust.anchors, *new.trust.anchors]
    own = tuple(
        OwnCredential(one.chain, one.key, authorities_above(one.chain, anchors))
        for one in (old.issue("gcks.dev"), new.issue("gcks.dev"))
    )
    server = Credentials((), own, TrustStore(anchors))
    for ca in (old, new):
        member = Credentials((), (ca.issue("gm1.dev"),), ca.trust)
        assert meet(server, member) == ("certificate", "")


def test_a_member_with_both_uses_what_the_server_takes() -> None:
    """RFC 9593 section 3.1: the server announces what it verifies."""
    ca = Authority()
    member = Credentials(PSK, (ca.issue("gm1.dev"),), ca.trust)
    assert meet(Credentials(PSK), member)[0] == "psk"
    only_certificates = Credentials((), (ca.issue("gcks.dev"),), ca.trust)
    assert meet(only_certificates, member, certificate=False)[0] == "certificate"
    both = Credentials(PSK, (ca.issue("gcks.dev"),), ca.trust)
    assert meet(both, member)[0] == "certificate"
    assert meet(both, member, certificate=False)[0] == "psk"


def test_a_member_that_the_server_can_t_verify_says_so() -> None:
    ca = Authority()
    assert (
        "verifies none of this member's"
        in meet(Credentials(PSK), Credentials((), (ca.issue("gm1.dev"),), ca.trust))[1]
    )


def test_the_server_proves_itself_by_what_the_member_verifies() -> None:
    """RFC 9593 section 3.1, the other way: a member with a PSK that only verifies signatures."""
    ca = Authority()
    server = Server(credentials=Credentials(PSK, (ca.issue("gcks.dev"),), ca.trust))
    for methods, expected in (
        (b"\x02\x02", AuthMethod.SHARED_KEY_MIC),
        (None, AuthMethod.SHARED_KEY_MIC),
        (ALL_ECDSA, AuthMethod.DIGITAL_SIGNATURE),
    ):
        peer = Initiator()
        peer.meet(server)
        announced = [Notify(NotifyType.SUPPORTED_AUTH_METHODS, methods)] if methods else []
        answer = server.answer(peer.auth(DEMO, *announced), peer)
        auth = next(p for p in peer.read(answer) if isinstance(p, Authentication))
        assert auth.method == expected


def test_a_malformed_announcement_is_invalid_syntax() -> None:
    server, peer = Server(), Initiator()
    peer.meet(server)
    bad = Notify(NotifyType.SUPPORTED_AUTH_METHODS, b"\x00")
    outcome = server.receive(peer.auth(DEMO, bad), peer)
    event = only(outcome, RegistrationRefused)
    assert isinstance(event, RegistrationRefused)
    assert event.notify == NotifyType.INVALID_SYNTAX


def test_an_announcement_that_is_to_come_later_counts_as_none() -> None:
    """RFC 9593 section 3.1: an empty list promises one in IKE_INTERMEDIATE."""
    server, peer = Server(), Initiator()
    peer.meet(server)
    answer = server.answer(peer.auth(DEMO, Notify(NotifyType.SUPPORTED_AUTH_METHODS)), peer)
    assert any(isinstance(p, Authentication) for p in peer.read(answer))


def test_a_raw_key_beside_a_certificate_says_which_key_auth_is_by() -> None:
    """RFC 7670: a stolen certificate beside another's raw key proves nothing."""
    ca, theirs = Authority(), raw()
    credentials = Credentials((), (ca.issue("gcks.dev"),), ca.trust, [known(GM1, theirs)])
    stolen = ca.issue("gm1.dev")
    for signer, refused in ((theirs.key, False), (stolen.key, True)):
        server = Server(credentials=credentials)
        peer = Initiator(certificate=OwnCredential(stolen.chain, signer)).meet(server)
        *certificates, auth = peer.proof()
        both = (*certificates, Certificate(CertEncoding.RAW_PUBLIC_KEY, theirs.key.public_spki))
        request = peer.request(ExchangeType.GSA_AUTH, IDi(peer.identity), *both, auth, DEMO)
        outcome = server.receive(request, peer)
        kind = RegistrationRefused if refused else MemberRegistered
        assert only(outcome, kind)
