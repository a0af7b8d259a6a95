"""GSA_AUTH at the key server: who is it, may it join (RFC 9838 section 2.3.1, RFC 7296 2.15).

Shows gcks/keyserver/gsa_auth.py and gcks/ike/authenticator.py.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from gcks.crypto.encr import encr_key_octets
from gcks.datagrams import Endpoint, Path
from gcks.errors import DropReason
from gcks.events import MemberRegistered, RegistrationRefused
from gcks.iana import AuthMethod, CertEncoding, ExchangeType, NotifyType, ProtocolId
from gcks.ike.authenticator import signed_octets, verify_signature
from gcks.ike.credentials import Credentials, PreSharedKey
from gcks.ike.key_log_entry import IkeKeyLogEntry
from gcks.ike.protect import Envelope, seal_chain
from gcks.journal import MemberSaved, SenderIdsReserved
from gcks.keyserver.groups.registration import MAX_KEPT_SAG_OCTETS
from gcks.wire.authentication import Authentication
from gcks.wire.certificate import Certificate
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.header import FLAG_INITIATOR, FLAG_RESPONSE, decode_header
from gcks.wire.identification import Identity, IDg, IDi, IDr
from gcks.wire.kd import KeyDownload
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.unknown import UnknownPayload
from gcks.wire.vendor import VendorId
from tests.support.authority import Authority
from tests.support.handshakes import sag, with_certificates
from tests.support.initiator import (
    DEMO,
    GSA_KD,
    NULL_AUTH,
    SERVER,
    Initiator,
    Server,
    bent,
    dropped,
    group_sender,
    kinds,
    notifies,
    only,
)
from tests.support.world import SECRET, SERVER_IDENTITY, SERVER_SETTINGS

MEMBER = "fqdn:gm1.dev"


def read(peer: Initiator, datagram: bytes) -> tuple[Payload, ...]:
    """Open the answer to GSA_AUTH and look at its header."""
    header = decode_header(datagram)
    assert (header.exchange, header.flags) == (ExchangeType.GSA_AUTH, FLAG_RESPONSE)
    assert header.message_id == 1
    return peer.read(datagram)


def refused(server: Server, peer: Initiator, request: bytes) -> tuple[RegistrationRefused, tuple]:  # type: ignore[type-arg]
    """Return the one event of a refusal, and the payloads that the peer gets."""
    outcome = server.receive(request, peer)
    (event,) = outcome.events
    assert isinstance(event, RegistrationRefused)
    assert event.cause
    (transmit,) = outcome.transmits
    return event, read(peer, transmit.octets)


def fails_alone(server: Server, peer: Initiator, request: bytes) -> RegistrationRefused:
    """AUTHENTICATION_FAILED, nothing else, and no IKE SA (RFC 7296 section 2.21.2)."""
    event, payloads = refused(server, peer, request)
    assert payloads == (Notify(NotifyType.AUTHENTICATION_FAILED),)
    assert event.notify is NotifyType.AUTHENTICATION_FAILED
    later = server.receive(peer.request(ExchangeType.INFORMATIONAL), peer)
    assert dropped(later) is DropReason.UNKNOWN_SPI
    assert not server.engine.groups["keyid:demo"].state.members.identities()
    return event


# --- pre-shared keys ----------------------------------------------------------------------------


def test_a_member_registers_with_its_pre_shared_key() -> None:
    """HDR, SK{IDi, AUTH, IDg} -->  <-- HDR, SK{IDr, AUTH, GSA, KD}"""
    server, peer = Server(), Initiator()
    peer.meet(server)
    outcome = server.receive(peer.auth(), peer)
    payloads = read(peer, outcome.transmits[0].octets)
    assert kinds(payloads) == ["IDr", "Authentication", *GSA_KD]
    assert payloads[0] == IDr(SERVER_IDENTITY)
    assert payloads[1] == peer.server_proof(SERVER_IDENTITY)
    assert outcome.events == [
        MemberRegistered(
            "keyid:demo", MEMBER, "10.0.0.1:500", "psk", sender_ids=0, again=False, members=1
        )
    ]


@pytest.mark.parametrize(("port", "marker"), [(500, False), (848, False), (4500, True)])
def test_the_server_does_the_same_on_every_port(port: int, marker: bool) -> None:
    """RFC 9838 section 2.1.1: behaviour MUST NOT depend on the port of the initial IKE SA."""
    server, peer = Server(("demo", "other")), Initiator()
    peer.path = Path(Endpoint(SERVER.host, port), Endpoint("10.0.0.1", port), marker)
    assert kinds(peer.register(server))[2:] == GSA_KD
    other = IDg(Identity.parse("keyid:other"))
    answer = peer.ask(server, ExchangeType.GSA_REGISTRATION, other)
    assert kinds(answer) == GSA_KD
    (closing,) = server.wait(server.engine.settings.ike_sa_idle_seconds).transmits
    assert closing.path == peer.path


def test_what_must_be_durable_comes_with_the_answer() -> None:
    server, peer = Server(), Initiator("sender1")
    peer.meet(server)
    outcome = server.receive(peer.auth(DEMO, group_sender()), peer)
    saved = [e for e in outcome.journal if isinstance(e, MemberSaved)]
    assert [(e.identity, e.address) for e in saved] == [("fqdn:sender1.dev", "10.0.0.1")]
    assert any(isinstance(entry, SenderIdsReserved) for entry in outcome.journal)


def test_a_second_registration_is_told_from_the_first() -> None:
    server = Server()
    Initiator().register(server)
    peer = Initiator().meet(server)
    event = only(server.receive(peer.auth(), peer), MemberRegistered)
    assert isinstance(event, MemberRegistered)
    assert (event.again, event.members) == (True, 1)


def test_a_wrong_secret_is_refused_alone() -> None:
    server, peer = Server(), Initiator(secret=b"not the secret of this network!!")
    peer.meet(server)
    event = fails_alone(server, peer, peer.auth())
    assert event.cause == "the pre-shared keys differ"
    assert (event.group, event.identity) == ("keyid:demo", MEMBER)


def test_an_unknown_identity_looks_the_same_from_outside() -> None:
    """The peer learns nothing about which identities exist; the operator does."""
    server, peer = Server(), Initiator(identity="fqdn:nobody.example")
    peer.meet(server)
    event = fails_alone(server, peer, peer.auth())
    assert event.cause == "no pre-shared key for fqdn:nobody.example"


def test_an_unknown_identity_costs_as_much_as_a_wrong_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both take the same computations; a stand-in secret is used for the unknown one."""
    from gcks.ike import authenticator

    counts = []
    for identity in ("fqdn:gm1.dev", "fqdn:nobody.example"):
        server, peer = Server(), Initiator(identity=identity, secret=b"wrong")
        peer.meet(server)
        request, calls = peer.auth(), []
        real = authenticator.prf
        monkeypatch.setattr(authenticator, "prf", lambda *a, r=real, c=calls: c.append(a) or r(*a))
        server.receive(request, peer)
        monkeypatch.setattr(authenticator, "prf", real)
        counts.append([(number, len(key) > 0) for number, key, _ in calls])
    assert counts[0] == counts[1]
    assert counts[0]


