"""The member's IKE SA against a misbehaving network and server, datagram by datagram.

Shows gcks/member and gcks/ike/secured.py.
"""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random

import pytest

from gcks.datagrams import Endpoint, Path
from gcks.errors import DropReason
from gcks.events import (
    DatagramDropped,
    IkeSaClosed,
    RegisterAgain,
    Registered,
    RegistrationAttemptFailed,
    RequestRefused,
    Reregistering,
)
from gcks.iana import AuthMethod, ExchangeType, NotifyType, PayloadType, ProtocolId
from gcks.ike import ike_rekey
from gcks.ike.ike_rekey import OptimizedRekey
from gcks.ike.legality import Rule, check
from gcks.ike.protect import Envelope, IkeProtection, seal_chain
from gcks.ike.secured import Secured
from gcks.ike.succession import REKEY_RETRY_SECONDS
from gcks.member.ceiling import Ceiling
from gcks.member.change import MemberChange
from gcks.member.engine import MemberEngine
from gcks.member.settings import DEFAULT_IKE_PROPOSALS, GroupMembership, MemberSettings
from gcks.wire.authentication import Authentication
from gcks.wire.delete import Delete
from gcks.wire.header import FLAG_INITIATOR, FLAG_RESPONSE, HEADER_OCTETS, decode_header
from gcks.wire.identification import Identity, IDr
from gcks.wire.message import encode_message
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload, decode_chain
from gcks.wire.sa import SecurityAssociation
from gcks.wire.unknown import UnknownPayload
from tests.support.world import PSK, SERVER_HOST, SERVER_IDENTITY, World, group_policy, state

MEMBER = Endpoint("10.0.0.1", 500)
SERVER = Endpoint(SERVER_HOST, 500)
TO_MEMBER = Path(MEMBER, SERVER)
TO_SERVER = Path(SERVER, MEMBER)


class Pair:
    """One member and one server; the test carries every datagram itself."""

    def __init__(self, groups: tuple[str, ...] = ("demo",), *, multicast: bool = True) -> None:
        """Prepare; not `multicast`: the groups are rekeyed in-band."""
        policies = [group_policy(name, number=8 + i) for i, name in enumerate(groups)]
        if not multicast:
            policies = [replace(policy, rekey=None) for policy in policies]
        self.world = World(groups=policies)
        settings = MemberSettings(
            Identity.parse("fqdn:gm1.dev"),
            SERVER,
            SERVER_IDENTITY,
            MEMBER,
            tuple(GroupMembership(Identity.parse(f"keyid:{name}")) for name in groups),
        )
        self.member = MemberEngine(
            settings,
            PSK,
            Ceiling(),
            entropy=os.urandom,
            wall=self.world.network.wall,
            jitter=lambda limit: limit,
        )

    def answer(self, outcome: MemberChange, now: float = 0.0) -> bytes:
        """Let the server answer the member's only request."""
        (request,) = outcome.transmits
        (response,) = self.world.server.receive(request.octets, TO_SERVER, now).transmits
        return response.octets

    def give(self, datagram: bytes, now: float = 0.0) -> MemberChange:
        return self.member.receive(datagram, TO_MEMBER, now)

    def half_way(self) -> MemberChange:
        """Go as far as the GSA_AUTH request."""
        return self.give(self.answer(self.member.start(0.0)))

    def registered(self) -> Pair:
        outcome = self.give(self.answer(self.half_way()))
        assert any(isinstance(event, Registered) for event in outcome.events)
        return self

    @property
    def protection(self) -> IkeProtection:
        """Protect as the server does: with the keys of the IKE SA."""
        session = self.member.session
        assert session is not None
        assert session.sa is not None
        sa = session.sa
        make = sa.suite.make_cipher
        return IkeProtection(
            sa.protection.spi_i,
            sa.protection.spi_r,
            outbound=make(sa.keys.sk_er, sa.keys.sk_ar),
            inbound=make(sa.keys.sk_ei, sa.keys.sk_ai),
            entropy=os.urandom,
        )

    def request(self, exchange: int, *payloads: Payload, message_id: int = 0) -> bytes:
        return self.protection.seal_messages(exchange, 0, message_id, payloads, None)[0]

    def read(self, outcome: MemberChange) -> tuple[Payload, ...]:
        (transmit,) = outcome.transmits
        header = decode_header(transmit.octets)
        assert header.flags == FLAG_INITIATOR | FLAG_RESPONSE
        return decode_chain(*self.protection.open(transmit.octets, header))


