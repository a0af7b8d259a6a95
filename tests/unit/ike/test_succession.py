"""A new IKE SA in the place of an old one: every case of the table in `gcks.ike.succession`.

RFC 7296 sections 1.3.2, 2.8, 2.8.2, 2.25.  Everything is shown for the original
initiator of the old IKE SA (which a GM is) and for its responder (a GCKS).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

import pytest

from gcks.crypto.encr import make_cipher
from gcks.datagrams import Endpoint, Path, Transmit
from gcks.errors import LocalError, NoAdditionalSas, PeerError, TemporaryFailure
from gcks.iana import ExchangeType, Ke, NotifyType, PayloadType, ProtocolId
from gcks.ike import ike_rekey, succession
from gcks.ike.channel import Channel, Repeated, Request, Response
from gcks.ike.ike_rekey import OptimizedRekey, Parent, Successor, Try
from gcks.ike.keywords import parse_ike
from gcks.ike.legality import Contents, Rule, check
from gcks.ike.negotiation import choose
from gcks.ike.protect import IkeProtection
from gcks.ike.retransmission import Retransmission
from gcks.ike.secured import LINGER_SECONDS, Asked, Secured
from gcks.ike.succession import (
    MAX_REKEY_TRIES,
    REKEY_RETRY_SECONDS,
    AskAgain,
    AskLater,
    Close,
    Decision,
    Forget,
    Redundant,
    TakeOver,
)
from gcks.wire.delete import Delete
from gcks.wire.header import decode_header
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload, decode_chain
from gcks.wire.sa import SecurityAssociation
from gcks.wire.unknown import UnknownPayload

REKEY, INFORMATIONAL = ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL
PATH = Path(Endpoint("192.0.2.1", 500), Endpoint("10.0.0.1", 500))
NONCE_OCTETS, FRAGMENT_OCTETS = 32, 1200
LOW, HIGH = 1, 200
NOW = 1000.0
Datagrams = Sequence[Transmit]


@dataclass(frozen=True)
class Settings:
    ike_proposals: SecurityAssociation
    retransmission: Retransmission
    optimized_rekey: OptimizedRekey | None
    ike_sa_rekey_seconds: float = 20.0
    liveness_seconds: float = 15.0
    """Both before a lingering IKE SA ends: one that is replaced must not care."""


SETTINGS = Settings(
    parse_ike(["aes256gcm16-prfsha256-x25519-ecp256-kw256"]),
    Retransmission(1.0, 2.0, 4),
    OptimizedRekey(),
)


class Side:
    """One side with its IKE SAs; the last that was made or taken over is used."""

    def __init__(self, sa: Secured) -> None:
        self.old, self.sas, self.used = sa, [sa], sa
        self.decisions: list[Decision] = []
        self.first_octet = HIGH

    def entropy(self, octets: int) -> bytes:
        drawn = os.urandom(octets)
        return bytes((self.first_octet,)) + drawn[1:] if octets == NONCE_OCTETS else drawn

    def ask(self, again: Try | None = None, *, first_octet: int = HIGH) -> Datagrams:
        self.first_octet = first_octet
        return self.old.rekey(SETTINGS, os.urandom(8), self.entropy, NOW, again)

    def take(self, datagrams: Datagrams, *, first_octet: int = HIGH) -> Datagrams:
        """Receive datagrams; return what to send because of them."""
        self.first_octet = first_octet
        return [out for datagram in datagrams for out in self._take(datagram.octets)]

    def _take(self, octets: bytes) -> Datagrams:
        header = decode_header(octets)
        found = self.of_spis(header.spi_i, header.spi_r)
        if found is None:
            return ()
        received = found.channel.receive(header, octets, NOW)
        if isinstance(received, Repeated):
            return [Transmit(datagram, PATH) for datagram in received.datagrams]
        if isinstance(received, Request):
            return self._request(found, received)
        assert isinstance(received, Response)
        asked, found.asked = found.asked, None
        if asked is Asked.DELETE:
            self.sas.remove(found)
        if asked is not Asked.REKEY:
            return ()
        return self._carry_out(found, succession.answered(found, received, SETTINGS, NOW))

    def of_spis(self, spi_i: bytes, spi_r: bytes) -> Secured | None:
        protections = ((sa, sa.channel.protection) for sa in self.sas)
        return next((sa for sa, p in protections if (p.spi_i, p.spi_r) == (spi_i, spi_r)), None)

    def _request(self, sa: Secured, request: Request) -> Datagrams:
        contents = check(
            Rule(request.exchange, is_response=False), decode_chain(request.first, request.chain)
        )
        if request.exchange == INFORMATIONAL:
            if contents.all(Delete):
                self.sas.remove(sa)
            return sa.channel.respond(INFORMATIONAL, ())
        try:
            payloads, decision = answer(self, sa, contents)
        except PeerError as error:
            return sa.channel.respond(REKEY, (Notify(error.notify, error.data),))
        sent = sa.channel.respond(REKEY, payloads)
        return [*sent, *self._carry_out(sa, decision)]

    def _carry_out(self, sa: Secured, decision: Decision) -> Datagrams:
        self.decisions.append(decision)
        match decision:
            case TakeOver(made, rival):
                lost = self.of_spis(rival.spi_i, rival.spi_r) if rival is not None else None
                self.used = self._add(sa, made)
                return succession.hand_over(sa, made, lost, SETTINGS, NOW)
            case Redundant(made):
                return self._add(sa, made).delete(SETTINGS, NOW)
            case AskAgain(wanted):
                return self.ask(wanted)
            case AskLater(at):
                sa.rekey_at = at
            case Close():
                self.sas.remove(sa)
            case Forget():
                pass
        return ()

    def _add(self, old: Secured, made: Successor) -> Secured:
        channel = succession.channel_of(made, old, self.entropy)
        new = Secured(channel, Parent(made.suite, made.keys.sk_d), made.gsk_w)
        new.inherit(old)
        new.begin_timers(SETTINGS, NOW)
        self.sas.append(new)
        return new


def answer(side: Side, sa: Secured, contents: Contents) -> tuple[tuple[Payload, ...], TakeOver]:
    return succession.answer(sa, contents, SETTINGS, os.urandom(8), side.entropy)


def sides(begins: int, *, optimized: tuple[bool, bool] = (True, True)) -> tuple[Side, Side]:
    """Return the side under test and its peer; the former has role `begins` on the old SA."""
    ciphers = [make_cipher(20, 0, os.urandom(36), b"") for _ in range(2)]
    suite = choose(SETTINGS.ike_proposals, SETTINGS.ike_proposals).suite
    parent = Parent(suite, os.urandom(32))

    def side(role: int, negotiated: bool) -> Side:
        out, back = ciphers[role], ciphers[1 - role]
        protection = IkeProtection(b"i" * 8, b"r" * 8, out, back, os.urandom)
        channel = Channel(protection, PATH, initiator=role == 0, fragment_octets=FRAGMENT_OCTETS)
        sa = Secured(channel, parent, bytes(32))
        sa.optimized = negotiated
        sa.begin_timers(SETTINGS, NOW)
        return Side(sa)

    return side(begins, optimized[0]), side(1 - begins, optimized[1])


def settle(ours: Side, peer: Side, *, to_peer: Datagrams = (), to_us: Datagrams = ()) -> None:
    """Exchange datagrams until nobody has anything to say."""
    for _ in range(20):
        if not to_peer and not to_us:
            return
        to_us, to_peer = peer.take(to_peer), ours.take(to_us)
    pytest.fail("the two don't come to rest")


def refuse(peer: Side, request: Datagrams, *payloads: Payload) -> Datagrams:
    """Answer a rekey request with payloads of the test's choice."""
    for datagram in request:
        peer.old.channel.receive(decode_header(datagram.octets), datagram.octets, NOW)
    return peer.old.channel.respond(REKEY, payloads)


