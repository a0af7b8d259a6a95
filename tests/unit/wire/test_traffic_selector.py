"""Traffic Selectors (RFC 7296 section 3.13)."""

from __future__ import annotations

import pytest

from gcks.errors import WireError
from gcks.iana import PayloadType
from gcks.wire.payloads import decode_chain, encode_chain
from gcks.wire.traffic_selector import (
    MAX_LABEL_OCTETS,
    MAX_SELECTORS,
    UDP,
    SecurityLabel,
    TrafficSelector,
    TrafficSelectorsI,
    TrafficSelectorsR,
    decode_selectors_i,
    is_label,
    read_label,
    read_selector,
)

GROUP = TrafficSelector.single("239.1.2.3", UDP, 5000)
OCTETS = "07110010 13881388 ef010203 ef010203"
LABEL = SecurityLabel(b"s0:c7\0")
LABEL_OCTETS = "0a00000a 73303a633700"


def test_the_octets_of_a_selector() -> None:
    """RFC 7296 section 3.13.1."""
    assert GROUP.encode() == bytes.fromhex(OCTETS)
    assert read_selector(bytes.fromhex("ffff" + OCTETS + "ff"), 2) == (GROUP, 18)


def test_ipv6() -> None:
    selector = TrafficSelector.any(6, UDP)
    assert selector.encode().hex() == "08110028" + "0000ffff" + "00" * 16 + "ff" * 16
    assert read_selector(selector.encode(), 0)[0] == selector


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (GROUP, "239.1.2.3 protocol 17 port 5000"),
        (TrafficSelector.any(), "0.0.0.0-255.255.255.255 protocol any port any"),
        (
            TrafficSelector.from_network("10.0.0.0/8", 6, 80, 90),
            "10.0.0.0-10.255.255.255 protocol 6 port 80-90",
        ),
    ],
)
def test_text(selector: TrafficSelector, text: str) -> None:
    assert str(selector) == text


def test_what_is_single() -> None:
    assert (GROUP.single_address, GROUP.single_port) == ("239.1.2.3", 5000)
    assert (TrafficSelector.any().single_address, TrafficSelector.any().single_port) == (None, None)


@pytest.mark.parametrize("text", ["", "nonsense", "10.0.0.1/8", "10.0.0.0/33"])
def test_a_network_that_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        TrafficSelector.from_network(text)


@pytest.mark.parametrize("port", ["ffff0000", "0000ffff", "00000000"], ids=["opaque", "any", "0"])
def test_port_ranges_with_a_meaning(port: str) -> None:
    """RFC 7296 section 3.13.1: start 65535 and end 0 is OPAQUE."""
    octets = bytes.fromhex(OCTETS.replace("13881388", port))
    assert read_selector(octets, 0)[0].encode() == octets


@pytest.mark.parametrize(
    "octets",
    ["", OCTETS[:-2], "0a" + OCTETS[2:], "08" + OCTETS[2:], OCTETS.replace("0010", "000f"),
     OCTETS.replace("0010", "0000"), OCTETS.replace("0010", "0011") + "00",
     OCTETS.replace("13881388", "13881387"), OCTETS[:-1] + "2"],
    ids=["empty", "truncated", "SECLABEL", "IPv4 addresses as IPv6", "length 15", "length 0",
         "length 17", "ports reversed", "addresses reversed"],
)  # fmt: skip
def test_a_malformed_selector_is_refused(octets: str) -> None:
    with pytest.raises(WireError):
        read_selector(bytes.fromhex(octets), 0)


@pytest.mark.parametrize("record", [TrafficSelectorsI, TrafficSelectorsR])
def test_tsi_and_tsr(record: type[TrafficSelectorsI] | type[TrafficSelectorsR]) -> None:
    payload = record((GROUP, TrafficSelector.any(6)))
    kind, octets = encode_chain([payload])
    assert kind == {TrafficSelectorsI: PayloadType.TSi, TrafficSelectorsR: PayloadType.TSr}[record]
    assert octets[4:8] == b"\2\0\0\0"
    assert decode_chain(kind, octets) == (payload,)


@pytest.mark.parametrize(
    "body", ["", "01", "00000000", "02000000" + OCTETS, "01000000" + OCTETS * 2, "01000000"]
)
def test_a_count_that_does_not_fit_is_refused(body: str) -> None:
    with pytest.raises(WireError):
        decode_selectors_i(bytes.fromhex(body))


def test_selectors_are_limited() -> None:
    assert decode_selectors_i(TrafficSelectorsI((GROUP,) * MAX_SELECTORS).encode())
    with pytest.raises(WireError):
        decode_selectors_i(TrafficSelectorsI((GROUP,) * (MAX_SELECTORS + 1)).encode())


def test_the_octets_of_a_security_label() -> None:
    """RFC 9478 section 2.1: type 10, RESERVED zero when sent and ignored when received."""
    assert LABEL.encode() == bytes.fromhex(LABEL_OCTETS)
    reserved = bytes.fromhex("ff" + LABEL_OCTETS.replace("0a00", "0aff", 1) + "ff")
    assert is_label(reserved, 1) and not is_label(reserved, 0)
    assert read_label(reserved, 1) == (LABEL, 11)


@pytest.mark.parametrize(
    "octets",
    ["", "0a0000", "0a000004", "0a00000441", "0a00000341", "0a00000041", "0a00000641",
     "0a00ffff41"],
    ids=["empty", "truncated", "no label", "length 4", "length 3", "length 0", "length 6",
         "length 65535"],
)  # fmt: skip
def test_a_malformed_security_label_is_refused(octets: str) -> None:
    """RFC 9478 section 2.1: a Security Label has at least one octet."""
    with pytest.raises(WireError):
        read_label(bytes.fromhex(octets), 0)


def test_security_labels_are_limited() -> None:
    longest = SecurityLabel(b"x" * MAX_LABEL_OCTETS)
    assert read_label(longest.encode(), 0)[0] == longest
    with pytest.raises(WireError):
        read_label(SecurityLabel(longest.label + b"x").encode(), 0)


def test_a_security_label_stands_beside_other_selectors() -> None:
    """RFC 9478 section 2.2: as peers send it when they ask for a labeled Child SA."""
    payload = TrafficSelectorsI((GROUP, LABEL))
    assert payload.encode() == bytes.fromhex("02000000" + OCTETS + LABEL_OCTETS)
    assert decode_selectors_i(payload.encode()) == payload
    with pytest.raises(WireError):
        decode_selectors_i(bytes.fromhex("02000000" + OCTETS))