def reason(outcome: MemberChange) -> DropReason:
    (event,) = [one for one in outcome.events if isinstance(one, DatagramDropped)]
    assert outcome.data_plane == []
    return event.reason


# --- IKE_SA_INIT -------------------------------------------------------------------------------


def test_a_response_from_elsewhere_is_ignored() -> None:
    pair = Pair()
    response = pair.answer(pair.member.start(0.0))
    elsewhere = Path(MEMBER, Endpoint("203.0.113.9", 500))
    assert reason(pair.member.receive(response, elsewhere, 0.0)) is DropReason.UNKNOWN_SPI
    assert pair.give(response).transmits


def test_a_forged_refusal_doesnt_stop_the_registration() -> None:
    """RFC 7296 section 2.21.1: an error in clear may come from anybody."""
    pair = Pair()
    response = pair.answer(pair.member.start(0.0))
    header = decode_header(response)
    forged = encode_message(
        header.spi_i, bytes(8), 34, FLAG_RESPONSE, 0, (Notify(NotifyType.NO_PROPOSAL_CHOSEN),)
    )
    assert reason(pair.give(forged)) is DropReason.UNPROVED_REFUSAL
    assert pair.give(response).transmits


def test_a_refusal_that_stands_is_believed_at_the_next_timeout() -> None:
    pair = Pair()
    header = decode_header(pair.member.start(0.0).transmits[0].octets)
    refused = encode_message(
        header.spi_i, bytes(8), 34, FLAG_RESPONSE, 0, (Notify(NotifyType.NO_PROPOSAL_CHOSEN),)
    )
    due = pair.give(refused, 0.1).next_timeout
    assert due == 1.0
    (failure,) = pair.member.handle_timeout(due).events
    assert isinstance(failure, RegistrationAttemptFailed)
    assert "NO_PROPOSAL_CHOSEN" in failure.cause


def test_our_own_request_reflected_is_dropped() -> None:
    pair = Pair()
    request = pair.member.start(0.0).transmits[0].octets
    assert reason(pair.give(request)) is DropReason.WRONG_ROLE


def test_requests_are_repeated_with_exponential_back_off_and_then_given_up() -> None:
    """RFC 7296 section 2.4: bit-identical, bounded."""
    pair = Pair()
    outcome = pair.member.start(0.0)
    first, gaps, now = outcome.transmits[0].octets, [], 0.0
    for _ in range(5):
        assert outcome.next_timeout is not None
        gaps.append(outcome.next_timeout - now)
        now = outcome.next_timeout
        outcome = pair.member.handle_timeout(now)
        assert [one.octets for one in outcome.transmits] == [first]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 8 * gaps[0]
    assert outcome.next_timeout is not None
    final = pair.member.handle_timeout(outcome.next_timeout)
    assert final.transmits == []
    assert isinstance(final.events[0], RegistrationAttemptFailed)


# --- protected responses ------------------------------------------------------------------------


def test_a_changed_octet_anywhere_in_the_response_is_noticed() -> None:
    """RFC 7296 section 2.21.2: bad integrity is dropped, the true response still counts."""
    pair = Pair()
    response = pair.answer(pair.half_way())
    for position in range(HEADER_OCTETS + 4, len(response), 7):
        broken = bytearray(response)
        broken[position] ^= 1
        assert reason(pair.give(bytes(broken))) is DropReason.BAD_INTEGRITY
    assert any(isinstance(event, Registered) for event in pair.give(response).events)


def test_a_doubled_response_is_out_of_window() -> None:
    pair = Pair()
    response = pair.answer(pair.half_way())
    pair.give(response)
    assert reason(pair.give(response)) is DropReason.OUT_OF_WINDOW


def test_a_request_before_authentication_is_dropped() -> None:
    pair = Pair()
    pair.half_way()
    liveness = pair.request(ExchangeType.INFORMATIONAL)
    assert reason(pair.give(liveness)) is DropReason.UNEXPECTED_EXCHANGE


