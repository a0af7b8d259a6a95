"""An established IKE SA at the key server: further groups, leaving, liveness, the end.

Shows gcks/keyserver, once a peer has an IKE SA.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from gcks.datagrams import Endpoint, Path
from gcks.errors import DropReason, RefusalReason
from gcks.events import (
    DatagramDropped,
    IkeSaClosed,
    MemberLeft,
    MemberRegistered,
    RegistrationRefused,
    RekeySent,
    RequestRefused,
    ServerRefused,
)
from gcks.iana import ExchangeType, NotifyType, ProtocolId
from gcks.ike.protect import Envelope, seal_chain
from gcks.journal import MemberRemoved, MemberSaved
from gcks.keyserver import exchanges
from gcks.keyserver.commands import Reload
from gcks.keyserver.groups.departing import LEAVING_HINTS
from gcks.keyserver.groups.policy import MemberRule
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.header import FLAG_INITIATOR, FLAG_RESPONSE, decode_header
from gcks.wire.identification import Identity, IDg, IDi
from gcks.wire.kd import KeyDownload
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.sa import SecurityAssociation
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.unknown import UnknownPayload
from tests.support.initiator import (
    DEMO,
    GSA_KD,
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
from tests.support.world import PSK, SERVER_SETTINGS

OTHER = IDg(Identity.parse("keyid:other"))
DELETE_IKE = Delete(ProtocolId.IKE, 0, ())
REGISTRATION, INFORMATIONAL = ExchangeType.GSA_REGISTRATION, ExchangeType.INFORMATIONAL
IDLE = SERVER_SETTINGS.ike_sa_idle_seconds


def registered(name: str = "gm1") -> tuple[Server, Initiator]:
    server, peer = Server(("demo", "other")), Initiator(name)
    assert notifies(peer.register(server)) == []
    return server, peer


def members(server: Server, group: str = "demo") -> tuple[str, ...]:
    return server.engine.groups[f"keyid:{group}"].state.members.identities()


# --- a peer that doesn't accept our proof -------------------------------------------------------

REFUSAL = Notify(NotifyType.AUTHENTICATION_FAILED)


def test_a_new_member_that_refuses_the_server_is_none() -> None:
    """RFC 7296 section 2.21.2: it has no IKE SA, so it took no keys from it."""
    server, peer = registered()
    outcome = server.receive(peer.request(INFORMATIONAL, REFUSAL), peer)
    assert peer.read(outcome.transmits[0].octets) == ()
    left = only(outcome, MemberLeft)
    assert isinstance(left, MemberLeft) and left.level == logging.WARNING
    assert (left.cause, left.members) == ("AUTHENTICATION_FAILED", 0)
    assert "doesn't accept this server's certificate" in left.hint
    assert outcome.journal == [MemberRemoved("keyid:demo", "fqdn:gm1.dev")]
    assert only(outcome, IkeSaClosed) and server.forgot_all_peers
    assert members(server) == ()


def test_an_older_membership_outlives_a_refusal() -> None:
    """Its keys may still work for it: a certificate of ours that is wrong shuts nobody out."""
    server, _ = registered()
    again = Initiator()
    again.register(server)
    outcome = server.receive(again.request(INFORMATIONAL, REFUSAL), again)
    refused = only(outcome, ServerRefused)
    assert isinstance(refused, ServerRefused) and refused.level == logging.WARNING
    assert (refused.identity, refused.remote) == ("fqdn:gm1.dev", "10.0.0.1:500")
    assert refused.hint and only(outcome, IkeSaClosed)
    assert not any(isinstance(event, MemberLeft) for event in outcome.events)
    assert outcome.journal == [] and members(server) == ("fqdn:gm1.dev",)


def test_a_late_refusal_ends_no_membership_that_was_renewed_since() -> None:
    server, peer = registered()
    server.now += 1.0
    Initiator().register(server)
    outcome = server.receive(peer.request(INFORMATIONAL, REFUSAL), peer)
    assert only(outcome, ServerRefused)
    assert members(server) == ("fqdn:gm1.dev",)


def test_a_peer_without_a_group_may_refuse_us_too() -> None:
    server, peer = Server(), Initiator()
    peer.meet(server)
    request = peer.request(ExchangeType.IKE_AUTH, IDi(peer.identity), *peer.proof())
    assert notifies(peer.read(server.answer(request, peer))) == []
    outcome = server.receive(peer.request(INFORMATIONAL, REFUSAL), peer)
    assert only(outcome, ServerRefused) and server.forgot_all_peers


# --- GSA_REGISTRATION ---------------------------------------------------------------------------


def test_a_member_registers_for_a_further_group() -> None:
    """RFC 9838 section 2.3.2: HDR, SK{IDg} -->  <-- HDR, SK{GSA, KD}"""
    server, peer = registered()
    outcome = server.receive(peer.request(REGISTRATION, OTHER), peer)
    payloads = peer.read(outcome.transmits[0].octets)
    assert kinds(payloads) == GSA_KD
    event = only(outcome, MemberRegistered)
    assert isinstance(event, MemberRegistered)
    assert (event.group, event.identity, event.again) == ("keyid:other", "fqdn:gm1.dev", False)
    assert [e.group for e in outcome.journal if isinstance(e, MemberSaved)] == ["keyid:other"]
    assert members(server) == members(server, "other") == ("fqdn:gm1.dev",)


def test_a_sender_gets_sender_ids_there_too() -> None:
    """RFC 9838 section 2.5.1: as many as asked for, and new ones each time."""
    server, peer = registered("sender1")
    payloads = peer.ask(server, REGISTRATION, OTHER, group_sender(3))
    (kd,) = (p for p in payloads if isinstance(p, KeyDownload))
    assert [i for bag in kd.member_bags for i in bag.sender_ids] == [0, 1, 2]
    payloads = peer.ask(server, REGISTRATION, OTHER, group_sender(0))
    (kd,) = (p for p in payloads if isinstance(p, KeyDownload))
    assert [i for bag in kd.member_bags for i in bag.sender_ids] == [3]


@pytest.mark.parametrize(
    ("payloads", "notify"),
    [
        ((IDg(Identity.parse("keyid:nope")),), NotifyType.INVALID_GROUP_ID),
        ((IDg(Identity.parse("fqdn:demo")),), NotifyType.INVALID_GROUP_ID),
        ((OTHER, group_sender()), NotifyType.AUTHORIZATION_FAILED),
    ],
)
def test_a_refusal_is_one_notification_and_one_event(
    payloads: tuple[Payload, ...], notify: NotifyType
) -> None:
    """RFC 9838 section 2.3.2: <-- HDR, SK{N}, and the SA stays."""
    server, peer = registered()
    outcome = server.receive(peer.request(REGISTRATION, *payloads), peer)
    assert peer.read(outcome.transmits[0].octets) == (Notify(notify),)
    (event,) = outcome.events
    assert isinstance(event, RegistrationRefused)
    assert event.notify is notify
    assert outcome.journal == []
    assert kinds(peer.ask(server, REGISTRATION, OTHER))


def test_membership_in_one_group_opens_no_other() -> None:
    """RFC 9838 section 2.3.4: the GCKS authorizes the GM with the new group."""
    server, peer = registered()
    group = server.engine.groups["keyid:other"]
    group.policy = replace(group.policy, members=(MemberRule("fqdn:gm2.dev"),))
    assert peer.ask(server, REGISTRATION, OTHER) == (Notify(NotifyType.AUTHORIZATION_FAILED),)
    assert (members(server), members(server, "other")) == (("fqdn:gm1.dev",), ())


def test_a_full_group_is_refused_with_registration_failed() -> None:
    """RFC 9838 section 4.7.3."""
    server, peer = registered()
    group = server.engine.groups["keyid:other"]
    group.policy = replace(group.policy, capacity=0)
    assert peer.ask(server, REGISTRATION, OTHER) == (Notify(NotifyType.REGISTRATION_FAILED),)


def test_a_malformed_group_sender_ends_the_sa() -> None:
    """RFC 9838 section 4.7.4: the count MUST be 4 octets long."""
    server, peer = registered("sender1")
    bad = Notify(NotifyType.GROUP_SENDER, b"\0\0\1")
    outcome = server.receive(peer.request(REGISTRATION, OTHER, bad), peer)
    assert notifies(peer.read(outcome.transmits[0].octets)) == [NotifyType.INVALID_SYNTAX]
    assert only(outcome, RegistrationRefused)
    assert only(outcome, IkeSaClosed)
    assert server.forgot_all_peers


@pytest.mark.parametrize("kind", [NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.REGISTRATION_FAILED])
def test_a_member_leaves(kind: NotifyType) -> None:
    """RFC 9838 section 2.3.2: HDR, SK{IDg, N} --> <-- HDR, SK{}; the GCKS MUST remove the GM."""
    server, peer = registered()
    outcome = server.receive(peer.request(REGISTRATION, DEMO, Notify(kind)), peer)
    assert peer.read(outcome.transmits[0].octets) == ()
    hint = LEAVING_HINTS.get(str(kind), "")
    left = MemberLeft("keyid:demo", "fqdn:gm1.dev", "10.0.0.1", str(kind), members=0, hint=hint)
    assert outcome.events == [left]
    assert outcome.journal == [MemberRemoved("keyid:demo", "fqdn:gm1.dev")]
    assert members(server) == ()


def test_who_leaves_a_group_twice_gets_the_same_empty_answer() -> None:
    server, peer = registered()
    leave = (DEMO, Notify(NotifyType.REGISTRATION_FAILED))
    assert peer.ask(server, REGISTRATION, *leave) == ()
    outcome = server.receive(peer.request(REGISTRATION, *leave), peer)
    assert peer.read(outcome.transmits[0].octets) == ()
    assert (outcome.journal, outcome.events) == ([], [])


def test_nobody_can_make_another_leave() -> None:
    server, peer = registered()
    Initiator("gm2", host="10.0.0.2").register(server)
    peer.ask(server, REGISTRATION, DEMO, Notify(NotifyType.REGISTRATION_FAILED))
    assert members(server) == ("fqdn:gm2.dev",)


def test_leaving_an_unknown_group_is_an_invalid_group_id() -> None:
    server, peer = registered()
    nope = IDg(Identity.parse("keyid:nope"))
    payloads = peer.ask(server, REGISTRATION, nope, Notify(NotifyType.REGISTRATION_FAILED))
    assert notifies(payloads) == [NotifyType.INVALID_GROUP_ID]


# --- INFORMATIONAL, CREATE_CHILD_SA -------------------------------------------------------------


def test_a_liveness_check_is_answered_empty() -> None:
    """RFC 7296 section 1.4: HDR, SK{} --> <-- HDR, SK{}"""
    server, peer = registered()
    outcome = server.receive(peer.request(INFORMATIONAL), peer)
    assert peer.read(outcome.transmits[0].octets) == ()
    assert outcome.events == []
    header = decode_header(outcome.transmits[0].octets)
    assert (header.exchange, header.flags) == (INFORMATIONAL, FLAG_RESPONSE)
    assert header.message_id == 2


def test_a_delete_of_the_ike_sa_is_answered_and_obeyed() -> None:
    """RFC 7296 section 1.4.1; the membership is not touched."""
    server, peer = registered()
    outcome = server.receive(peer.request(INFORMATIONAL, DELETE_IKE), peer)
    assert peer.read(outcome.transmits[0].octets) == ()
    event = only(outcome, IkeSaClosed)
    assert event == IkeSaClosed("10.0.0.1:500", "fqdn:gm1.dev", "closed by the peer")
    assert server.forgot_all_peers
    assert members(server) == ("fqdn:gm1.dev",)


def test_a_delete_of_child_sas_that_never_were_is_answered_empty() -> None:
    server, peer = registered()
    esp = Delete(ProtocolId.ESP, 4, (b"\0\0\1\0",))
    assert peer.ask(server, INFORMATIONAL, esp) == ()
    assert peer.ask(server, INFORMATIONAL) == ()


def test_no_child_sa_is_ever_made() -> None:
    """RFC 9838 section 2.3: unicast Child SAs are NOT RECOMMENDED; RFC 7296 section 1.3."""
    server, peer = registered()
    esp = replace(peer.offer.proposals[0], protocol=ProtocolId.ESP, spi=b"spi1")
    child = (SecurityAssociation((esp,)), Nonce(os.urandom(32)))
    outcome = server.receive(peer.request(ExchangeType.CREATE_CHILD_SA, *child), peer)
    payloads = peer.read(outcome.transmits[0].octets)
    assert payloads == (Notify(NotifyType.NO_ADDITIONAL_SAS),)
    event = only(outcome, RequestRefused)
    assert isinstance(event, RequestRefused)
    assert event.identity == "fqdn:gm1.dev"
    assert peer.ask(server, INFORMATIONAL) == ()


@pytest.mark.parametrize(
    "exchange", [ExchangeType.GSA_AUTH, ExchangeType.IKE_AUTH, ExchangeType.GSA_INBAND_REKEY, 240]
)
def test_an_exchange_out_of_place_is_dropped(exchange: int) -> None:
    """GSA_AUTH comes once; GSA_INBAND_REKEY only from the GCKS (RFC 9838 section 2.4.2)."""
    server, peer = registered()
    request = peer.request(exchange, DEMO, message_id=2)
    assert dropped(server.receive(request, peer)) is DropReason.UNEXPECTED_EXCHANGE
    assert peer.ask(server, INFORMATIONAL) == ()


# --- Message IDs --------------------------------------------------------------------------------


def test_a_retransmitted_request_gets_the_identical_response() -> None:
    """RFC 7296 section 2.1: and nothing happens twice."""
    server, peer = registered("sender1")
    request = peer.request(REGISTRATION, OTHER, group_sender())
    first = server.answer(request, peer)
    for _ in range(3):
        again = server.receive(request, peer)
        assert [t.octets for t in again.transmits] == [first]
        assert (again.journal, again.events) == ([], [])
    left = server.engine.groups["keyid:other"].sender_ids.next
    assert left == 1


def test_a_retransmitted_gsa_auth_gets_the_identical_response() -> None:
    server, peer = Server(), Initiator()
    peer.meet(server)
    request = peer.auth()
    first = server.answer(request, peer)
    again = server.receive(request, peer)
    assert [t.octets for t in again.transmits] == [first]
    assert again.events == []


@pytest.mark.parametrize("message_id", [0, 1, 3, 4, 0xFFFFFFFF])
def test_other_message_ids_are_out_of_the_window(message_id: int) -> None:
    """RFC 7296 section 2.3: window size 1; an old one again may only be the last."""
    server, peer = registered()
    peer.ask(server, INFORMATIONAL)
    peer.ask(server, INFORMATIONAL)
    assert peer.next_message_id == 4
    if message_id == 4:
        message_id = 5
    request = peer.request(INFORMATIONAL, message_id=message_id)
    outcome = server.receive(request, peer)
    if message_id == 3:
        assert outcome.transmits, "the last request again"
    else:
        assert dropped(outcome) is DropReason.OUT_OF_WINDOW
    assert peer.ask(server, INFORMATIONAL) == ()


def test_a_replay_with_another_content_repeats_the_old_answer() -> None:
    """An authentic message with the last Message ID can't change what was done."""
    server, peer = registered()
    first = server.answer(peer.request(INFORMATIONAL), peer)
    other = peer.request(INFORMATIONAL, DELETE_IKE, message_id=2)
    assert server.answer(other, peer) == first
    assert server.engine.ike_sas.established == 1