def is_optimized(peer: Side, request: Datagrams) -> bool:
    """Read our request in the peer's stead, without answering it."""
    (datagram,) = request
    header = decode_header(datagram.octets)
    first, _ = peer.old.channel.protection.open(datagram.octets, header)
    return first == PayloadType.NOTIFY


def agree(ours: Side, peer: Side) -> None:
    """Assert that one IKE SA is left, the same on both sides and in use."""
    (left,), (theirs,) = ours.sas, peer.sas
    assert left is ours.used and theirs is peer.used
    assert left is not ours.old
    assert left.parent == theirs.parent
    assert left.gsk_w == theirs.gsk_w
    assert left.channel.initiator != theirs.channel.initiator
    assert left.replaced_by is None and theirs.replaced_by is None
    settle(ours, peer, to_peer=left.probe(SETTINGS, NOW))
    settle(ours, peer, to_us=theirs.probe(SETTINGS, NOW))


both_roles = pytest.mark.parametrize("begins", [0, 1], ids=["initiator", "responder"])


# --- no collision ---------------------------------------------------------------------------


@both_roles
def test_who_asks_uses_the_new_ike_sa_and_deletes_the_old_one(begins: int) -> None:
    """RFC 7296 section 2.8: the old one is deleted by who asked for the new one."""
    ours, peer = sides(begins)
    sent = ours.take(peer.take(ours.ask()))
    assert isinstance(ours.decisions[0], TakeOver)
    assert ours.decisions[0].rival is None
    assert ours.decisions[0].made.initiator
    assert ours.old.asked is Asked.DELETE
    assert ours.used.channel.initiator, "who asked is the new one's original initiator"
    settle(ours, peer, to_peer=sent)
    agree(ours, peer)


