"""The IKE header, plain messages and the SK and SKF envelopes, octet by octet."""

from __future__ import annotations

import pytest

from gcks.errors import WireError
from gcks.iana import ExchangeType, PayloadType
from gcks.wire.encrypted import read_encrypted, read_fragment
from gcks.wire.header import FLAG_INITIATOR, NO_SPI, VERSION_2_0, Header, decode_header
from gcks.wire.message import encode_message
from gcks.wire.nonce import Nonce
from tests.support.plain import decode_plain

SPI = bytes(range(1, 9))
HEADER = "0102030405060708 0000000000000000 28 20 22 08 00000000 00000030"
MESSAGE = bytes.fromhex(HEADER + "00000014" + "5a" * 16)


def test_a_message_has_rfc_7296s_octets() -> None:
    """RFC 7296 section 3.1."""
    nonce = Nonce(b"Z" * 16)
    octets = encode_message(SPI, NO_SPI, ExchangeType.IKE_SA_INIT, FLAG_INITIATOR, 0, [nonce])
    assert octets == MESSAGE
    header, payloads = decode_plain(octets)
    assert payloads == (nonce,)
    assert header == Header(SPI, NO_SPI, 40, VERSION_2_0, 34, FLAG_INITIATOR, 0, 48)


@pytest.mark.parametrize(
    ("flags", "response", "initiator"),
    [(0x00, False, False), (0x08, False, True), (0x20, True, False), (0x28, True, True),
     (0xD7, False, False)],
)  # fmt: skip
def test_flags(flags: int, response: bool, initiator: bool) -> None:
    """RFC 7296 section 3.1: the reserved bits are ignored."""
    header = decode_header(MESSAGE[:19] + bytes((flags,)) + MESSAGE[20:])
    assert (header.is_response, header.from_initiator) == (response, initiator)


def test_version_and_exchange_are_the_engines_to_judge() -> None:
    header = decode_header(MESSAGE[:17] + b"\x3f\xf0" + MESSAGE[19:])
    assert (header.major, header.exchange) == (3, 0xF0)


@pytest.mark.parametrize("end", [0, 1, 27, 28, 47])
def test_a_datagram_that_is_shorter_than_its_header_says(end: int) -> None:
    with pytest.raises(WireError):
        decode_header(MESSAGE[:end])


@pytest.mark.parametrize("length", [0, 27, 47, 49, 2**32 - 1])
def test_a_header_length_that_is_not_the_datagrams(length: int) -> None:
    """RFC 7296 section 3.1: Length covers header and payloads, no more, no less."""
    with pytest.raises(WireError, match="header says"):
        decode_header(MESSAGE[:24] + length.to_bytes(4, "big") + MESSAGE[28:])


def envelope(kind: int, octets: str) -> tuple[bytes, Header]:
    body = bytes.fromhex(octets)
    header = Header(SPI, SPI, kind, VERSION_2_0, ExchangeType.GSA_AUTH, 0, 1, 28 + len(body))
    return header.encode() + body, header


def test_the_encrypted_payload() -> None:
    """RFC 7296 section 3.14: Next Payload names the first payload inside."""
    payload = read_encrypted(*envelope(PayloadType.SK, "27 80 0006 abcd"))
    assert payload == (PayloadType.AUTH, 0x80, b"\xab\xcd")


@pytest.mark.parametrize(
    ("kind", "octets"),
    [(PayloadType.SK, ""), (PayloadType.SK, "270000"), (PayloadType.SK, "27000005abcd"),
     (PayloadType.SK, "27000007abcd"), (PayloadType.NONCE, "27000006abcd")],
)  # fmt: skip
def test_an_encrypted_message_must_be_one_whole_sk_payload(kind: int, octets: str) -> None:
    with pytest.raises(WireError):
        read_encrypted(*envelope(kind, octets))


def test_the_fragment_payload() -> None:
    """RFC 7383 section 2.5."""
    payload = read_fragment(*envelope(PayloadType.SKF, "27 00 000a 0001 0003 abcd"))
    assert payload == (PayloadType.AUTH, 0, 1, 3, b"\xab\xcd")


@pytest.mark.parametrize(
    "octets",
    ["", "27000008000100", "2700000a00000003abcd", "0000000a00040003abcd", "0000000a00010003abcd",
     "2700000a00020003abcd", "2700000b00010003abcd", "2700000a00010000abcd"],
    ids=["empty", "truncated", "number 0", "4 of 3", "first names nothing",
         "second names a payload", "length", "total 0"],
)  # fmt: skip
def test_a_fragment_that_rfc_7383_forbids(octets: str) -> None:
    """RFC 7383 section 2.5: 1 <= number <= total, Next Payload only in the first."""
    with pytest.raises(WireError):
        read_fragment(*envelope(PayloadType.SKF, octets))


def test_a_fragment_must_be_skf() -> None:
    with pytest.raises(WireError):
        read_fragment(*envelope(PayloadType.SK, "2700000a00010003abcd"))