# --- who speaks ---------------------------------------------------------------------------------


def test_what_fails_its_icv_changes_nothing() -> None:
    server, peer = registered()
    request = peer.request(INFORMATIONAL, DELETE_IKE)
    for at in range(32, len(request)):
        assert dropped(server.receive(bent(request, at, request[at] ^ 1), peer)) is (
            DropReason.BAD_INTEGRITY
        )
    assert server.engine.ike_sas.established == 1


@pytest.mark.parametrize(("at", "reason"), [
    (0, DropReason.UNKNOWN_SPI), (8, DropReason.UNKNOWN_SPI), (17, DropReason.BAD_INTEGRITY),
    (18, DropReason.BAD_INTEGRITY), (20, DropReason.OUT_OF_WINDOW), (28, DropReason.BAD_INTEGRITY),
])  # fmt: skip
def test_the_header_is_protected_too(at: int, reason: DropReason) -> None:
    server, peer = registered()
    request = peer.request(INFORMATIONAL, DELETE_IKE)
    assert dropped(server.receive(bent(request, at, request[at] ^ 1), peer)) is reason
    assert server.engine.ike_sas.established == 1


def test_the_sa_follows_its_peer() -> None:
    """RFC 7296 section 2.23: a NAT may give the peer another address at any time."""
    server, peer = registered()
    peer.path = Path(SERVER, Endpoint("203.0.113.5", 1024))
    assert peer.ask(server, INFORMATIONAL) == ()
    (delete,) = server.wait(IDLE).transmits
    assert delete.path == peer.path