@both_roles
def test_who_answers_uses_the_new_ike_sa_and_waits_for_the_delete(begins: int) -> None:
    """RFC 7296 section 2.8; a peer that never deletes is not waited for without end."""
    ours, peer = sides(begins)
    peer.take(ours.take(peer.ask()))
    assert isinstance(ours.decisions[0], TakeOver)
    assert not ours.decisions[0].made.initiator
    assert ours.old in ours.sas and ours.old.asked is None
    assert ours.old.wants_at == NOW + LINGER_SECONDS, "neither probed nor rekeyed"
    late = ours.old.act(SETTINGS, os.urandom(8), ours.entropy, NOW + LINGER_SECONDS)
    assert late and ours.old.asked is Asked.DELETE


@both_roles
def test_both_may_close_the_old_ike_sa_at_once(begins: int) -> None:
    """RFC 7296 section 2.25.2: answer the Delete as usual, and forget about the own one."""
    ours, peer = sides(begins)
    theirs = peer.take(ours.take(peer.ask()))
    late = ours.old.act(SETTINGS, os.urandom(8), ours.entropy, NOW + LINGER_SECONDS)
    settle(ours, peer, to_peer=late or (), to_us=theirs)
    agree(ours, peer)


@both_roles
def test_the_new_ike_sa_inherits_what_is_not_negotiated_anew(begins: int) -> None:
    """RFC 7296 sections 2.2, 2.18: Message IDs begin at 0, in both directions."""
    ours, peer = sides(begins)
    ours.old.tries, ours.old.keepalive_at = 2, NOW + 5.0
    ours.take(peer.take(ours.ask()))
    new = ours.used
    assert (new.tries, new.keepalive_at, new.optimized) == (2, NOW + 5.0, True)
    assert (new.channel.path, new.channel.fragment_octets) == (PATH, FRAGMENT_OCTETS)
    assert (new.channel.next_message_id, new.channel.window.expected) == (0, 0)
    assert new.rekey_at == NOW + SETTINGS.ike_sa_rekey_seconds