def test_the_identity_must_be_the_one_that_was_signed() -> None:
    """AUTH covers IDi (RFC 7296 section 2.15): no member can speak for another."""
    server, peer = Server(), Initiator()
    peer.meet(server)
    proof = peer.proof()
    other = IDi(Identity.parse("fqdn:gm2.dev"))
    fails_alone(server, peer, peer.request(ExchangeType.GSA_AUTH, other, *proof, DEMO))


def test_auth_covers_the_first_exchange_as_the_server_saw_it() -> None:
    """A man in the middle who strips a notification from IKE_SA_INIT is found out."""
    server, peer = Server(), Initiator()
    payloads = peer.init_payloads()
    full = peer.init(payloads=[*payloads, VendorId(b"stripped on the way")])
    peer.accept(server.answer(peer.init(payloads=payloads), peer))
    peer.request_octets = full
    fails_alone(server, peer, peer.auth())


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(32), bytes(33)])
def test_auth_data_of_any_size_is_only_wrong(data: bytes) -> None:
    server, peer = Server(), Initiator()
    peer.meet(server)
    auth = Authentication(AuthMethod.SHARED_KEY_MIC, data or b"\0")
    fails_alone(server, peer, peer.request(ExchangeType.GSA_AUTH, IDi(peer.identity), auth, DEMO))