def test_a_replayed_request_from_elsewhere_does_not_move_the_sa() -> None:
    server, peer = registered()
    request = peer.request(INFORMATIONAL)
    server.receive(request, peer)
    server.engine.receive(request, Path(SERVER, Endpoint("198.51.100.66", 500)), 0.0)
    (delete,) = server.wait(IDLE).transmits
    assert delete.path == peer.path


@pytest.mark.parametrize("flags", [0, FLAG_RESPONSE])
def test_a_message_without_the_initiator_flag_is_dropped(flags: int) -> None:
    """RFC 7296 section 3.1: the peer is the original initiator; also stops reflections."""
    server, peer = registered()
    message = peer.protection.seal_messages(INFORMATIONAL, flags, 2, (), None)[0]
    assert dropped(server.receive(message, peer)) is DropReason.WRONG_ROLE


def test_our_own_messages_come_back_as_strangers() -> None:
    """A reflected message is never taken for the peer's (RFC 9838 section 7.2.5)."""
    server, peer = registered()
    (delete,) = server.wait(IDLE).transmits
    assert dropped(server.receive(delete.octets, peer)) is DropReason.WRONG_ROLE
    flagged = bent(delete.octets, 19, FLAG_INITIATOR)
    assert dropped(server.receive(flagged, peer)) is DropReason.OUT_OF_WINDOW