@both_roles
def test_a_request_that_comes_again_gets_the_same_response(begins: int) -> None:
    """RFC 7296 section 2.1: the new IKE SA is in use, and it is made once."""
    ours, peer = sides(begins)
    request = peer.ask()
    (response, *_), (again, *_) = ours.take(request), ours.take(request)
    assert response.octets == again.octets
    assert len(ours.decisions) == 1
    settle(ours, peer, to_us=peer.take([again]))
    agree(ours, peer)


# --- both ask at the same time -----------------------------------------------------------------

FORMS = {
    "both_optimized": (None, None),
    "ours_regular": (Try(optimized=False, method=None), None),
    "theirs_regular": (None, Try(optimized=False, method=None)),
}
LOWEST = {
    "our_request": (LOW, HIGH, HIGH, HIGH),
    "their_response": (HIGH, HIGH, HIGH, LOW),
    "their_request": (HIGH, LOW, HIGH, HIGH),
    "our_response": (HIGH, HIGH, LOW, HIGH),
}
"""First octets of the nonces in our and their request, our and their response."""
OURS_LOSES = {"our_request", "their_response"}


@both_roles
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lowest", LOWEST)
def test_of_two_new_ike_sas_the_one_with_the_lowest_nonce_is_closed(
    begins: int, form: str, lowest: str
) -> None:
    """RFC 7296 section 2.8.2: by who asked for it; optimized or regular makes no difference."""
    ours, peer = sides(begins)
    nonces = LOWEST[lowest]
    to_peer = ours.ask(FORMS[form][0], first_octet=nonces[0])
    to_us = peer.ask(FORMS[form][1], first_octet=nonces[1])
    response = ours.take(to_us, first_octet=nonces[2])
    their_response = peer.take(to_peer, first_octet=nonces[3])
    assert ours.used.channel.initiator is False, "theirs is used until ours is answered"
    deletes, their_deletes = ours.take(their_response), peer.take(response)
    decision, mirrored = ours.decisions[-1], peer.decisions[-1]
    if lowest in OURS_LOSES:
        assert isinstance(decision, Redundant) and isinstance(mirrored, TakeOver)
        assert ours.old.asked is None, "the old one is the peer's to delete"
    else:
        assert isinstance(decision, TakeOver) and isinstance(mirrored, Redundant)
        assert decision.rival is not None
        assert ours.old.asked is Asked.DELETE
    assert len(ours.sas) == len(peer.sas) == 3
    assert len(deletes) == len(their_deletes) == 1
    settle(ours, peer, to_peer=deletes, to_us=their_deletes)
    agree(ours, peer)
    assert ours.used.channel.initiator is (lowest not in OURS_LOSES)


@pytest.mark.parametrize(
    ("lower", "higher"),
    [(b"\x01\xff", b"\x02\x00"), (b"\x01", b"\x01\x00"), (b"\x01\xff\xff", b"\x02")],
)
def test_nonces_are_compared_octet_by_octet(lower: bytes, higher: bytes) -> None:
    """RFC 7296 section 2.8.1: not as numbers; of two that begin alike the shorter is lower."""
    ours, peer = sides(0)
    ours.take(peer.take(ours.ask()))
    (decision,) = ours.decisions
    assert isinstance(decision, TakeOver)
    low = replace(decision.made, lowest_nonce=lower)
    high = replace(decision.made, lowest_nonce=higher)
    assert ike_rekey.surviving(low, high) is ike_rekey.surviving(high, low) is high


@both_roles
@pytest.mark.parametrize("lowest", LOWEST)
def test_a_collision_where_our_response_comes_after_the_deletes(begins: int, lowest: str) -> None:
    """RFC 7296 section 2.8.2: the peer knows of the collision first, and has closed the loser."""
    ours, peer = sides(begins)
    nonces = LOWEST[lowest]
    request = ours.ask(first_octet=nonces[0])
    response = ours.take(peer.ask(first_octet=nonces[1]), first_octet=nonces[2])
    late = peer.take(request, first_octet=nonces[3])
    settle(ours, peer, to_us=peer.take(response))
    settle(ours, peer, to_us=late)
    if lowest in OURS_LOSES:
        give_up_the_unknown(peer)
    agree(ours, peer)
    assert ours.used.channel.initiator is (lowest not in OURS_LOSES)


