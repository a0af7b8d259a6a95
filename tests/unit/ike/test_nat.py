"""NAT detection (RFC 7296 section 2.23)."""

from __future__ import annotations

from hashlib import sha1

from gcks.datagrams import Endpoint
from gcks.iana import NotifyType
from gcks.ike.nat import address_hash, behind_nat, detection_payloads

SPI_I, SPI_R = b"initiate", b"respond!"
GM, GCKS, NAT = Endpoint("10.0.0.1", 500), Endpoint("192.0.2.1", 848), Endpoint("203.0.113.1", 9)


def test_the_hash_covers_spis_address_and_port_in_that_order() -> None:
    expected = sha1(SPI_I + SPI_R + bytes((10, 0, 0, 1)) + b"\x01\xf4").digest()
    assert address_hash(SPI_I, SPI_R, GM) == expected
    six = address_hash(SPI_I, SPI_R, Endpoint("2001:db8::1", 500))
    content = SPI_I + SPI_R + bytes.fromhex("20010db8" + "00" * 11 + "01") + b"\x01\xf4"
    assert six == sha1(content).digest()


def test_the_payloads_name_source_and_destination() -> None:
    source, destination = detection_payloads(SPI_I, SPI_R, GM, GCKS)
    assert source.type == NotifyType.NAT_DETECTION_SOURCE_IP
    assert source.data == address_hash(SPI_I, SPI_R, GM)
    assert destination.type == NotifyType.NAT_DETECTION_DESTINATION_IP
    assert destination.data == address_hash(SPI_I, SPI_R, GCKS)


def test_without_a_nat_nobody_is_behind_one() -> None:
    payloads = detection_payloads(SPI_I, SPI_R, GM, GCKS)
    assert behind_nat(payloads, SPI_I, SPI_R, GM, GCKS) == (False, False)


def test_a_translated_source_is_noticed() -> None:
    payloads = detection_payloads(SPI_I, SPI_R, GM, GCKS)
    assert behind_nat(payloads, SPI_I, SPI_R, NAT, GCKS) == (True, False)
    moved = GM._replace(port=501)
    assert behind_nat(payloads, SPI_I, SPI_R, moved, GCKS) == (True, False)


def test_a_translated_destination_is_noticed() -> None:
    payloads = detection_payloads(SPI_I, SPI_R, GM, NAT)
    assert behind_nat(payloads, SPI_I, SPI_R, GM, GCKS) == (False, True)


def test_one_of_several_sources_is_enough() -> None:
    """RFC 7296 section 2.23: a host with several addresses sends one payload for each."""
    other = detection_payloads(SPI_I, SPI_R, NAT, GCKS)
    payloads = (*other, *detection_payloads(SPI_I, SPI_R, GM, GCKS))
    assert behind_nat(payloads, SPI_I, SPI_R, GM, GCKS) == (False, False)


def test_a_peer_that_sends_no_notifications_is_behind_none() -> None:
    assert behind_nat((), SPI_I, SPI_R, GM, GCKS) == (False, False)
