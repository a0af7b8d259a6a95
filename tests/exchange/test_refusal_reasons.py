"""Every reason for which a registration is refused: one scene, one event, a cause and a remedy.

Shows gcks/errors.py and gcks/keyserver/failures.py.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gcks.crypto.certificates import TrustStore
from gcks.crypto.revocation import Crl, Revocation
from gcks.errors import RefusalReason as R
from gcks.events import (
    MemberLeft,
    RegistrationAbandoned,
    RegistrationRefused,
    RequestRefused,
)
from gcks.iana import AuthMethod, ExchangeType, IdType, NotifyType
from gcks.ike.credentials import Credentials, OwnCredential, PreSharedKey
from gcks.ike.keywords import parse_ike
from gcks.ike.negotiation import without_kwa
from gcks.keyserver.commands import Exclude
from gcks.keyserver.groups.exclusions import IDENTITY
from gcks.keyserver.groups.policy import MemberRule
from gcks.wire.authentication import Authentication
from gcks.wire.identification import Identity, IDg, IDi
from gcks.wire.notify import Notify
from gcks.wire.traffic_selector import TrafficSelector
from tests.support.authority import DAY, NOW, Authority
from tests.support.handshakes import fragments, met, sag
from tests.support.initiator import DEMO, Initiator, Server, bent, group_sender
from tests.support.repository import ROOT
from tests.support.world import SERVER_SETTINGS, group_policy

Scene = tuple[Server, Initiator, bytes]
"""The last message, after which nothing comes, is the one that is refused."""

CA, OTHER_CA = Authority(), Authority("another CA")
GM1 = MemberRule("fqdn:gm1.dev")


def auth(server: Server, peer: Initiator, *payloads: object) -> Scene:
    peer.meet(server)
    return server, peer, peer.auth(*payloads)  # type: ignore[arg-type]


def malformed() -> Scene:
    bad = Notify(NotifyType.GROUP_SENDER, b"\0\0\1")
    return auth(Server(), Initiator("sender1"), DEMO, bad)


def no_common_suite() -> Scene:
    settings = replace(
        SERVER_SETTINGS, ike_proposals=parse_ike(["aes256gcm16-prfsha512-x25519-kw256"])
    )
    peer = Initiator(offer=parse_ike(["aes256gcm16-prfsha256-x25519-kw256"]))
    return Server(settings=settings), peer, peer.init()


def no_key_wrap() -> Scene:
    server = Server(settings=replace(SERVER_SETTINGS, childless=True))
    return auth(server, Initiator(offer=without_kwa(SERVER_SETTINGS.ike_proposals)))


def no_auth_method() -> Scene:
    server, peer = Server(), Initiator()
    peer.meet(server)
    return server, peer, peer.request(ExchangeType.GSA_AUTH, IDi(peer.identity), DEMO)


def by_psk(secret: bytes, identity: str = "") -> Callable[[], Scene]:
    return lambda: auth(Server(), Initiator(secret=secret, identity=identity))


def by_certificate(own: OwnCredential, trust: TrustStore = CA.trust) -> Callable[[], Scene]:
    credentials = Credentials((), (CA.issue("gcks.dev"),), trust)
    return lambda: auth(Server(credentials=credentials), Initiator(certificate=own))


def bad_signature() -> Scene:
    server, peer, _ = by_certificate(CA.issue("gm1.dev"))()
    certificate, proof = peer.proof()
    assert isinstance(proof, Authentication)
    forged = Authentication(AuthMethod.DIGITAL_SIGNATURE, proof.data[:-1] + b"\0")
    peer.next_message_id = 1
    request = peer.request(ExchangeType.GSA_AUTH, IDi(peer.identity), certificate, forged, DEMO)
    return server, peer, request


def issued(
    since: datetime.timedelta, *extensions: x509.ExtensionType, subject: x509.Name | None = None
) -> OwnCredential:
    """A certificate that begins that long from now, of a CA that doesn't look at what it signs."""
    made = CA.issue("gm1.dev")
    found = x509.load_der_x509_certificate(made.chain[0])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or found.subject)
        .issuer_name(CA.name)
        .public_key(found.public_key())
        .serial_number(1)
        .not_valid_before(NOW + since)
        .not_valid_after(NOW + since + 30 * DAY)
    )
    for one in (x509.SubjectAlternativeName([x509.DNSName("gm1.dev")]), *extensions):
        builder = builder.add_extension(one, critical=False)
    der = builder.sign(CA.key, hashes.SHA256()).public_bytes(Encoding.DER)
    return replace(made, chain=(der,))


NO_SIGNATURES = x509.KeyUsage(False, False, True, False, False, False, False, False, False)


