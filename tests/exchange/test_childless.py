"""IKE_AUTH without a Child SA (RFC 6023): any IKEv2 peer, and then GSA_REGISTRATION.

Shows gcks/keyserver/gsa_auth.py and gcks/keyserver/gsa_registration.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.events import MemberRegistered, PeerAuthenticated, RegistrationRefused
from gcks.iana import ExchangeType, Kwa, NotifyType, ProtocolId, TransformType
from gcks.ike.negotiation import without_kwa
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.identification import IDi
from gcks.wire.kd import KeyDownload
from gcks.wire.payloads import Payload
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.traffic_selector import (
    SecurityLabel,
    TrafficSelector,
    TrafficSelectorsI,
    TrafficSelectorsR,
)
from gcks.wire.transform import Transform
from tests.support.initiator import DEMO, Initiator, Server, kinds, notifies, only
from tests.support.world import SERVER_SETTINGS

IKE_AUTH, REGISTRATION = ExchangeType.IKE_AUTH, ExchangeType.GSA_REGISTRATION
PLAIN = without_kwa(SERVER_SETTINGS.ike_proposals)


def authenticate(
    server: Server, peer: Initiator, *more: Payload
) -> tuple[PeerAuthenticated, tuple[Payload, ...]]:
    peer.meet(server)
    request = peer.request(IKE_AUTH, IDi(peer.identity), *peer.proof(), *more)
    outcome = server.receive(request, peer)
    event = only(outcome, PeerAuthenticated)
    assert isinstance(event, PeerAuthenticated)
    return event, peer.read(outcome.transmits[0].octets)


def test_a_peer_authenticates_and_registers_afterwards() -> None:
    """RFC 6023 section 3: IDi, AUTH answered by IDr, AUTH; then RFC 9838 section 2.3.2."""
    server, peer = Server(), Initiator()
    event, payloads = authenticate(server, peer)
    assert (event.identity, event.method) == ("fqdn:gm1.dev", "psk")
    assert kinds(payloads) == ["IDr", "Authentication"]
    outcome = server.receive(peer.request(REGISTRATION, DEMO), peer)
    assert only(outcome, MemberRegistered)
    gsa, kd = peer.read(outcome.transmits[0].octets)[:2]
    assert isinstance(gsa, GroupSecurityAssociation) and isinstance(kd, KeyDownload)


@pytest.mark.parametrize("label", [(), (SecurityLabel(b"s0\0"),)], ids=["plain", "labeled"])
def test_a_child_sa_that_is_asked_for_is_refused_and_the_ike_sa_stays(
    label: tuple[SecurityLabel, ...],
) -> None:
    """RFC 7296 section 1.2, RFC 9478: an error about the Child SA doesn't end the IKE SA."""
    server, peer = Server(), Initiator()
    gcm = Transform(TransformType.ENCR, 20, 256)
    esn = Transform(TransformType.SN, 0)
    esp = SecurityAssociation((Proposal(1, ProtocolId.ESP, b"spi1", (gcm, esn)),))
    anything = (TrafficSelector.any(4), *label)
    child = (esp, TrafficSelectorsI(anything), TrafficSelectorsR(anything))
    _, payloads = authenticate(server, peer, *child)
    assert notifies(payloads) == [NotifyType.NO_ADDITIONAL_SAS]
    assert peer.ask(server, ExchangeType.INFORMATIONAL) == ()


def test_a_peer_without_key_wrap_is_authenticated_but_registers_to_nothing() -> None:
    """RFC 9838 section 4.5.4: the key wrap algorithm MUST be negotiated in IKE_SA_INIT."""
    server, peer = Server(), Initiator(offer=PLAIN)
    authenticate(server, peer)
    assert peer.suite.kwa is None
    outcome = server.receive(peer.request(REGISTRATION, DEMO), peer)
    assert notifies(peer.read(outcome.transmits[0].octets)) == [NotifyType.NO_PROPOSAL_CHOSEN]
    refused = only(outcome, RegistrationRefused)
    assert isinstance(refused, RegistrationRefused)
    assert "Key Wrap Algorithm" in refused.cause


def test_a_gm_without_key_wrap_learns_it_in_gsa_auth() -> None:
    server, peer = Server(), Initiator(offer=PLAIN)
    assert notifies(peer.register(server)) == [NotifyType.NO_PROPOSAL_CHOSEN]


def test_unknown_key_wraps_are_no_plain_ikev2() -> None:
    """RFC 9838 section 2.3: a GM that offers no acceptable KWA gets NO_PROPOSAL_CHOSEN."""
    odd = Transform(TransformType.KWA, Kwa.KW_ARX)
    proposal = PLAIN.proposals[0]
    offer = SecurityAssociation((replace(proposal, transforms=(*proposal.transforms, odd)),))
    server, peer = Server(), Initiator(offer=offer)
    event = only(server.receive(peer.init(), peer), RegistrationRefused)
    assert isinstance(event, RegistrationRefused)
    assert event.notify is NotifyType.NO_PROPOSAL_CHOSEN


@pytest.mark.parametrize("childless", [True, False])
def test_the_server_says_whether_it_does_it(childless: bool) -> None:
    """RFC 6023 section 3: the notification in the IKE_SA_INIT response."""
    server = Server(settings=replace(SERVER_SETTINGS, childless=childless))
    peer = Initiator()
    found = peer.accept(server.answer(peer.init(), peer))
    del found
    told = peer.response_octets
    code = NotifyType.CHILDLESS_IKEV2_SUPPORTED.to_bytes(2, "big")
    assert (bytes(2) + code in told) is childless