def test_a_malformed_authentic_response_ends_the_attempt() -> None:
    """RFC 7296 section 2.21.3."""
    pair = Pair()
    pair.half_way()
    session = pair.member.session
    assert session is not None
    assert session.sa is not None
    sa = session.sa
    envelope = Envelope(
        sa.protection.spi_i, sa.protection.spi_r, ExchangeType.GSA_AUTH, FLAG_RESPONSE, 1
    )
    cipher = sa.suite.make_cipher(sa.keys.sk_er, sa.keys.sk_ar)
    broken = seal_chain(cipher, bytes(8), envelope, PayloadType.GSA, b"\0\0\0\x40nonsense")
    outcome = pair.give(broken)
    (failure,) = outcome.events
    assert isinstance(failure, RegistrationAttemptFailed)
    assert "malformed" in failure.cause


def test_a_server_that_doesnt_authenticate_itself_gives_nothing() -> None:
    """GSA and KD without AUTH are worth nothing."""
    pair = Pair()
    pair.half_way()
    payloads = (Notify(NotifyType.USE_TRANSPORT_MODE),)
    (sealed,) = pair.protection.seal_messages(
        ExchangeType.GSA_AUTH, FLAG_RESPONSE, 1, payloads, None
    )
    outcome = pair.give(sealed)
    assert outcome.data_plane == []
    assert isinstance(outcome.events[0], RegistrationAttemptFailed)


@pytest.mark.parametrize("bent", ["no AUTH", "another AUTH", "no IDr", "another IDr"])
def test_gsa_and_kd_of_somebody_else_give_nothing(bent: str) -> None:
    """RFC 9838 section 2.3.3: the exchange is authenticated before GSA and KD are processed."""
    pair = Pair()
    response = pair.answer(pair.half_way())
    session = pair.member.session
    assert session is not None
    assert session.sa is not None
    idr, auth, *rest = decode_chain(*session.sa.protection.open(response, decode_header(response)))
    proof: dict[str, tuple[Payload, ...]] = {
        "no AUTH": (idr,),
        "another AUTH": (idr, Authentication(AuthMethod.SHARED_KEY_MIC, bytes(32))),
        "no IDr": (auth,),
        "another IDr": (IDr(Identity.parse("fqdn:other.dev")), auth),
    }
    sealed = pair.protection.seal_messages(
        ExchangeType.GSA_AUTH, FLAG_RESPONSE, 1, (*proof[bent], *rest), None
    )[0]
    outcome = pair.give(sealed)
    assert outcome.data_plane == []
    assert isinstance(outcome.events[0], RegistrationAttemptFailed)
    assert pair.member.status(0.0).groups[0].state == "waiting"


# --- the server's requests -----------------------------------------------------------------------


def test_a_liveness_check_is_answered_and_repeated_bit_identical() -> None:
    """RFC 7296 sections 1.4, 2.1."""
    pair = Pair().registered()
    liveness = pair.request(ExchangeType.INFORMATIONAL)
    first = pair.give(liveness)
    assert pair.read(first) == ()
    assert pair.give(liveness).transmits == first.transmits
    beyond = pair.request(ExchangeType.INFORMATIONAL, message_id=5)
    assert reason(pair.give(beyond)) is DropReason.OUT_OF_WINDOW


def test_delete_is_answered_and_closes_the_ike_sa_but_not_the_group() -> None:
    """RFC 9838 section 2.3.3: by convention the GCKS closes the IKE SA."""
    pair = Pair().registered()
    outcome = pair.give(pair.request(ExchangeType.INFORMATIONAL, Delete(ProtocolId.IKE, 0, ())))
    assert len(outcome.transmits) == 1
    assert isinstance(outcome.events[0], IkeSaClosed)
    status = pair.member.status(0.0)
    assert (status.ike_sa, status.groups[0].state) == ("none", "registered")


def test_without_a_rekey_sa_the_closed_ike_sa_excludes_the_member() -> None:
    """RFC 9838 section 2.3.3: the GM MUST consider itself excluded, and re-registers."""
    pair = Pair(multicast=False).registered()
    outcome = pair.give(pair.request(ExchangeType.INFORMATIONAL, Delete(ProtocolId.IKE, 0, ())))
    reasons = [one.reason for one in outcome.events if isinstance(one, Reregistering)]
    assert reasons == [RegisterAgain.IKE_SA_CLOSED]
    assert pair.member.groups[0].holding.data_sas == ()


