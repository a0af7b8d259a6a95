"""The payload chain, and the payloads whose body is short (RFC 7296 sections 3.2 to 3.12)."""

from __future__ import annotations

import pytest

from gcks.errors import WireError
from gcks.iana import NotifyType, PayloadType, ProtocolId
from gcks.wire.authentication import Authentication, DigitalSignature, decode_digital_signature
from gcks.wire.certificate import Certificate, CertificateRequest
from gcks.wire.delete import MAX_SPIS, Delete, decode_delete
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import MAX_PAYLOADS, Payload, decode_chain, encode_chain, payload_type
from gcks.wire.unknown import EncodedPayload, UnknownPayload
from gcks.wire.vendor import VendorId

NONCE = Nonce(bytes(16))
SPI = b"\xe4\x1brM"

OCTETS: list[tuple[Payload, int, str]] = [
    (KeyExchange(31, b"\xab"), 34, "001f0000 ab"),
    (Certificate(4, b"\x30"), 37, "0430"),
    (CertificateRequest(4, b""), 38, "04"),
    (Authentication(2, b"\xab"), 39, "02000000 ab"),
    (Notify(NotifyType.COOKIE, b"\xab"), 41, "00004006 ab"),
    (Notify(NotifyType.REKEY_SA, b"", 3, SPI), 41, "03044009 e41b724d"),
    (Notify(NotifyType.GROUP_SENDER, b"\0\0\0\1"), 41, "0000402d 00000001"),
    (Delete(ProtocolId.ESP, 4, (SPI,)), 42, "03040001 e41b724d"),
    (Delete(ProtocolId.IKE, 0, ()), 42, "01000000"),
    (Delete(ProtocolId.GIKE_UPDATE, 16, (bytes(16),)), 42, "06100001" + "00" * 16),
    (VendorId(b"\xab"), 43, "ab"),
    (VendorId(b""), 43, ""),
]


@pytest.mark.parametrize(("payload", "kind", "body"), OCTETS, ids=lambda value: str(value)[:20])
def test_the_octets_of_a_payload(payload: Payload, kind: int, body: str) -> None:
    octets = bytes.fromhex(body)
    octets = bytes((0, 0, 0, 4 + len(octets))) + octets
    assert encode_chain([payload]) == (kind, octets)
    assert decode_chain(kind, octets) == (payload,)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (PayloadType.KE, ""),
        (PayloadType.KE, "001f0000"),
        (PayloadType.NONCE, "00" * 15),
        (PayloadType.NONCE, "00" * 257),
        (PayloadType.CERT, "04"),
        (PayloadType.CERTREQ, ""),
        (PayloadType.AUTH, "02000000"),
        (PayloadType.NOTIFY, "000040"),
        (PayloadType.NOTIFY, "03044009 e41b72"),
        (PayloadType.DELETE, "030400"),
        (PayloadType.DELETE, "03040002 e41b724d"),
        (PayloadType.DELETE, "03040001 e41b724d00"),
        (PayloadType.DELETE, "03100001" + "00" * 16),
        (PayloadType.DELETE, "06040001 e41b724d"),
        (PayloadType.DELETE, "01080001" + "00" * 8),
        (PayloadType.DELETE, "00000005"),
    ],
)
def test_a_malformed_body_is_refused(kind: int, body: str) -> None:
    """RFC 7296 sections 3.4 (KE), 3.6, 3.7, 3.8, 3.9 (16 to 256 octets), 3.10, 3.11."""
    octets = bytes.fromhex(body)
    header = b"\0\0" + (4 + len(octets)).to_bytes(2, "big")
    with pytest.raises(WireError):
        decode_chain(kind, header + octets)


@pytest.mark.parametrize("body", ["00000000", "00040001 00000000", "00100001" + "00" * 16])
def test_delete_of_protocol_zero_takes_any_spi(body: str) -> None:
    """RFC 9838 section 4.6 gives no SPI Size for protocol 0 (ruling 9)."""
    delete = decode_delete(bytes.fromhex(body))
    assert delete.protocol == 0 and delete.encode() == bytes.fromhex(body)