@pytest.mark.parametrize("method", [0, 1, 3, 9, 12, 13, 14, 15, 200])
def test_other_methods_do_not_get_in(method: int) -> None:
    """NULL authentication least of all; a PSK MIC under another name neither."""
    server, peer = Server(), Initiator()
    peer.meet(server)
    (proof,) = peer.proof()
    assert isinstance(proof, Authentication)
    auth = Authentication(method, proof.data)
    fails_alone(server, peer, peer.request(ExchangeType.GSA_AUTH, IDi(peer.identity), auth, DEMO))


def test_no_auth_means_eap_which_is_not_offered() -> None:
    """RFC 7296 section 2.16."""
    server, peer = Server(), Initiator()
    peer.meet(server)
    event = fails_alone(server, peer, peer.request(ExchangeType.GSA_AUTH, IDi(peer.identity), DEMO))
    assert "EAP" in event.cause


def test_the_answer_to_a_failure_can_be_had_again_and_nothing_else() -> None:
    """A lost answer must not leave an honest peer in the dark, nor give it a second guess."""
    server, peer = Server(), Initiator(secret=b"wrong")
    peer.meet(server)
    request = peer.auth()
    first = server.answer(request, peer)
    again = server.receive(request, peer)
    assert [t.octets for t in again.transmits] == [first]
    assert (again.events, again.journal) == ([], [])
    peer.secret, peer.next_message_id = SECRET, 1
    assert dropped(server.receive(peer.auth(), peer)) is DropReason.UNKNOWN_SPI
    assert server.engine.ike_sas.half_open == 1
    server.wait(30.0)
    assert server.forgot_all_peers
    assert dropped(server.receive(request, peer)) is DropReason.UNKNOWN_SPI


# --- certificates -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256", "ecdsa-p384", "rsa"])
def test_a_member_registers_with_its_certificate(kind: str) -> None:
    """HDR, SK{IDi, CERT, AUTH, IDg} -->  <-- HDR, SK{IDr, CERT, AUTH, GSA, KD} (RFC 7427)"""
    server, peer, authority = with_certificates(kind)
    peer.meet(server)
    outcome = server.receive(peer.auth(), peer)
    event = only(outcome, MemberRegistered)
    assert isinstance(event, MemberRegistered)
    assert event.method == "certificate"
    payloads = read(peer, outcome.transmits[0].octets)
    assert kinds(payloads)[:3] == ["IDr", "Certificate", "Authentication"]
    certificate, auth = payloads[1:3]
    assert isinstance(certificate, Certificate)
    assert isinstance(auth, Authentication)
    key = authority.trust.validate([certificate.data], SERVER_IDENTITY, 1_800_000_000.0).key
    octets = signed_octets(
        peer.suite.prf,
        peer.response_octets,
        peer.ni,
        peer.keys.sk_pr,
        SERVER_IDENTITY.encode(),
    )
    verify_signature([key], octets, auth)


def test_a_certificate_for_another_identity_is_refused() -> None:
    server, _, authority = with_certificates("ecdsa-p256")
    peer = Initiator("gm2", certificate=authority.issue("gm1.dev"))
    peer.meet(server)
    assert "gm1.dev" in fails_alone(server, peer, peer.auth()).cause


def test_a_certificate_of_another_authority_is_refused() -> None:
    server, _, _ = with_certificates("ecdsa-p256")
    peer = Initiator(certificate=Authority("other").issue("gm1.dev"))
    peer.meet(server)
    assert fails_alone(server, peer, peer.auth()).hint