def colliding() -> tuple[Pair, Secured, bytes]:
    """Let both sides ask for a new IKE SA; the server's is in use, the member's unanswered.

    Return the SA that is replaced and the server's new SPI too.
    """
    pair = Pair().registered()
    session = pair.member.session
    assert session is not None
    (old,) = session.sas
    old.rekey_at = 0.0
    pair.member.handle_timeout(0.0)
    theirs = ike_rekey.begin(
        old.parent, DEFAULT_IKE_PROPOSALS, b"server's", os.urandom, optimized=False
    )
    pair.give(pair.request(ExchangeType.CREATE_CHILD_SA, *theirs.payloads(0)))
    return pair, old, theirs.spi


def rekey_answer(pair: Pair, old: Secured, *payloads: Payload) -> MemberChange:
    pending = old.channel.pending
    assert pending is not None
    (response,) = pair.protection.seal_messages(
        ExchangeType.CREATE_CHILD_SA, FLAG_RESPONSE, pending.message_id, payloads, None
    )
    return pair.give(response)


def test_a_nonsensical_answer_costs_no_more_than_the_ike_sa_that_is_replaced() -> None:
    """RFC 7296 sections 2.8.2, 2.21.3: the server's new IKE SA is in use already."""
    pair, old, spi = colliding()
    session = pair.member.session
    outcome = rekey_answer(pair, old, Nonce(bytes(32)))
    assert session is not None and pair.member.session is session
    assert [sa.channel.protection.spi_i for sa in session.sas] == [spi]
    assert not [event for event in outcome.events if isinstance(event, IkeSaClosed)]


def test_our_ike_sa_that_has_lost_is_deleted_and_not_used() -> None:
    """RFC 7296 section 2.8.2: the member can ask over the server's at once."""
    pair, old, spi = colliding()
    asked = old.rekey_request
    assert asked is not None
    rule = Rule(ExchangeType.CREATE_CHILD_SA, is_response=False)
    payloads, _ = ike_rekey.answer(
        check(rule, asked.payloads(OptimizedRekey().rekey)),
        old.parent,
        DEFAULT_IKE_PROPOSALS,
        os.urandom(8),
        bytes,
        optimized_rekey=OptimizedRekey().rekey,
    )
    (delete,) = rekey_answer(pair, old, *payloads).transmits
    header = decode_header(delete.octets)
    assert (header.exchange, header.spi_i) == (ExchangeType.INFORMATIONAL, asked.spi)
    session = pair.member.session
    assert session is not None and session.idle
    assert session.current().channel.protection.spi_i == spi


def test_a_refused_rekey_is_tried_again_later() -> None:
    """RFC 7296 section 2.25: TEMPORARY_FAILURE."""
    pair = Pair().registered()
    session = pair.member.session
    assert session is not None
    (old,) = session.sas
    old.rekey_at = 0.0
    pair.member.handle_timeout(0.0)
    rekey_answer(pair, old, Notify(NotifyType.TEMPORARY_FAILURE))
    assert pair.member.handle_timeout(REKEY_RETRY_SECONDS - 1.0).transmits == []
    (again,) = pair.member.handle_timeout(REKEY_RETRY_SECONDS).transmits
    assert decode_header(again.octets).exchange == ExchangeType.CREATE_CHILD_SA


def test_a_child_sa_is_refused() -> None:
    """RFC 9838 section 2.3: NOT RECOMMENDED over the registration SA."""
    pair = Pair().registered()
    proposal = replace(DEFAULT_IKE_PROPOSALS.proposals[0], protocol=ProtocolId.ESP, spi=b"spi1")
    child = (SecurityAssociation((proposal,)), Nonce(bytes(32)))
    outcome = pair.give(pair.request(ExchangeType.CREATE_CHILD_SA, *child))
    assert pair.read(outcome) == (Notify(NotifyType.NO_ADDITIONAL_SAS),)
    (told,) = [one for one in outcome.events if isinstance(one, RequestRefused)]
    assert (told.exchange, told.notify) == (
        ExchangeType.CREATE_CHILD_SA,
        NotifyType.NO_ADDITIONAL_SAS,
    )