def test_deleted_spis_are_limited() -> None:
    assert decode_delete(Delete(3, 4, (SPI,) * MAX_SPIS).encode())
    with pytest.raises(WireError, match="SPIs"):
        decode_delete(Delete(3, 4, (SPI,) * (MAX_SPIS + 1)).encode())


@pytest.mark.parametrize("data", ["", "00", "00ab", "02ab", "02abcd", "ff" + "00" * 255])
def test_a_malformed_digital_signature_is_refused(data: str) -> None:
    """RFC 7427 section 3: ASN.1 Length, AlgorithmIdentifier, a signature that is not empty."""
    with pytest.raises(WireError):
        decode_digital_signature(bytes.fromhex(data))


def test_a_digital_signature() -> None:
    signature = DigitalSignature(b"\x30\x00", b"sig")
    assert signature.encode_data() == b"\x02\x30\x00sig"
    assert decode_digital_signature(b"\x02\x30\x00sig") == signature


# --- the chain -----------------------------------------------------------------------


def test_a_chain_names_the_next_payload() -> None:
    """RFC 7296 section 3.2."""
    first, octets = encode_chain([VendorId(b"a"), VendorId(b"b"), Notify(16390)])
    assert first == PayloadType.VENDOR
    assert octets.hex() == "2b00000561" + "2900000562" + "0000000800004006"


def test_an_empty_chain() -> None:
    assert encode_chain([]) == (PayloadType.NONE, b"")
    assert decode_chain(PayloadType.NONE, b"") == ()
    with pytest.raises(WireError):
        decode_chain(PayloadType.NONE, b"\0")


def test_the_critical_bit_is_the_highest_of_the_second_octet() -> None:
    """RFC 7296 sections 2.5, 3.2: 0x80; the reserved bits are ignored."""
    for flags, critical in ((0x00, False), (0x80, True), (0x7F, False), (0xFF, True)):
        octets = bytes((0, flags, 0, 5, 0xAB))
        assert decode_chain(200, octets) == (UnknownPayload(200, critical, b"\xab"),)
    assert encode_chain([UnknownPayload(200, True, b"")])[1] == bytes((0, 0x80, 0, 4))


def test_the_critical_bit_of_a_known_payload_is_ignored() -> None:
    """RFC 7296 section 2.5: MUST be ignored by the recipient if it understands the type."""
    assert decode_chain(43, bytes((0, 0x80, 0, 4))) == (VendorId(b""),)


def test_unknown_payloads_are_skipped_over() -> None:
    chain = (UnknownPayload(255, False, b"future"), NONCE, UnknownPayload(1, True, b""))
    assert decode_chain(*encode_chain(chain)) == chain


@pytest.mark.parametrize("length", [0, 1, 3, 6, 0xFFFF])
def test_a_payload_length_that_does_not_fit_is_refused(length: int) -> None:
    """RFC 7296 section 3.2; a length under 4 would never advance."""
    with pytest.raises(WireError):
        decode_chain(43, b"\x2b\0" + length.to_bytes(2, "big") + b"\0")


def test_a_chain_must_fill_its_octets() -> None:
    with pytest.raises(WireError, match="octets follow"):
        decode_chain(43, bytes.fromhex("00000004 00"))
    with pytest.raises(WireError, match="truncated"):
        decode_chain(43, bytes.fromhex("2b000004"))


def test_payloads_are_limited() -> None:
    one = VendorId(b"")
    assert len(decode_chain(*encode_chain([one] * MAX_PAYLOADS))) == MAX_PAYLOADS
    with pytest.raises(WireError, match="payloads"):
        decode_chain(*encode_chain([one] * (MAX_PAYLOADS + 1)))


def test_what_no_datagram_can_hold_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="VendorId"):
        encode_chain([VendorId(bytes(65536))])


def test_an_encoded_payload_is_sent_as_its_type() -> None:
    encoded = EncodedPayload(PayloadType.VENDOR, b"abc")
    assert payload_type(encoded) == PayloadType.VENDOR
    assert decode_chain(*encode_chain([encoded])) == (VendorId(b"abc"),)