def test_a_response_to_nothing_is_dropped() -> None:
    server, peer = registered()
    response = peer.respond(INFORMATIONAL, 0)
    assert dropped(server.receive(response, peer)) is DropReason.OUT_OF_WINDOW


# --- what is malformed under the SA -------------------------------------------------------------


def ends_with(server: Server, peer: Initiator, request: bytes, notify: NotifyType) -> None:
    outcome = server.receive(request, peer)
    assert notifies(peer.read(outcome.transmits[0].octets)) == [notify]
    event = only(outcome, RegistrationRefused)
    assert isinstance(event, RegistrationRefused)
    assert (event.identity, event.reason) == ("fqdn:gm1.dev", RefusalReason.MALFORMED)
    assert only(outcome, IkeSaClosed)
    assert server.forgot_all_peers


@pytest.mark.parametrize("chain", [b"\0", b"\0\0\0\3", b"\0\0\xff\xff", b"\x2a\0\0\4" * 70])
def test_octets_that_are_no_payloads_end_the_sa(chain: bytes) -> None:
    """RFC 7296 section 2.21.3: INVALID_SYNTAX under an IKE SA is fatal to it."""
    server, peer = registered()
    envelope = Envelope(peer.spi_i, peer.spi_r, REGISTRATION, FLAG_INITIATOR, 2)
    cipher = peer.suite.make_cipher(peer.keys.sk_ei, peer.keys.sk_ai)
    request = seal_chain(cipher, os.urandom(8), envelope, 50, chain)
    ends_with(server, peer, request, NotifyType.INVALID_SYNTAX)


