"""What holds for all octets and for every record of gcks.wire."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gcks.errors import WireError
from gcks.iana import ExchangeType, PayloadType
from gcks.wire.attribute import decode_attributes, encode_attributes
from gcks.wire.authentication import decode_digital_signature
from gcks.wire.encrypted import FRAGMENT, GENERIC, read_encrypted, read_fragment
from gcks.wire.gsa import decode_gsa_policy
from gcks.wire.header import FLAG_INITIATOR, HEADER_OCTETS, NO_SPI, Header, decode_header
from gcks.wire.identification import Identity
from gcks.wire.message import encode_message
from gcks.wire.payloads import Payload, decode_chain, encode_chain, payload_type
from gcks.wire.sa_usage import decode_aggfrag, decode_ipcomp
from gcks.wire.traffic_selector import TrafficSelector, read_selector
from gcks.wire.transform import decode_transforms, encode_transforms
from tests.property import strategies as wire
from tests.support.plain import decode_plain

SPI = b"initiatr"
by_payload = pytest.mark.parametrize("name", wire.PAYLOADS)


def reads_or_wire_error(read: Callable[[], object]) -> bool:
    """Tell whether `read` returned; any error but WireError goes through."""
    try:
        read()
    except WireError:
        return False
    return True


def body_of(payload: Payload) -> bytes:
    return encode_chain([payload])[1][4:]


def with_body(payload: Payload, body: bytes) -> tuple[int, bytes]:
    return payload_type(payload), struct.pack(">BBH", 0, 0, 4 + len(body)) + body


# --- decode(encode(x)) == x ----------------------------------------------------------


@by_payload
@given(data=st.data())
@settings(max_examples=60)
def test_every_payload_reads_back_to_itself(name: str, data: st.DataObject) -> None:
    payload = data.draw(wire.PAYLOADS[name])
    kind, octets = encode_chain([payload])
    assert decode_chain(kind, octets) == (payload,)
    if name in wire.KNOWN:
        assert kind == PayloadType[name]


@given(wire.chains, wire.exactly(8), wire.u32)
def test_a_message_reads_back_to_itself(
    payloads: tuple[Payload, ...], spi_r: bytes, message_id: int
) -> None:
    """RFC 7296 section 3.1, 3.2: header, chain, and the length of both."""
    octets = encode_message(
        SPI, spi_r, ExchangeType.IKE_SA_INIT, FLAG_INITIATOR, message_id, payloads
    )
    header, decoded = decode_plain(octets)
    assert decoded == payloads
    assert (header.spi_i, header.spi_r, header.message_id) == (SPI, spi_r, message_id)
    assert (header.length, header.version, header.flags) == (len(octets), 0x20, FLAG_INITIATOR)


@given(wire.headers)
def test_a_header_reads_back_to_itself(header: Header) -> None:
    assert decode_header(header.encode() + bytes(header.length - HEADER_OCTETS)) == header


@given(wire.few(wire.attributes))
def test_attributes_read_back_to_themselves(attributes: tuple) -> None:
    """RFC 7296 section 3.3.5: both forms."""
    assert tuple(decode_attributes(encode_attributes(attributes))) == attributes


@given(wire.few(wire.transforms))
def test_transforms_read_back_to_themselves(transforms: tuple) -> None:
    """RFC 7296 section 3.3.2."""
    assert decode_transforms(encode_transforms(transforms), len(transforms)) == transforms


@given(wire.selectors, wire.octets())
def test_a_selector_reads_back_and_says_where_it_ends(
    selector: TrafficSelector, rest: bytes
) -> None:
    octets = selector.encode()
    assert read_selector(octets + rest, 0) == (selector, len(octets))
    assert str(selector)


@given(wire.digital_signatures)
def test_a_digital_signature_reads_back_to_itself(signature: object) -> None:
    """RFC 7427 section 3."""
    assert decode_digital_signature(signature.encode_data()) == signature  # type: ignore[attr-defined]


@given(wire.identities)
@example(Identity(11, b"hex:00"))
@example(Identity(13, b""))
def test_the_text_of_an_identity_is_unique(identity: Identity) -> None:
    assert Identity.parse(str(identity)) == identity
    assert str(identity).isascii() and str(identity).isprintable()


@given(wire.encrypted_payloads)
def test_the_encrypted_payload_reads_back(payload: tuple) -> None:
    """RFC 7296 section 3.14."""
    first, reserved, body = payload
    octets = GENERIC.pack(first, reserved, GENERIC.size + len(body)) + body
    header = envelope(PayloadType.SK, octets)
    assert read_encrypted(header.encode() + octets, header) == payload


@given(wire.encrypted_fragments)
def test_the_encrypted_fragment_reads_back(payload: tuple) -> None:
    """RFC 7383 section 2.5."""
    first, reserved, number, total, body = payload
    octets = FRAGMENT.pack(first, reserved, FRAGMENT.size + len(body), number, total) + body
    header = envelope(PayloadType.SKF, octets)
    assert read_fragment(header.encode() + octets, header) == payload


def envelope(kind: int, octets: bytes) -> Header:
    length = HEADER_OCTETS + len(octets)
    return Header(SPI, NO_SPI, kind, 0x20, ExchangeType.GSA_AUTH, 0, 1, length)


# --- any octets: a record or WireError -----------------------------------------------


@given(wire.u8, st.binary(max_size=300))
def test_any_chain_is_read_or_refused(first: int, octets: bytes) -> None:
    reads_or_wire_error(lambda: decode_chain(first, octets))


@given(st.binary(max_size=300))
def test_any_datagram_is_read_or_refused(octets: bytes) -> None:
    reads_or_wire_error(lambda: decode_plain(octets))


@by_payload
@given(data=st.data(), noise=st.binary(min_size=1, max_size=200))
@settings(max_examples=60)
def test_any_body_is_read_or_refused(name: str, data: st.DataObject, noise: bytes) -> None:
    kind = payload_type(data.draw(wire.PAYLOADS[name]))
    octets = struct.pack(">BBH", 0, 0, 4 + len(noise)) + noise
    reads_or_wire_error(lambda: decode_chain(kind, octets))


@by_payload
@given(data=st.data())
@settings(max_examples=60)
def test_a_bent_octet_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """Flips near a valid encoding reach deeper than noise; what is read can be sent again."""
    payload = data.draw(wire.PAYLOADS[name])
    bent = bytearray(body_of(payload))
    for _ in range(data.draw(st.integers(1, 3)) if bent else 0):
        bent[data.draw(st.integers(0, len(bent) - 1))] = data.draw(wire.u8)
    kind, octets = with_body(payload, bytes(bent))
    try:
        (read,) = decode_chain(kind, octets)
    except WireError:
        return
    assert repr(read)
    again = encode_chain([read])
    assert decode_chain(*again) == (read,)


# --- truncation at every octet -------------------------------------------------------


@given(wire.few(wire.payloads, least=1, most=3))
@settings(max_examples=40)
def test_a_chain_truncated_anywhere_is_refused(payloads: tuple[Payload, ...]) -> None:
    kind, octets = encode_chain(payloads)
    for end in range(len(octets)):
        assert not reads_or_wire_error(lambda end=end: decode_chain(kind, octets[:end]))
    assert not reads_or_wire_error(lambda: decode_chain(kind, octets + b"\0"))


@pytest.mark.parametrize("name", ["SA", "TSi", "TSr", "DELETE"])
@given(data=st.data())
@settings(max_examples=30)
def test_a_counted_body_truncated_anywhere_is_refused(name: str, data: st.DataObject) -> None:
    """With a payload length that is right: the counts and lengths inside don't fit any more."""
    payload = data.draw(wire.PAYLOADS[name])
    body = body_of(payload)
    for end in range(len(body)):
        kind, octets = with_body(payload, body[:end])
        assert not reads_or_wire_error(lambda k=kind, o=octets: decode_chain(k, o))


@pytest.mark.parametrize("name", wire.KNOWN)
@given(data=st.data())
@settings(max_examples=25)
def test_any_body_truncated_anywhere_is_read_or_refused(name: str, data: st.DataObject) -> None:
    payload = data.draw(wire.PAYLOADS[name])
    body = body_of(payload)
    for end in range(len(body)):
        kind, octets = with_body(payload, body[:end])
        reads_or_wire_error(lambda k=kind, o=octets: decode_chain(k, o))


@given(wire.rekey_policies)
@settings(max_examples=30)
def test_a_policy_truncated_anywhere_is_refused(policy: object) -> None:
    octets = policy.encode()  # type: ignore[attr-defined]
    assert decode_gsa_policy(octets) == policy
    for end in range(len(octets)):
        assert not reads_or_wire_error(lambda end=end: decode_gsa_policy(octets[:end]))


@given(wire.octets())
def test_what_says_how_sas_are_used_reads_back_or_is_refused(data: bytes) -> None:
    """RFC 9347 section 6.1.4, RFC 7296 section 2.22."""
    for decode in (decode_aggfrag, decode_ipcomp):
        with suppress(WireError):
            assert decode(data).encode() == data