def give_up_the_unknown(peer: Side) -> None:
    """Let the peer delete our new IKE SA, of which we have never heard: it had lost."""
    (loser,) = (sa for sa in peer.sas if sa is not peer.used)
    at = NOW + LINGER_SECONDS
    assert loser.wants_at == at
    for _ in range(SETTINGS.retransmission.tries):
        assert loser.act(SETTINGS, os.urandom(8), peer.entropy, at)
        assert loser.asked is Asked.DELETE
        at = loser.wants_at
    assert loser.act(SETTINGS, os.urandom(8), peer.entropy, at) is None
    peer.sas.remove(loser)


@both_roles
def test_the_loser_waits_for_its_delete_and_serves_nothing_new(begins: int) -> None:
    """RFC 7296 section 2.25.2: one that is to be closed isn't rekeyed, probed or kept."""
    ours, peer = sides(begins)
    request = ours.ask(first_octet=HIGH)
    ours.take(peer.ask(first_octet=LOW))
    loser = ours.used
    ours.take(peer.take(request))
    assert ours.used is not loser
    loser.heard(SETTINGS, NOW)
    assert loser.wants_at == NOW + LINGER_SECONDS
    with pytest.raises(TemporaryFailure):
        answer(ours, loser, rekey_contents())


# --- one side is quicker -----------------------------------------------------------------------


def rekey_contents() -> Contents:
    """Return a valid request for a new IKE SA."""
    suite = choose(SETTINGS.ike_proposals, SETTINGS.ike_proposals).suite
    request = ike_rekey.begin(
        Parent(suite, bytes(32)), SETTINGS.ike_proposals, os.urandom(8), os.urandom, optimized=False
    )
    return check(Rule(REKEY, is_response=False), request.payloads(0))


@both_roles
def test_our_request_comes_too_late_and_is_forgotten(begins: int) -> None:
    """RFC 7296 section 2.8.2: TEMPORARY_FAILURE of a peer that closes the old IKE SA."""
    ours, peer = sides(begins)
    request = ours.ask()
    deletes = peer.take(ours.take(peer.ask()))
    refusal = peer.take(request)
    assert not ours.take(refusal)
    assert ours.decisions[-1] == Forget()
    assert ours.old.rekey_at == inf, "not asked again: it is replaced"
    settle(ours, peer, to_us=deletes)
    agree(ours, peer)


@both_roles
def test_a_delete_crosses_our_request(begins: int) -> None:
    """RFC 7296 section 2.25.2: answer as usual, and forget about the own request."""
    ours, peer = sides(begins)
    request = ours.ask()
    deletes = peer.take(ours.take(peer.ask()))
    settle(ours, peer, to_us=deletes)
    agree(ours, peer)
    assert not peer.take(request), "nobody knows the old IKE SA any more"
    assert len(ours.decisions) == 1


@both_roles
def test_a_delete_without_a_new_ike_sa_ends_all(begins: int) -> None:
    """RFC 7296 section 2.25.2: a peer that closes the IKE SA wants no new one."""
    ours, peer = sides(begins)
    request = ours.ask()
    settle(ours, peer, to_us=peer.old.delete(SETTINGS, NOW))
    assert ours.sas == peer.sas == []
    assert not peer.take(request)


@both_roles
def test_a_peer_that_closes_the_ike_sa_refuses_a_new_one(begins: int) -> None:
    """RFC 7296 section 2.25.2: TEMPORARY_FAILURE, whether or not its Delete has come."""
    ours, _ = sides(begins)
    ours.old.delete(SETTINGS, NOW)
    with pytest.raises(TemporaryFailure):
        answer(ours, ours.old, rekey_contents())


