"""Identities, their octets and their text (RFC 7296 section 3.5, RFC 9838 section 4.2)."""

from __future__ import annotations

import pytest

from gcks.errors import WireError
from gcks.iana import IdType
from gcks.wire.identification import Identity, IDg, IDi, IDr, decode_identity
from gcks.wire.payloads import decode_chain, encode_chain

TEXTS = {
    "fqdn:gm1.dev": Identity(IdType.ID_FQDN, b"gm1.dev"),
    "keyid:demo": Identity(IdType.ID_KEY_ID, b"demo"),
    "keyid:hex:00ff": Identity(IdType.ID_KEY_ID, b"\x00\xff"),
    "keyid:hex:6865783a41": Identity(IdType.ID_KEY_ID, b"hex:A"),
    "fqdn:hex:6120": Identity(IdType.ID_FQDN, b"a "),
    "ipv4:192.0.2.1": Identity(IdType.ID_IPV4_ADDR, bytes((192, 0, 2, 1))),
    "ipv6:2001:db8::1": Identity(IdType.ID_IPV6_ADDR, bytes.fromhex("20010db8" + "00" * 11 + "01")),
    "rfc822:a@b.example": Identity(IdType.ID_RFC822_ADDR, b"a@b.example"),
    "dn:hex:3000": Identity(IdType.ID_DER_ASN1_DN, b"\x30\x00"),
    "gn:hex:8200": Identity(IdType.ID_DER_ASN1_GN, b"\x82\x00"),
    "type13:hex:": Identity(IdType.ID_NULL, b""),
    "type77:hex:ab": Identity(77, b"\xab"),
}


@pytest.mark.parametrize("text", TEXTS)
def test_the_text_form_both_ways(text: str) -> None:
    assert str(TEXTS[text]) == text
    assert Identity.parse(text) == TEXTS[text]


@pytest.mark.parametrize("record", [IDi, IDr, IDg])
def test_the_payloads_differ_in_their_type_only(record: type[IDi] | type[IDr] | type[IDg]) -> None:
    """RFC 9838 section 4.2: IDg has the layout of IDi."""
    payload = record(TEXTS["keyid:demo"])
    kind, octets = encode_chain([payload])
    assert octets.hex() == "0000000c" + "0b000000" + b"demo".hex()
    assert kind == {IDi: 35, IDr: 36, IDg: 50}[record]
    assert decode_chain(kind, octets) == (payload,)


def test_reserved_octets_are_ignored() -> None:
    """RFC 7296 section 3.5."""
    assert decode_identity(b"\x02\xff\xff\xffgm") == Identity(2, b"gm")


@pytest.mark.parametrize(
    "body",
    ["", "020000", "02000000", "0b000000", "01000000c00002", "01000000c000020100",
     "05000000c0000201"],
    ids=["empty", "truncated", "FQDN without data", "KEY_ID without data", "IPv4 with 3",
         "IPv4 with 5", "IPv6 with 4"],
)  # fmt: skip
def test_a_malformed_identification_payload_is_refused(body: str) -> None:
    with pytest.raises(WireError):
        decode_identity(bytes.fromhex(body))


@pytest.mark.parametrize(
    "text",
    ["", "gm1.dev", "fqdn:", ":x", "fqdm:a", "type0:hex:00", "type256:hex:00", "ipv4:2001:db8::1",
     "ipv6:192.0.2.1", "ipv4:192.0.2", "keyid:hex:0", "keyid:hex:zz", "dn:CN=a", "fqdn:é"],
)  # fmt: skip
def test_text_that_names_no_identity(text: str) -> None:
    with pytest.raises(ValueError):
        Identity.parse(text)