@pytest.mark.parametrize(
    "payloads",
    [
        (),
        (DEMO, DEMO),
        (DEMO, KeyDownload((), ())),
        (DEMO, GroupSecurityAssociation((), None)),
        (DEMO, *[Notify(40001)] * 40),
    ],
)
def test_payloads_out_of_place_end_the_sa(payloads: tuple[Payload, ...]) -> None:
    server, peer = registered()
    request = peer.request(REGISTRATION, *payloads)
    ends_with(server, peer, request, NotifyType.INVALID_SYNTAX)


def test_an_unknown_critical_payload_is_refused_and_the_sa_stays() -> None:
    """RFC 7296 section 2.5: only the request is rejected."""
    server, peer = registered()
    strange = UnknownPayload(200, critical=True, body=b"?")
    outcome = server.receive(peer.request(REGISTRATION, OTHER, strange), peer)
    payloads = peer.read(outcome.transmits[0].octets)
    assert payloads == (Notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, b"\xc8"),)
    event = only(outcome, RegistrationRefused)
    assert isinstance(event, RegistrationRefused)
    assert (event.group, event.identity) == ("keyid:other", "fqdn:gm1.dev")
    assert "GroupSecurityAssociation" in kinds(peer.ask(server, REGISTRATION, OTHER))