def judged(revoked: bool, until: datetime.timedelta) -> Callable[[], Scene]:
    """A certificate, and a CRL that names it or not and is current or not."""
    own = CA.issue("gm1.dev")
    serial = x509.load_der_x509_certificate(own.chain[0]).serial_number if revoked else 1
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - 9 * DAY)
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(CA.name)
        .last_update(NOW - 9 * DAY)
        .next_update(NOW + until)
        .add_revoked_certificate(entry.build())
        .sign(CA.key, hashes.SHA256())
    )
    lists = [Crl(crl.public_bytes(Encoding.DER))]
    return by_certificate(own, TrustStore(CA.trust.anchors, lists, Revocation.HARD))


def excluded() -> Scene:
    server = Server()
    order = Exclude("keyid:demo", IDENTITY, ("fqdn:gm1.dev",), "root", True)
    server.engine.command(order, server.now)
    return auth(server, Initiator())


def not_a_receiver() -> Scene:
    policy = replace(group_policy(), members=(replace(GM1, send=True, receive=False),))
    return auth(Server((policy,)), Initiator())


def wrong_address() -> Scene:
    policy = group_policy()
    (esp,) = policy.data_sas
    source = TrafficSelector.single("10.9.9.9", 17, 0)
    alone = replace(esp, senders="single", sender="fqdn:sender1.dev", source=source)
    return auth(Server((replace(policy, data_sas=(alone,)),)), Initiator("sender1"), DEMO, SENDS)


def group_full() -> Scene:
    server = Server((replace(group_policy(), capacity=1),))
    Initiator("gm2").register(server)
    return auth(server, Initiator())


def no_sender_id() -> Scene:
    server = Server((replace(group_policy(), sender_id_bits=1),))
    Initiator("sender2", host="10.0.0.2").register(server, DEMO, group_sender(2))
    return auth(server, Initiator("sender1"), DEMO, SENDS)


def rate_limited() -> Scene:
    server = Server(settings=replace(SERVER_SETTINGS, rate_per_identity=0.1))
    scene = auth(server, Initiator())
    while server.engine.exchanges.rates.take("fqdn:gm1.dev", 0.1, server.now):
        pass
    return scene


def plain_ikev2() -> Scene:
    server, peer = Server(settings=replace(SERVER_SETTINGS, childless=False)), Initiator()
    peer.meet(server)
    return server, peer, peer.auth(exchange=ExchangeType.IKE_AUTH)


def never_goes_on() -> Scene:
    peer = Initiator()
    return Server(), peer, peer.init()


def loses_fragments() -> Scene:
    server, peer = met()
    return server, peer, fragments(peer)[0]


def is_changed_on_the_way() -> Scene:
    server, peer, request = auth(Server(), Initiator())
    return server, peer, bent(request, -1, request[-1] ^ 1)


SENDS = group_sender()
SCENES: dict[R, Callable[[], Scene]] = {
    R.MALFORMED: malformed,
    R.NO_COMMON_SUITE: no_common_suite,
    R.NO_KEY_WRAP: no_key_wrap,
    R.AUTH_METHOD: no_auth_method,
    R.UNKNOWN_IDENTITY: by_psk(b"any secret", "fqdn:gm1.elsewhere"),
    R.PSK_MISMATCH: by_psk(b"another secret"),
    R.BAD_SIGNATURE: bad_signature,
    R.CERTIFICATE_EXPIRED: by_certificate(CA.issue("gm1.dev", until=NOW - DAY)),
    R.CERTIFICATE_NOT_YET_VALID: by_certificate(issued(365 * DAY)),
    R.CERTIFICATE_UNTRUSTED: by_certificate(OTHER_CA.issue("gm1.dev")),
    R.CERTIFICATE_NAME: by_certificate(CA.issue("gm2.dev")),
    R.CERTIFICATE_REVOKED: judged(True, DAY),
    R.CERTIFICATE_STATUS_UNKNOWN: judged(False, -DAY),
    R.CERTIFICATE_UNFIT: by_certificate(issued(-DAY, NO_SIGNATURES)),
    R.UNKNOWN_GROUP: lambda: auth(Server(), Initiator(), IDg(Identity.parse("keyid:nope"))),
    R.NOT_A_MEMBER: lambda: auth(Server(), Initiator("stranger")),
    R.EXCLUDED: excluded,
    R.NOT_A_SENDER: lambda: auth(Server(), Initiator(), DEMO, SENDS),
    R.NOT_A_RECEIVER: not_a_receiver,
    R.WRONG_ADDRESS: wrong_address,
    R.POLICY_UNSUPPORTED: lambda: auth(Server(), Initiator(), DEMO, sag("aes128gcm16")),
    R.GROUP_FULL: group_full,
    R.NO_SENDER_ID: no_sender_id,
    R.RATE_LIMITED: rate_limited,
    R.PLAIN_IKEV2: plain_ikev2,
    R.NO_GSA_AUTH: never_goes_on,
    R.INCOMPLETE_GSA_AUTH: loses_fragments,
    R.UNDECRYPTABLE_GSA_AUTH: is_changed_on_the_way,
}
FAILURES = (RegistrationRefused, RegistrationAbandoned, RequestRefused, MemberLeft)
"""What could be a second word about the same thing."""
NAMELESS = {
    R.NO_COMMON_SUITE, R.NO_GSA_AUTH, R.INCOMPLETE_GSA_AUTH, R.UNDECRYPTABLE_GSA_AUTH,
}  # fmt: skip
"""Nobody has said who it is."""


