"""scapy, written by others, reads and writes our plain messages, and we read what it writes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("scapy")

from scapy.contrib.ikev2 import (
    IKEv2,
    IKEv2_Delete,
    IKEv2_IDi,
    IKEv2_KE,
    IKEv2_Nonce,
    IKEv2_Notify,
    IKEv2_Proposal,
    IKEv2_SA,
    IKEv2_Transform,
    IKEv2_TSi,
    IKEv2_VendorID,
    IPv4TrafficSelector,
    IPv6TrafficSelector,
)
from scapy.packet import NoPayload, Packet, Raw

from gcks.iana import (
    Encr,
    ExchangeType,
    IdType,
    Ke,
    Kwa,
    NotifyType,
    PayloadType,
    Prf,
    ProtocolId,
    TransformType,
)
from gcks.wire.delete import Delete
from gcks.wire.header import FLAG_INITIATOR, FLAG_RESPONSE, NO_SPI
from gcks.wire.identification import Identity, IDi
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.message import encode_message
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.traffic_selector import TrafficSelector, TrafficSelectorsI
from gcks.wire.transform import Transform
from gcks.wire.vendor import VendorId
from tests.support.initiator import Initiator, Server
from tests.support.plain import decode_plain

SPI = b"initiatr"
SA = SecurityAssociation(
    (
        Proposal(
            1,
            ProtocolId.IKE,
            b"",
            (
                Transform(TransformType.ENCR, Encr.AES_GCM_16, 256),
                Transform(TransformType.ENCR, Encr.AES_CBC, 128),
                Transform(TransformType.PRF, Prf.HMAC_SHA2_256),
                Transform(TransformType.KE, Ke.CURVE25519),
                Transform(TransformType.KWA, Kwa.KW_5649_256),
            ),
        ),
        Proposal(2, ProtocolId.ESP, b"spi4", (Transform(TransformType.ENCR, 28),)),
    )
)
PAYLOADS: tuple[Payload, ...] = (
    SA,
    KeyExchange(Ke.CURVE25519, bytes(range(32))),
    Nonce(b"n" * 32),
    Notify(NotifyType.NAT_DETECTION_SOURCE_IP, b"s" * 20),
    Notify(NotifyType.REKEY_SA, b"data", ProtocolId.ESP, b"spi4"),
    VendorId(b"gcks"),
    Delete(ProtocolId.ESP, 4, (b"spi4", b"spi5")),
    IDi(Identity(IdType.ID_FQDN, b"gm1.dev")),
    TrafficSelectorsI((TrafficSelector.any(4), TrafficSelector.single("ff02::1", 17, 5000))),
)


def message(*payloads: Payload) -> bytes:
    return encode_message(SPI, NO_SPI, ExchangeType.IKE_SA_INIT, FLAG_INITIATOR, 7, payloads)


def layers(packet: Packet) -> Iterator[Packet]:
    while not isinstance(packet, NoPayload):
        yield packet
        packet = packet.payload


def rebuilt(octets: bytes) -> bytes:
    """Let scapy dissect the octets and build them from its fields, lengths included."""
    packet = IKEv2(octets)
    packet.clear_cache()
    for layer in layers(packet):
        layer.length = None
    return bytes(packet)


# --- what we send --------------------------------------------------------------------


def test_scapy_reads_our_header() -> None:
    """RFC 7296 section 3.1."""
    packet = IKEv2(message(Nonce(b"n" * 16)))
    assert (packet.init_SPI, packet.resp_SPI) == (SPI, NO_SPI)
    assert (packet.version, packet.exch_type, packet.id) == (0x20, 34, 7)
    assert (packet.next_payload, str(packet.flags)) == (PayloadType.NONCE, "Initiator")
    assert packet.length == len(packet.original)


def test_scapy_reads_our_proposals_and_transforms() -> None:
    """RFC 7296 sections 3.3.1, 3.3.2, 3.3.5."""
    first, second = layers(IKEv2(message(SA))[IKEv2_SA].prop)
    assert (first.proposal, first.proto, first.trans_nb, first.next_payload) == (1, 1, 5, 2)
    assert (second.proposal, second.SPI, second.next_payload) == (2, b"spi4", 0)
    transforms = [
        (t.transform_type, t.transform_id, t.key_length, t.next_payload)
        for t in layers(first.trans)
    ]
    assert transforms == [
        (1, 20, 256, 3),
        (1, 12, 128, 3),
        (2, 5, None, 3),
        (4, 31, None, 3),
        (13, 3, None, 0),
    ]


def test_scapy_reads_our_other_payloads() -> None:
    packet = IKEv2(message(*PAYLOADS))
    assert (packet[IKEv2_KE].group, packet[IKEv2_KE].ke) == (31, bytes(range(32)))
    assert packet[IKEv2_Nonce].nonce == b"n" * 32
    nat, rekey = (layer for layer in layers(packet) if isinstance(layer, IKEv2_Notify))
    assert (nat.type, nat.proto, nat.SPI, nat.notify) == (16388, 0, b"", b"s" * 20)
    assert (rekey.type, rekey.proto, rekey.SPI, rekey.notify) == (16393, 3, b"spi4", b"data")
    assert packet[IKEv2_VendorID].vendorID == b"gcks"
    delete = packet[IKEv2_Delete]
    assert (delete.proto, delete.SPIsize, delete.SPInum) == (3, 4, 2)
    assert b"".join(delete.SPI) == b"spi4spi5"
    assert (packet[IKEv2_IDi].IDtype, packet[IKEv2_IDi].ID) == (2, b"gm1.dev")
    tsi = packet[IKEv2_TSi]
    assert tsi.number_of_TSs == 2
    assert [type(ts) for ts in tsi.traffic_selector] == [IPv4TrafficSelector, IPv6TrafficSelector]
    assert tsi.traffic_selector[1].starting_address_v6 == "ff02::1"
    assert Raw not in packet


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda p: type(p).__name__)
def test_scapy_builds_the_same_octets_from_what_it_read(payload: Payload) -> None:
    octets = message(payload)
    assert rebuilt(octets) == octets
    assert decode_plain(rebuilt(octets))[1] == (payload,)


def test_scapy_reads_a_whole_ike_sa_init_exchange() -> None:
    """The messages that member and server really send."""
    server, peer = Server(), Initiator()
    request = peer.init()
    response = server.answer(request, peer)
    for octets, flags in ((request, FLAG_INITIATOR), (response, FLAG_RESPONSE)):
        packet = IKEv2(octets)
        assert {IKEv2_SA, IKEv2_KE, IKEv2_Nonce, IKEv2_Notify} <= {type(p) for p in layers(packet)}
        assert (Raw in packet, int(packet.flags)) == (False, flags)
        assert rebuilt(octets) == octets


# --- what scapy sends ----------------------------------------------------------------


def scapy_message() -> bytes:
    encr = IKEv2_Transform(
        next_payload=3, length=12, transform_type=1, transform_id=20, key_length=256
    )
    kwa = IKEv2_Transform(next_payload=0, length=8, transform_type=13, transform_id=3)
    proposal = IKEv2_Proposal(proposal=1, proto=1, trans_nb=2, trans=encr / kwa)
    packet = (
        IKEv2(init_SPI=SPI, resp_SPI=NO_SPI, next_payload=33, exch_type=34, flags="Initiator")
        / IKEv2_SA(next_payload=34, prop=proposal)
        / IKEv2_KE(next_payload=40, group=31, ke=bytes(32))
        / IKEv2_Nonce(next_payload=41, nonce=b"n" * 32)
        / IKEv2_Notify(next_payload=0, type=16390, notify=b"cookie")
    )
    return bytes(packet)


def test_we_read_what_scapy_builds() -> None:
    header, payloads = decode_plain(scapy_message())
    assert (header.spi_i, header.exchange, header.flags) == (SPI, 34, FLAG_INITIATOR)
    transforms = (Transform(TransformType.ENCR, 20, 256), Transform(TransformType.KWA, 3))
    assert payloads == (
        SecurityAssociation((Proposal(1, 1, b"", transforms),)),
        KeyExchange(31, bytes(32)),
        Nonce(b"n" * 32),
        Notify(NotifyType.COOKIE, b"cookie"),
    )


def test_we_build_the_octets_that_scapy_builds() -> None:
    header, payloads = decode_plain(scapy_message())
    again = encode_message(SPI, NO_SPI, header.exchange, header.flags, header.message_id, payloads)
    assert again == scapy_message()