@both_roles
def test_the_peer_asks_a_second_time(begins: int) -> None:
    """RFC 7296 section 2.25.2: an IKE SA is replaced once."""
    ours, peer = sides(begins)
    ours.take(peer.ask())
    with pytest.raises(TemporaryFailure):
        answer(ours, ours.old, rekey_contents())
    assert len(ours.sas) == 2


@both_roles
def test_the_new_ike_sa_can_be_replaced_in_its_turn(begins: int) -> None:
    """RFC 7296 section 1.3.2."""
    ours, peer = sides(begins)
    for asks, answers in ((ours, peer), (peer, ours)) * 2:
        asks.old, answers.old = asks.used, answers.used
        settle(asks, answers, to_peer=asks.ask())
        agree(ours, peer)


# --- refusals -----------------------------------------------------------------------------------


@both_roles
def test_a_temporary_failure_is_waited_for(begins: int) -> None:
    """RFC 7296 section 2.25: the IKE SA goes on, and the request is made again later."""
    ours, peer = sides(begins)
    refusal = refuse(peer, ours.ask(), Notify(NotifyType.TEMPORARY_FAILURE))
    assert not ours.take(refusal)
    assert ours.decisions == [AskLater(NOW + REKEY_RETRY_SECONDS)]
    assert ours.sas == [ours.old]
    assert ours.old.wants_at == NOW + REKEY_RETRY_SECONDS
    again = ours.old.act(SETTINGS, os.urandom(8), ours.entropy, ours.old.wants_at)
    settle(ours, peer, to_peer=again or ())
    agree(ours, peer)


@both_roles
def test_a_peer_that_does_no_optimized_rekey_is_asked_for_a_regular_one(begins: int) -> None:
    """RFC 7296 section 2.7, sa-ts-payloads-opt: NO_PROPOSAL_CHOSEN, then the whole offer."""
    ours, peer = sides(begins, optimized=(True, False))
    request = ours.ask()
    assert is_optimized(peer, request)
    again = ours.take(peer.take(request))
    assert ours.decisions == [AskAgain(Try(optimized=False, method=None))]
    assert not is_optimized(peer, again)
    settle(ours, peer, to_peer=again)
    agree(ours, peer)


@both_roles
def test_a_regular_rekey_without_a_common_suite_is_asked_for_later(begins: int) -> None:
    """RFC 7296 section 2.7: there is no other offer."""
    ours, peer = sides(begins)
    request = ours.ask(Try(optimized=False, method=None))
    ours.take(refuse(peer, request, Notify(NotifyType.NO_PROPOSAL_CHOSEN)))
    assert ours.decisions == [AskLater(NOW + REKEY_RETRY_SECONDS)]


def invalid_ke(method: Ke) -> Notify:
    return Notify(NotifyType.INVALID_KE_PAYLOAD, method.to_bytes(2, "big"))


@both_roles
@pytest.mark.parametrize("optimized", [True, False])
def test_the_peer_names_the_key_exchange_method(begins: int, optimized: bool) -> None:
    """RFC 7296 section 1.3: INVALID_KE_PAYLOAD; the same request with that method."""
    ours, peer = sides(begins)
    request = ours.ask(Try(optimized, None))
    (again,) = ours.take(refuse(peer, request, invalid_ke(Ke.ECP_256)))
    assert ours.decisions == [AskAgain(Try(optimized, Ke.ECP_256))]
    assert is_optimized(peer, [again]) is optimized
    assert ours.old.rekey_request is not None
    assert ours.old.rekey_request.method == Ke.ECP_256


@both_roles
@pytest.mark.parametrize("data", [b"", b"\x00", (14).to_bytes(2, "big"), (31).to_bytes(2, "big")])
def test_a_method_that_we_do_not_offer_is_not_used(begins: int, data: bytes) -> None:
    """RFC 7296 section 1.3: nor the one that was just refused."""
    ours, peer = sides(begins)
    refusal = refuse(peer, ours.ask(), Notify(NotifyType.INVALID_KE_PAYLOAD, data))
    assert not ours.take(refusal)
    assert ours.decisions == [AskLater(NOW + REKEY_RETRY_SECONDS)]