def test_random_payloads_never_shake_the_engine() -> None:
    """Whatever an authentic peer puts inside SK: an answer or a drop, never an internal error."""
    random = Random(5)
    for _ in range(300):
        server, peer = Server(), Initiator()
        peer.register(server)
        kind, chain = random.randrange(33, 54), random.randbytes(random.randrange(0, 60))
        if random.random() < 0.8 and len(chain) >= 4:
            chain = bytes((0, chain[1])) + len(chain).to_bytes(2, "big") + chain[4:]
        exchange = random.choice([REGISTRATION, INFORMATIONAL, ExchangeType.CREATE_CHILD_SA])
        envelope = Envelope(peer.spi_i, peer.spi_r, exchange, FLAG_INITIATOR, 2)
        cipher = peer.suite.make_cipher(peer.keys.sk_ei, peer.keys.sk_ai)
        outcome = server.receive(seal_chain(cipher, os.urandom(8), envelope, kind, chain), peer)
        assert outcome.transmits
        assert not [one for one in outcome.events if isinstance(one, DatagramDropped)]


# --- the end ------------------------------------------------------------------------------------


def test_an_idle_sa_is_closed_by_the_server() -> None:
    """RFC 9838 section 2.3.4: after a short time the GCKS SHOULD close the IKE SA.

    <-- HDR, SK{D}   HDR, SK{} -->
    """
    server, peer = registered()
    assert server.engine.next_timeout == IDLE
    assert server.wait(IDLE - 0.1).transmits == []
    outcome = server.wait(0.1)
    (transmit,) = outcome.transmits
    header = decode_header(transmit.octets)
    assert (header.exchange, header.flags, header.message_id) == (INFORMATIONAL, 0, 0)
    assert peer.read(transmit.octets) == (DELETE_IKE,)
    outcome = server.receive(peer.respond(INFORMATIONAL, 0), peer)
    assert outcome.transmits == []
    assert only(outcome, IkeSaClosed).cause == "registration is over"  # type: ignore[attr-defined]
    assert server.forgot_all_peers
    assert members(server) == ("fqdn:gm1.dev",)