def test_a_stolen_certificate_is_worth_nothing_without_its_key() -> None:
    server, peer, _ = with_certificates("ecdsa-p256")
    peer.meet(server)
    own, auth = peer.proof()
    assert isinstance(auth, Authentication)
    forged = Authentication(auth.method, bent(auth.data, -1, auth.data[-1] ^ 1))
    fails_alone(
        server, peer, peer.request(ExchangeType.GSA_AUTH, IDi(peer.identity), own, forged, DEMO)
    )


def test_a_signature_without_a_certificate_is_refused() -> None:
    server, peer, _ = with_certificates("ecdsa-p256")
    peer.meet(server)
    _, auth = peer.proof()
    fails_alone(server, peer, peer.request(ExchangeType.GSA_AUTH, IDi(peer.identity), auth, DEMO))


def test_an_url_in_place_of_a_certificate_is_never_fetched() -> None:
    """CVE-2022-40617: hash-and-URL is not supported (RFC 7296 section 3.6)."""
    server, peer, _ = with_certificates("ecdsa-p256")
    peer.meet(server)
    _, auth = peer.proof()
    url = Certificate(CertEncoding.HASH_AND_URL, bytes(20) + b"http://198.51.100.1/")
    event = fails_alone(
        server, peer, peer.request(ExchangeType.GSA_AUTH, IDi(peer.identity), url, auth, DEMO)
    )
    assert event.cause == "no certificate of fqdn:gm1.dev"


def test_a_server_without_certificates_refuses_signatures() -> None:
    authority = Authority()
    server, peer = Server(), Initiator(certificate=authority.issue("gm1.dev"))
    peer.meet(server)
    assert "no trust anchors" in fails_alone(server, peer, peer.auth()).cause
    only_trust = Server(credentials=Credentials((), (), authority.trust))
    peer = Initiator(certificate=authority.issue("gm1.dev")).meet(only_trust)
    assert "this server has no key" in fails_alone(only_trust, peer, peer.auth()).cause


def test_null_authentication_with_a_good_certificate_is_refused() -> None:
    server, peer, _ = with_certificates("ecdsa-p256")
    peer.meet(server)
    own, _ = peer.proof()
    fails_alone(
        server,
        peer,
        peer.request(ExchangeType.GSA_AUTH, IDi(peer.identity), own, NULL_AUTH, DEMO),
    )


# --- refusals that leave the IKE SA usable (ruling 24) ------------------------------------------


def still_usable(server: Server, peer: Initiator) -> None:
    payloads = peer.ask(server, ExchangeType.GSA_REGISTRATION, DEMO)
    assert kinds(payloads) == GSA_KD


def proved(peer: Initiator, payloads: tuple[Payload, ...]) -> Notify:
    """HDR, SK{IDr, [CERT,] AUTH, N}"""
    identity, auth, notify = payloads
    assert identity == IDr(SERVER_IDENTITY)
    assert auth == peer.server_proof(SERVER_IDENTITY)
    assert isinstance(notify, Notify)
    assert (notify.protocol, notify.spi, notify.data) == (0, b"", b"")
    return notify


def test_an_unknown_group_is_refused_with_invalid_group_id() -> None:
    """RFC 9838 sections 2.3.4 and 4.7.1."""
    server, peer = Server(), Initiator()
    peer.meet(server)
    event, payloads = refused(server, peer, peer.auth(IDg(Identity.parse("keyid:nope"))))
    assert proved(peer, payloads).type == NotifyType.INVALID_GROUP_ID
    assert event.group == "keyid:nope"
    still_usable(server, peer)


def test_a_gm_that_no_rule_names_is_refused_with_authorization_failed() -> None:
    """RFC 9838 sections 2.3.4 and 4.7.2."""
    server, peer = Server(), Initiator("stranger")
    peer.meet(server)
    event, payloads = refused(server, peer, peer.auth())
    assert proved(peer, payloads).type == NotifyType.AUTHORIZATION_FAILED
    assert "fqdn:stranger.dev" in event.cause
    assert event.hint
    again = peer.ask(server, ExchangeType.GSA_REGISTRATION, DEMO)
    assert notifies(again) == [NotifyType.AUTHORIZATION_FAILED]


