"""Every octet of an honest peer's messages, bent: an answer or a counted drop, never a bug.

Shows gcks/wire, gcks/ike/protect.py and gcks/keyserver.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from gcks.change import Change
from gcks.errors import DropReason
from gcks.events import DatagramDropped, MemberRegistered, RegistrationRefused
from gcks.iana import ExchangeType, NotifyType, ProtocolId
from gcks.ike.protect import Envelope, seal_chain
from gcks.wire.delete import Delete
from gcks.wire.header import FLAG_INITIATOR
from gcks.wire.identification import IDi
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload, encode_chain
from tests.support.handshakes import sag, with_certificates
from tests.support.initiator import DEMO, Initiator, Server, group_sender

MASKS = (0x01, 0x80, 0xFF)
Edit = Callable[[bytes], bytes]


def edits(length: int) -> Iterator[Edit]:
    """Bend each octet in several ways, leave each one out, double each one."""
    for at in range(length):
        for mask in MASKS:
            yield lambda o, at=at, mask=mask: o[:at] + bytes((o[at] ^ mask,)) + o[at + 1 :]
        yield lambda o, at=at: o[:at] + o[at + 1 :]
        yield lambda o, at=at: o[:at] + o[at : at + 1] + o[at:]


def sound(outcome: Change) -> None:
    """Nothing unexpected happened, and at most one thing at all."""
    for event in outcome.events:
        if isinstance(event, DatagramDropped):
            assert event.reason is not DropReason.INTERNAL_ERROR, event
            assert outcome.transmits == []
    assert len(outcome.transmits) <= 1


def test_every_octet_of_ike_sa_init() -> None:
    """The length in the header is put right, so that the parser sees what follows."""
    server, peer = Server(), Initiator()
    request = peer.init()
    for edit in edits(len(request)):
        mutant = edit(request)
        right = mutant[:24] + len(mutant).to_bytes(4, "big") + mutant[28:]
        outcome = server.receive(right, peer)
        sound(outcome)
        if outcome.transmits:
            assert len(outcome.transmits[0].octets) < 1000


AUTH_EXTRAS: list[tuple[Payload, ...]] = [
    (DEMO,),
    (DEMO, group_sender(2), sag("aes256gcm16"), Notify(NotifyType.INITIAL_CONTACT)),
]


@pytest.mark.parametrize("extras", AUTH_EXTRAS, ids=["least", "most"])
def test_every_octet_inside_gsa_auth(extras: tuple[Payload, ...]) -> None:
    """An attacker who knows a PSK, or a member gone bad: one answer, and one event at most."""
    server, count = Server(), len(auth_chain(Initiator("sender1").meet(Server()), extras)[1])
    for edit in edits(count):
        peer = Initiator("sender1").meet(server)
        first, chain = auth_chain(peer, extras)
        request = sealed(peer, ExchangeType.GSA_AUTH, 1, first, edit(chain))
        outcome = server.receive(request, peer)
        sound(outcome)
        assert len(outcome.transmits) == 1
        told = [e for e in outcome.events if isinstance(e, MemberRegistered | RegistrationRefused)]
        assert len(told) == 1
        server.wait(1.0)


def auth_chain(peer: Initiator, extras: tuple[Payload, ...]) -> tuple[int, bytes]:
    return encode_chain((IDi(peer.identity), *peer.proof(), *extras))


def sealed(peer: Initiator, exchange: int, message_id: int, first: int, chain: bytes) -> bytes:
    envelope = Envelope(peer.spi_i, peer.spi_r, exchange, FLAG_INITIATOR, message_id)
    cipher = peer.suite.make_cipher(peer.keys.sk_ei, peer.keys.sk_ai)
    return seal_chain(cipher, os.urandom(8), envelope, first, chain)


@pytest.mark.parametrize(
    ("exchange", "payloads"),
    [
        (ExchangeType.GSA_REGISTRATION, (DEMO, group_sender(2), sag("aes256gcm16"))),
        (ExchangeType.GSA_REGISTRATION, (DEMO, Notify(NotifyType.REGISTRATION_FAILED))),
        (ExchangeType.INFORMATIONAL, (Delete(ProtocolId.ESP, 4, (b"spi1", b"spi2")),)),
    ],
)
def test_every_octet_inside_later_exchanges(exchange: int, payloads: tuple[Payload, ...]) -> None:
    server, peer = Server(), Initiator("sender1")
    peer.register(server)
    first, chain = encode_chain(payloads)
    message_id = 2
    for edit in edits(len(chain)):
        outcome = server.receive(sealed(peer, exchange, message_id, first, edit(chain)), peer)
        sound(outcome)
        assert len(outcome.transmits) == 1
        message_id += 1
        if server.engine.ike_sas.established == 0:
            peer, message_id = Initiator("sender1"), 2
            peer.register(server)


def test_every_octet_of_a_certificate() -> None:
    """A bent certificate is refused, by whichever library reads it first."""
    server, _, authority = with_certificates("ecdsa-p256")
    own = authority.issue("gm1.dev")
    der = own.chain[0]
    for at in range(0, len(der), 3):
        bent = der[:at] + bytes((der[at] ^ 0x55,)) + der[at + 1 :]
        peer = Initiator(certificate=type(own)((bent,), own.key)).meet(server)
        outcome = server.receive(peer.auth(), peer)
        sound(outcome)
        (event,) = outcome.events
        assert isinstance(event, RegistrationRefused)
        assert event.notify is NotifyType.AUTHENTICATION_FAILED
        server.wait(1.0)  # what was refused is forgotten in time