def test_every_request_puts_the_end_off() -> None:
    server, peer = registered()
    for _ in range(5):
        assert server.wait(IDLE - 1).transmits == []
        assert peer.ask(server, INFORMATIONAL) == ()
    assert len(server.wait(IDLE).transmits) == 1


def test_the_delete_is_sent_again_bit_identical_with_growing_delays_and_then_no_more() -> None:
    """RFC 7296 section 2.1: retransmission of our request, a bounded number of times."""
    server, _ = registered()
    sent, times, closed = [], [], []
    while server.engine.ike_sas.established:
        due = server.engine.next_timeout
        assert due is not None
        outcome = server.wait(due - server.now)
        sent += [t.octets for t in outcome.transmits if not t.multicast]
        times += [server.now] * len(outcome.transmits)
        closed += [e for e in outcome.events if isinstance(e, IkeSaClosed)]
    assert times == [5.0, 7.0, 11.0, 19.0]
    assert len(set(sent)) == 1
    assert [e.cause for e in closed] == ["no answer to our Delete"]
    assert server.now == 35.0
    assert server.forgot_all_peers


def test_a_late_answer_ends_it_too() -> None:
    server, peer = registered()
    server.wait(IDLE)
    server.wait(2.0)
    server.receive(peer.respond(INFORMATIONAL, 0), peer)
    assert server.forgot_all_peers
    assert server.wait(60.0).transmits == []


@pytest.mark.parametrize(
    ("exchange", "message_id", "reason"),
    [
        (INFORMATIONAL, 1, DropReason.OUT_OF_WINDOW),
        (REGISTRATION, 0, DropReason.OUT_OF_WINDOW),
    ],
)
def test_a_wrong_response_does_not_end_it(
    exchange: int, message_id: int, reason: DropReason
) -> None:
    server, peer = registered()
    server.wait(IDLE)
    response = peer.respond(exchange, message_id)
    assert dropped(server.receive(response, peer)) is reason
    good = peer.respond(INFORMATIONAL, 0)
    forged = bent(good, -1, good[-1] ^ 1)
    assert dropped(server.receive(forged, peer)) is DropReason.BAD_INTEGRITY
    assert server.engine.ike_sas.established == 1


def test_a_request_that_crosses_our_delete_is_still_answered() -> None:
    """RFC 7296 section 2.25.2: requests may cross."""
    server, peer = registered()
    server.wait(IDLE)
    assert kinds(peer.ask(server, REGISTRATION, OTHER)) == GSA_KD
    assert peer.ask(server, INFORMATIONAL, DELETE_IKE) == ()
    assert server.forgot_all_peers


def test_registrations_that_are_over_leave_only_members() -> None:
    """No growth without bound: neither SAs nor timers stay."""
    server = Server()
    for number in range(100):
        peer = Initiator(f"gm{number}", port=1000 + number)
        peer.register(server)
        server.wait(0.01)
        peer.ask(server, INFORMATIONAL, DELETE_IKE)
    assert server.forgot_all_peers
    server.wait(40.0)
    assert len(server.engine.ike_sas.timers) == 0
    assert len(members(server)) == 100


def test_established_sas_have_a_limit() -> None:
    server = Server(settings=replace(SERVER_SETTINGS, max_ike_sas=2))
    for number in range(2):
        Initiator(f"gm{number}", port=1000 + number).register(server)
    late = Initiator("late")
    assert dropped(server.receive(late.init(), late)) is DropReason.LIMIT
    for _ in range(1 + SERVER_SETTINGS.retransmission.tries):
        server.wait(60.0)
    assert late.meet(server)


# --- the boundary -------------------------------------------------------------------------------