def test_who_may_not_send_is_not_made_a_silent_receiver() -> None:
    """Ruling 35: GROUP_SENDER without authorization gets AUTHORIZATION_FAILED."""
    server, peer = Server(), Initiator()
    peer.meet(server)
    _, payloads = refused(server, peer, peer.auth(DEMO, group_sender()))
    assert proved(peer, payloads).type == NotifyType.AUTHORIZATION_FAILED
    still_usable(server, peer)


def test_a_gm_that_can_not_do_the_policy_gets_no_proposal_chosen() -> None:
    """RFC 9838 section 2.3.4: SAg evaluated; the event names the first mismatch."""
    server, peer = Server(), Initiator()
    peer.meet(server)
    event, payloads = refused(server, peer, peer.auth(DEMO, sag("aes128gcm16")))
    assert proved(peer, payloads).type == NotifyType.NO_PROPOSAL_CHOSEN
    assert "AES_GCM_16-256" in event.cause
    still_usable(server, peer)


@pytest.mark.parametrize("cpi", [b"\0\0", b"\x12\x34"])
def test_ipcomp_supported_changes_nothing(cpi: bytes) -> None:
    """RFC 9838 section 2.3.3: the CPI MUST be ignored by the GCKS."""
    server, peer = Server(), Initiator()
    offers = [Notify(NotifyType.IPCOMP_SUPPORTED, cpi + bytes((number,))) for number in (2, 3)]
    payloads = peer.register(server, DEMO, sag("aes256gcm16"), *offers)
    assert kinds(payloads)[2:] == GSA_KD


def test_a_large_sag_is_no_problem() -> None:
    server, peer = Server(), Initiator()
    peer.meet(server)
    many = sag(*["aes256", "aes128gcm16"] * 30)
    assert len(many.octets) < MAX_KEPT_SAG_OCTETS
    _, payloads = refused(server, peer, peer.auth(DEMO, many))
    assert proved(peer, payloads).type == NotifyType.NO_PROPOSAL_CHOSEN


@pytest.mark.parametrize(
    "notify",
    [
        *(Notify(NotifyType.GROUP_SENDER, data) for data in (b"", b"\0", bytes(3), bytes(5))),
        Notify(NotifyType.GROUP_SENDER, bytes(4), ProtocolId.GIKE_UPDATE),
        Notify(NotifyType.GROUP_SENDER, bytes(4), 0, b"spi1"),
    ],
)
def test_a_malformed_group_sender_ends_the_sa(notify: Notify) -> None:
    """RFC 9838 section 4.7.4: the count MUST be 4 octets long, Protocol ID and SPI Size zero."""
    server, peer = Server(), Initiator("sender1")
    peer.meet(server)
    outcome = server.receive(peer.auth(DEMO, notify), peer)
    payloads = read(peer, outcome.transmits[0].octets)
    assert proved(peer, payloads).type == NotifyType.INVALID_SYNTAX
    assert server.forgot_all_peers


# --- key exchange, keys, paths ------------------------------------------------------------------


def test_the_sa_follows_the_address_of_the_newest_authentic_message() -> None:
    """RFC 7296 section 2.23: GSA_AUTH from port 4500 moves the SA there."""
    server, peer = Server(), Initiator()
    peer.meet(server)
    peer.path = Path(Endpoint("192.0.2.1", 4500), Endpoint("203.0.113.1", 4711), marker=True)
    outcome = server.receive(peer.auth(), peer)
    assert outcome.transmits[0].path == peer.path
    event = only(outcome, MemberRegistered)
    assert isinstance(event, MemberRegistered)
    assert event.remote == "203.0.113.1:4711"
    (delete,) = server.wait(5.0).transmits
    assert delete.path == peer.path
    server.receive(peer.respond(ExchangeType.INFORMATIONAL, 0), peer)
    assert server.forgot_all_peers