@both_roles
def test_refusals_cause_a_limited_number_of_requests(begins: int) -> None:
    """RFC 7296 section 2.25: an authentic peer can't have us compute keys without end."""
    ours, peer = sides(begins)
    request, requests = ours.ask(), 0
    while request and requests <= MAX_REKEY_TRIES:
        requests += 1
        method = Ke.ECP_256 if requests % 2 else Ke.CURVE25519
        request = ours.take(refuse(peer, request, invalid_ke(method)))
    assert requests == MAX_REKEY_TRIES
    assert ours.decisions[-1] == AskLater(NOW + REKEY_RETRY_SECONDS)


@both_roles
def test_after_a_pause_a_peer_may_refuse_the_optimized_form_again(begins: int) -> None:
    """RFC 7296 section 2.25: what was refused before the pause doesn't count against it."""
    ours, peer = sides(begins, optimized=(True, False))
    for _ in range(MAX_REKEY_TRIES):
        ours.take(refuse(peer, ours.ask(), Notify(NotifyType.TEMPORARY_FAILURE)))
    settle(ours, peer, to_peer=ours.ask())
    agree(ours, peer)


# --- nonsense -----------------------------------------------------------------------------------


@both_roles
def test_a_response_that_makes_no_sense_closes_the_ike_sa(begins: int) -> None:
    """RFC 7296 section 2.21.3: the two don't agree on what there is."""
    ours, peer = sides(begins)
    ours.take(refuse(peer, ours.ask(), Nonce(bytes(32))))
    (decision,) = ours.decisions
    assert isinstance(decision, Close)
    assert "went wrong" in decision.cause
    assert ours.sas == []


@both_roles
def test_a_refusal_with_an_unknown_critical_payload_closes_the_ike_sa(begins: int) -> None:
    """RFC 7296 section 2.5: such a response is not read any further."""
    ours, peer = sides(begins)
    strange = UnknownPayload(200, critical=True, body=b"")
    ours.take(refuse(peer, ours.ask(), Notify(NotifyType.TEMPORARY_FAILURE), strange))
    assert isinstance(ours.decisions[0], Close)


@both_roles
def test_a_response_with_a_broken_layout_closes_the_ike_sa(begins: int) -> None:
    """RFC 7296 section 2.21.3."""
    ours, _ = sides(begins)
    ours.ask()
    broken = Response(REKEY, PayloadType.NONCE, b"\x00\x00\x00\x02")
    assert isinstance(succession.answered(ours.old, broken, SETTINGS, NOW), Close)


@both_roles
def test_a_response_with_a_forbidden_public_key_closes_the_ike_sa(begins: int) -> None:
    """RFC 7748 section 6.1: the all-zero shared secret."""
    ours, peer = sides(begins)
    head = Notify(OptimizedRekey().rekey, os.urandom(8))
    zero = KeyExchange(Ke.CURVE25519, bytes(32))
    ours.take(refuse(peer, ours.ask(), head, Nonce(bytes(32)), zero))
    assert isinstance(ours.decisions[0], Close)


@both_roles
def test_a_child_sa_is_refused(begins: int) -> None:
    """RFC 7296 section 1.3, RFC 9838 section 2.3: there are none here."""
    ours, _ = sides(begins)
    esp = tuple(
        proposal.__class__(proposal.number, ProtocolId.ESP, b"spi1", proposal.transforms)
        for proposal in SETTINGS.ike_proposals.proposals
    )
    contents = check(Rule(REKEY, is_response=False), (SecurityAssociation(esp), Nonce(bytes(32))))
    with pytest.raises(NoAdditionalSas):
        answer(ours, ours.old, contents)


def test_a_response_needs_a_request() -> None:
    ours, _ = sides(0)
    with pytest.raises(LocalError):
        succession.answered(ours.old, Response(REKEY, 0, b""), SETTINGS, NOW)
