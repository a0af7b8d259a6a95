"""Initiators that are about to say something unusual."""

from __future__ import annotations

from gcks.iana import ExchangeType, NotifyType, ProtocolId
from gcks.ike.credentials import Credentials
from gcks.ike.keywords import parse_esp
from gcks.wire.header import FLAG_INITIATOR
from gcks.wire.identification import IDi
from gcks.wire.notify import Notify
from gcks.wire.sa import Proposal, SecurityAssociation
from tests.support.authority import Authority
from tests.support.initiator import DEMO, Initiator, Server

SIZE = 150
FRAGMENTS = Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)


def met(*, announced: bool = True) -> tuple[Server, Initiator]:
    """Return a server, and a peer that may send GSA_AUTH next."""
    server, peer = Server(), Initiator()
    payloads = peer.init_payloads()
    if announced:
        payloads.append(FRAGMENTS)
    peer.accept(server.answer(peer.init(payloads=payloads), peer))
    return server, peer


def fragments(peer: Initiator, size: int = SIZE) -> list[bytes]:
    """Return a GSA_AUTH in fragments of this size, in octets."""
    filling = Notify(40_000, bytes(400))
    payloads = (IDi(peer.identity), *peer.proof(), DEMO, filling)
    sealed = peer.protection.seal_messages(ExchangeType.GSA_AUTH, FLAG_INITIATOR, 1, payloads, size)
    assert len(sealed) >= 3
    return list(sealed)


def with_certificates(kind: str) -> tuple[Server, Initiator, Authority]:
    """Return a server and a peer with certificates of one authority."""
    authority = Authority()
    own = authority.issue("gcks.dev", kind)
    server = Server(credentials=Credentials((), (own,), authority.trust))
    peer = Initiator(certificate=authority.issue("gm1.dev", kind))
    return server, peer, authority


def sag(*words: str) -> SecurityAssociation:
    """Make an SAg that can do the group's Rekey SA, and these ESP suites."""
    server = Server()
    rekey = server.engine.groups["keyid:demo"].policy.rekey
    assert rekey is not None
    esp = tuple(t for word in words for t in parse_esp(word) if t is not None)
    return SecurityAssociation(
        (
            Proposal(1, ProtocolId.GIKE_UPDATE, b"", (*rekey.transforms, rekey.gcauth)),
            Proposal(1, ProtocolId.ESP, b"", esp),
        )
    )