@pytest.mark.parametrize("reason", R, ids=lambda one: one.value)
def test_a_failure_is_one_event_with_reason_first_mismatch_and_hint(reason: R) -> None:
    """However often the last message is repeated, and whatever is forgotten afterwards."""
    server, peer, request = SCENES[reason]()
    outcomes = [server.receive(request, peer) for _ in range(3)]
    outcomes.append(server.wait(SERVER_SETTINGS.half_open_seconds))
    (event,) = (one for outcome in outcomes for one in outcome.events if isinstance(one, FAILURES))
    assert isinstance(event, RegistrationRefused | RegistrationAbandoned)
    assert event.reason is reason
    assert event.remote == str(peer.path.remote)
    assert event.cause and event.hint
    if reason in NAMELESS:
        return
    assert isinstance(event, RegistrationRefused)
    assert event.group.startswith("keyid:")
    assert event.identity == str(peer.identity)


BIG = b"\x7f" * 32_770
"""As text more than 65,535 characters."""


@pytest.mark.parametrize(
    ("name", "group"),
    [
        (Identity(IdType.ID_KEY_ID, BIG), DEMO),
        (Identity(IdType.ID_FQDN, b"x" * 40_000), DEMO),
        (Identity(IdType.ID_KEY_ID, b"x" * 1025), DEMO),
        (Identity.parse("fqdn:gm1.dev"), IDg(Identity(IdType.ID_KEY_ID, BIG))),
    ],
    ids=["unprintable", "printable", "just too long", "group"],
)
def test_who_has_an_enormous_name_is_refused_in_few_words(name: Identity, group: IDg) -> None:
    server, peer = Server(), Initiator()
    peer.identity = name
    peer.meet(server)
    (event,) = server.receive(peer.auth(group), peer).events
    assert isinstance(event, RegistrationRefused)
    assert event.reason is R.MALFORMED and event.notify is NotifyType.INVALID_SYNTAX
    assert re.search(r"a name of \d+ octets, and 1024 are the most", event.cause)
    assert size(event) < 1000
    assert "octets)" in event.identity + event.group


def test_a_group_of_an_enormous_name_is_not_asked_for_later_either() -> None:
    server, peer = Server(), Initiator()
    peer.register(server)
    request = peer.request(ExchangeType.GSA_REGISTRATION, IDg(Identity(IdType.ID_KEY_ID, BIG)))
    (event, *_) = server.receive(request, peer).events
    assert isinstance(event, RegistrationRefused)
    assert event.reason is R.MALFORMED and size(event) < 1000
    assert event.identity == "fqdn:gm1.dev"


def test_what_a_stranger_writes_into_a_certificate_is_cut_too() -> None:
    names = [x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "x" * 60)] * 100
    own = issued(365 * DAY, subject=x509.Name(names))
    server, peer, request = by_certificate(own)()
    (event,) = server.receive(request, peer).events
    assert isinstance(event, RegistrationRefused)
    assert event.reason is R.CERTIFICATE_NOT_YET_VALID and size(event) < 1000
    assert re.search(r"OU=xxx.*… \(\d{4} characters\)$", event.cause)


def test_names_as_long_as_allowed_register() -> None:
    """A distinguished name has some hundred octets, and its text twice as many characters."""
    policy = replace(group_policy(), members=(MemberRule("dn:*"),))
    peer = Initiator()
    peer.identity = Identity(IdType.ID_DER_ASN1_DN, b"\x30" * 1024)
    psk = PreSharedKey(str(peer.identity), peer.secret)
    server = Server((policy,), credentials=Credentials((psk,), ()))
    peer.register(server)
    assert server.engine.groups["keyid:demo"].state.members.identities() == (str(peer.identity),)


def size(event: RegistrationRefused) -> int:
    return len(str(event))


def test_the_runbook_explains_every_reason_and_no_other() -> None:
    text = (ROOT / "docs/runbook.md").read_text().partition("## Why registrations fail")[2]
    first_cells = re.findall(r"^\| (`.*?) \|", text, re.M)
    told = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert told == [one.value for one in R]