def test_a_forged_message_moves_nothing() -> None:
    server, peer = Server(), Initiator()
    peer.meet(server)
    elsewhere = Path(SERVER, Endpoint("198.51.100.66", 500))
    request = peer.auth()
    forged = bent(request, -1, request[-1] ^ 1)
    outcome = server.engine.receive(forged, elsewhere, 0.0)
    assert dropped(outcome) is DropReason.BAD_INTEGRITY
    peer.next_message_id = 1
    assert read(peer, server.answer(peer.auth(), peer))


def test_garbage_does_not_stop_the_honest_peer() -> None:
    """RFC 7296 section 2.21: what fails its ICV is dropped and changes nothing."""
    server, peer = Server(), Initiator()
    peer.meet(server)
    request = peer.auth()
    for at in range(28, len(request), 7):
        outcome = server.receive(bent(request, at, request[at] ^ 0x55), peer)
        assert dropped(outcome) in (DropReason.BAD_INTEGRITY, DropReason.MALFORMED)
    assert read(peer, server.answer(request, peer))


def test_the_key_log_holds_what_wireshark_needs_and_is_off_by_default() -> None:
    entries: list[IkeKeyLogEntry] = []
    server, peer = Server(key_log=entries.append), Initiator()
    peer.register(server)
    (entry,) = entries
    assert (entry.spi_i, entry.spi_r) == (peer.spi_i, peer.spi_r)
    keys = peer.keys
    assert (entry.sk_ei, entry.sk_er) == (keys.sk_ei, keys.sk_er)
    assert (entry.sk_ai, entry.sk_ar) == (keys.sk_ai, keys.sk_ar)
    assert len(entry.sk_ei) == encr_key_octets(entry.encr, entry.encr_bits)
    assert keys.sk_ei.hex() not in repr(entry)


# --- order and form -----------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", [ExchangeType.GSA_REGISTRATION, ExchangeType.INFORMATIONAL,
                                      ExchangeType.CREATE_CHILD_SA, 240])  # fmt: skip
def test_nothing_but_gsa_auth_may_follow(exchange: int) -> None:
    """A message before its state (RFC 7296 section 1.2)."""
    server, peer = Server(), Initiator()
    peer.meet(server)
    early = peer.request(exchange, DEMO, message_id=1)
    assert dropped(server.receive(early, peer)) is DropReason.UNEXPECTED_EXCHANGE
    assert read(peer, server.answer(peer.auth(), peer))


def test_ike_auth_is_refused_cleanly_where_it_is_off() -> None:
    """A server of GSA_AUTH only: plain IKEv2 peers learn it at once."""
    server, peer = Server(settings=replace(SERVER_SETTINGS, childless=False)), Initiator()
    peer.meet(server)
    outcome = server.receive(peer.auth(exchange=ExchangeType.IKE_AUTH), peer)
    event = only(outcome, RegistrationRefused)
    assert isinstance(event, RegistrationRefused)
    assert (event.identity, event.reason.value) == (MEMBER, "plain_ikev2")
    payloads = peer.read(outcome.transmits[0].octets)
    assert payloads == (Notify(NotifyType.AUTHENTICATION_FAILED),)
    server.wait(30.0)
    assert server.forgot_all_peers


@pytest.mark.parametrize("message_id", [0, 2, 0xFFFFFFFF])
def test_another_message_id_is_out_of_the_window(message_id: int) -> None:
    server, peer = Server(), Initiator()
    peer.meet(server)
    request = peer.request(
        ExchangeType.GSA_AUTH, IDi(peer.identity), *peer.proof(), DEMO, message_id=message_id
    )
    assert dropped(server.receive(request, peer)) is DropReason.OUT_OF_WINDOW
    assert read(peer, server.answer(peer.auth(), peer))