@pytest.mark.parametrize("data", [b"", b"not for us" * 30])
@pytest.mark.parametrize(
    "kind",
    [
        NotifyType.INVALID_GROUP_ID,
        NotifyType.AUTHORIZATION_FAILED,
        NotifyType.REGISTRATION_FAILED,
    ],
)
def test_the_data_of_a_refusal_is_ignored(kind: NotifyType, data: bytes) -> None:
    """RFC 9838 sections 4.7.1 to 4.7.3: MUST be ignored on receipt."""
    pair = Pair(("demo", "other"))
    outcome = pair.give(pair.answer(pair.half_way()))
    (request,) = outcome.transmits
    header = decode_header(request.octets)
    assert header.exchange == ExchangeType.GSA_REGISTRATION
    response = pair.protection.seal_messages(
        header.exchange, FLAG_RESPONSE, header.message_id, (Notify(kind, data),), None
    )[0]
    events = pair.give(response).events
    (failed,) = [one for one in events if isinstance(one, RegistrationAttemptFailed)]
    assert failed.group == "keyid:other"
    assert str(kind) in failed.cause


def test_an_unknown_critical_payload_is_named() -> None:
    """RFC 7296 section 2.5."""
    pair = Pair().registered()
    unknown = UnknownPayload(201, critical=True, body=b"")
    outcome = pair.give(pair.request(ExchangeType.INFORMATIONAL, unknown))
    assert pair.read(outcome) == (Notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, b"\xc9"),)


def test_an_unknown_exchange_is_dropped() -> None:
    pair = Pair().registered()
    assert reason(pair.give(pair.request(77))) is DropReason.UNEXPECTED_EXCHANGE


def test_a_malformed_authentic_request_closes_the_ike_sa() -> None:
    """RFC 7296 section 2.21.3: INVALID_SYNTAX is fatal."""
    pair = Pair().registered()
    session = pair.member.session
    assert session is not None
    assert session.sa is not None
    sa = session.sa
    envelope = Envelope(sa.protection.spi_i, sa.protection.spi_r, ExchangeType.INFORMATIONAL, 0, 0)
    cipher = sa.suite.make_cipher(sa.keys.sk_er, sa.keys.sk_ar)
    broken = seal_chain(cipher, bytes(8), envelope, PayloadType.DELETE, b"\0\0\0\x40x")
    protection = pair.protection
    outcome = pair.give(broken)
    answer = outcome.transmits[0].octets
    assert decode_chain(*protection.open(answer, decode_header(answer))) == (
        Notify(NotifyType.INVALID_SYNTAX),
    )
    assert pair.member.status(0.0).ike_sa == "none"


# --- an IKE SA that is gone ---------------------------------------------------------------------


def test_a_dead_ike_sa_is_replaced_for_the_next_registration() -> None:
    """The server restarted; GSA_REGISTRATION gets no answer, a new IKE SA does."""
    world = World()
    node = world.member("gm1")
    world.run(1.0)
    world.start_server()
    engine = node.engine
    engine.groups[0].register_now("test", 1.0, MemberChange())
    world.network.member_did(node, engine.handle_timeout(1.0))
    assert engine.status(1.0).ike_sa == "established"
    world.run(60.0)
    assert state(node) == "registered"
    assert len(node.all(Registered)) == 2
    assert node.all(RegistrationAttemptFailed) == []


# --- anything at all ------------------------------------------------------------------------------


def _mangle(random: Random, datagram: bytes) -> bytes:
    kind = random.randrange(5)
    octets = bytearray(datagram)
    if kind == 0:
        return random.randbytes(random.randrange(200))
    if kind == 1:
        del octets[random.randrange(len(octets)) :]
    elif kind == 2:
        octets += random.randbytes(random.randrange(1, 40))
    for _ in range(random.randrange(1, 6)):
        if octets:
            octets[random.randrange(len(octets))] = random.randrange(256)
    if kind > 2 and len(octets) >= HEADER_OCTETS:
        octets[24:28] = len(octets).to_bytes(4, "big")
    return bytes(octets) if octets != datagram else datagram[:-1]


@pytest.mark.parametrize("seed", range(4))
def test_mangled_datagrams_never_raise_and_change_nothing(seed: int) -> None:
    """Never a traceback, always counted, and no state that grows."""
    random = Random(seed)
    pair = Pair().registered()
    before = pair.member.status(0.0)
    liveness = pair.request(ExchangeType.INFORMATIONAL)
    for _ in range(300):
        outcome = pair.give(_mangle(random, liveness))
        dropped = [one for one in outcome.events if isinstance(one, DatagramDropped)]
        assert len(dropped) == 1
        assert dropped[0].reason is not DropReason.INTERNAL_ERROR
        assert outcome.transmits == []
    assert pair.member.status(0.0) == before