class Broken(Exception):
    """Stands for a bug of ours."""


def test_an_internal_error_costs_one_sa_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """One boundary per datagram: counted, named without data, and the engine goes on."""
    server, peer = registered()
    other = Initiator("gm2", host="10.0.0.2")
    other.register(server)

    with monkeypatch.context() as patch:
        patch.setattr(exchanges, "key_payloads", explode)
        outcome = server.receive(peer.request(REGISTRATION, OTHER), peer)
    event = outcome.events[-1]
    assert isinstance(event, DatagramDropped) and event.reason is DropReason.INTERNAL_ERROR
    assert event.detail.startswith("Broken in ")
    assert "gm1" not in event.detail
    assert server.engine.ike_sas.established == 1
    assert [entry.group for entry in outcome.journal] == ["keyid:other"], "what it has decided"
    gone = server.receive(peer.request(INFORMATIONAL), peer)
    assert dropped(gone) is DropReason.UNKNOWN_SPI
    assert other.ask(server, REGISTRATION, OTHER)
    assert outcome.next_timeout is not None


def explode(*_: object) -> Any:
    raise Broken("fqdn:gm1.dev and other data that must not be logged")


def test_an_internal_error_before_the_icv_is_checked_costs_nobody_its_sa(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else whoever finds such a bug could end the SAs of others."""
    server, peer = registered()

    def explode(*_: object) -> None:
        raise Broken

    with monkeypatch.context() as patch:
        patch.setattr("gcks.ike.protect.read_encrypted", explode)
        outcome = server.receive(peer.request(INFORMATIONAL, message_id=2), peer)
    assert dropped(outcome) is DropReason.INTERNAL_ERROR
    assert peer.ask(server, INFORMATIONAL) == ()


def test_a_broken_timer_of_one_sa_ends_that_sa_only(monkeypatch: pytest.MonkeyPatch) -> None:
    server, peer = registered()
    other = Initiator("gm2", host="10.0.0.2")
    other.register(server)
    real = type(peer.protection).seal_messages

    def explode(self: object, *args: object) -> bytes:
        if self.spi_i == peer.spi_i:  # type: ignore[attr-defined]
            raise Broken("secret")
        return real(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(type(peer.protection), "seal_messages", explode)
        outcome = server.wait(IDLE)
    assert [t.path for t in outcome.transmits] == [other.path]
    closed = only(outcome, IkeSaClosed)
    assert isinstance(closed, IkeSaClosed)
    assert closed.identity == "fqdn:gm1.dev"
    assert closed.cause.startswith("Broken in ")
    assert server.engine.ike_sas.established == 1


def test_an_outcome_always_tells_the_next_timeout() -> None:
    """The edge sets its timer by it after each call."""
    server, peer = registered()
    for datagram in (b"", peer.request(INFORMATIONAL, message_id=77), peer.init()):
        outcome = server.engine.receive(datagram, peer.path, server.now)
        assert outcome.next_timeout == server.engine.next_timeout is not None


def test_a_single_sender_that_comes_back_has_its_sa_renewed_at_once() -> None:
    """RFC 9838 section 2.6: receivers would take its new packets for replays."""
    server = Server()
    policy = server.engine.groups["keyid:demo"].policy
    source = TrafficSelector.single("10.0.0.1", 17, 0)
    sa = replace(policy.data_sas[0], senders="single", sender="fqdn:sender.dev", source=source)
    reload = Reload(SERVER_SETTINGS, PSK, {policy.name: replace(policy, data_sas=(sa,))})
    server.engine.command(reload, server.now)
    server.wait(30)
    for again in (False, True):
        registered = Initiator("sender").register(server, DEMO, group_sender())
        assert notifies(registered) == []
        sent = [
            e
            for e in server.wait(0).events
            if isinstance(e, RekeySent) and e.copy == 1 and not e.reminder
        ]
        assert bool(sent) is again