@pytest.mark.parametrize("flags", [0, FLAG_RESPONSE, FLAG_INITIATOR | FLAG_RESPONSE])
def test_a_message_in_the_wrong_role_is_dropped(flags: int) -> None:
    server, peer = Server(), Initiator()
    peer.meet(server)
    payloads = (IDi(peer.identity), *peer.proof(), DEMO)
    message = peer.protection.seal_messages(ExchangeType.GSA_AUTH, flags, 1, payloads, None)[0]
    assert dropped(server.receive(message, peer)) is DropReason.WRONG_ROLE
    assert read(peer, server.answer(peer.auth(), peer))


def malformed(server: Server, peer: Initiator, request: bytes, notify: NotifyType) -> None:
    """The notification alone, protected, and the SA is gone (RFC 7296 section 2.21.2)."""
    event, payloads = refused(server, peer, request)
    assert notifies(payloads) == [notify]
    assert len(payloads) == 1
    assert event.notify is notify
    server.wait(30.0)
    assert server.forgot_all_peers


@pytest.mark.parametrize("missing", [IDi, IDg])
def test_a_request_without_a_needed_payload_ends_the_sa(missing: type) -> None:
    server, peer = Server(), Initiator()
    peer.meet(server)
    payloads = [p for p in (IDi(peer.identity), *peer.proof(), DEMO) if not isinstance(p, missing)]
    request = peer.request(ExchangeType.GSA_AUTH, *payloads)
    malformed(server, peer, request, NotifyType.INVALID_SYNTAX)


@pytest.mark.parametrize(
    "strange", [KeyExchange(31, bytes(32)), KeyDownload((), ()), GroupSecurityAssociation((), None)]
)
def test_a_payload_out_of_place_ends_the_sa(strange: Payload) -> None:
    server, peer = Server(), Initiator()
    peer.meet(server)
    malformed(server, peer, peer.auth(DEMO, strange), NotifyType.INVALID_SYNTAX)


def test_an_unknown_critical_payload_ends_the_sa() -> None:
    """RFC 7296 sections 2.5 and 2.21.2."""
    server, peer = Server(), Initiator()
    peer.meet(server)
    strange = UnknownPayload(200, critical=True, body=b"?")
    malformed(server, peer, peer.auth(DEMO, strange), NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD)


@pytest.mark.parametrize("chain", [b"", b"\0", b"\0\0\0\3", b"\0\0\xff\xff", b"\x23\0\0\4" * 9])
def test_octets_that_are_no_payloads_end_the_sa(chain: bytes) -> None:
    """RFC 7296 section 2.21.2: INVALID_SYNTAX, once the ICV was right."""
    server, peer = Server(), Initiator()
    peer.meet(server)
    envelope = Envelope(peer.spi_i, peer.spi_r, ExchangeType.GSA_AUTH, FLAG_INITIATOR, 1)
    cipher = peer.suite.make_cipher(peer.keys.sk_ei, peer.keys.sk_ai)
    request = seal_chain(cipher, os.urandom(8), envelope, 35, chain)
    malformed(server, peer, request, NotifyType.INVALID_SYNTAX)


def test_a_message_in_clear_is_not_taken_for_a_protected_one() -> None:
    """Nothing but SK may carry GSA_AUTH."""
    from gcks.wire.message import encode_message

    server, peer = Server(), Initiator()
    peer.meet(server)
    plain = encode_message(
        peer.spi_i,
        peer.spi_r,
        ExchangeType.GSA_AUTH,
        FLAG_INITIATOR,
        1,
        (IDi(peer.identity), *peer.proof(), DEMO),
    )
    assert dropped(server.receive(plain, peer)) is DropReason.MALFORMED
    assert read(peer, server.answer(peer.auth(), peer))


def test_psks_are_found_by_pattern_and_exact_name() -> None:
    keys = Credentials(
        (PreSharedKey("fqdn:gm*.dev", b"pattern"), PreSharedKey("fqdn:gm7.dev", b"exact"))
    )
    server = Server(credentials=keys)
    for name, secret in (("gm1", b"pattern"), ("gm7", b"exact")):
        payloads = Initiator(name, secret=secret).register(server)
        assert "KeyDownload" in kinds(payloads)
