"""From capture files to IKE messages: formats, link layers, IP, UDP, TCP."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable

import pytest

from gcks.decode.capture import CaptureError, is_capture, read_capture
from gcks.decode.carriers import Carried, Census, Sniffer, read_hexadecimal
from gcks.decode.keyring import KeyRing
from gcks.decode.messages import Explainer
from gcks.decode.model import Explanation
from gcks.decode.report import message_json, report
from gcks.decode.text import render, render_summary
from tests.support import captures as c
from tests.support.captures import with_length
from tests.support.seeds import messages as seed_messages

MESSAGE = with_length(next(seed_messages()))
MARKED = bytes(4) + MESSAGE
ESP = bytes.fromhex("e41b724d00000001") + bytes(32)


def found(capture: bytes, *ports: int) -> tuple[list[Carried], Census]:
    sniffer = Sniffer(frozenset(ports))
    return list(sniffer.messages(capture)), sniffer.census


# --- files ----------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("make", [c.pcap, c.pcapng])
def test_a_message_in_a_capture_file(make: Callable[..., bytes], order: str) -> None:
    capture = make([c.ipv4(c.udp(MESSAGE))] * 2, order=order)
    assert is_capture(capture)
    carried, census = found(capture)
    assert [(one.octets, one.packet) for one in carried] == [(MESSAGE, 1), (MESSAGE, 2)]
    assert carried[0].time == 1_700_000_000.5
    assert str(carried[0].source) == "192.0.2.1:500"
    assert str(carried[0].destination) == "239.1.2.3:500"
    assert (census.packets, census.problem) == (2, "")


def test_times_in_nanoseconds() -> None:
    (carried,), _ = found(c.pcap([c.ipv4(c.udp(MESSAGE))], nano=True))
    assert carried.time == 1_700_000_000.5


@pytest.mark.parametrize(
    ("options", "time"),
    [
        ("09000100 09000000", 1.5),  # if_tsresol 10^-9
        ("09000100 9e000000", 1.5e9 / (1 << 30)),
        ("09000100 09000000 0e000800 0a00000000000000", 11.5),  # if_tsoffset
        ("09000400 00000000", 1500.0),  # of a wrong length: skipped
        ("0900ffff", 1500.0),
    ],
)
def test_the_clock_of_a_pcapng_interface(options: str, time: float) -> None:
    head = c.section() + c.interface(c.RAW, bytes.fromhex(options))
    (carried,), _ = found(head + c.enhanced(c.ipv4(c.udp(MESSAGE)), 0, 1_500_000_000))
    assert carried.time == pytest.approx(time)


def test_a_pcapng_file_of_several_interfaces_and_sections() -> None:
    raw = c.ipv4(c.udp(MESSAGE))
    old = struct.pack("<HHIIII", 1, 0, 0, 5, len(raw), len(raw)) + raw
    simple = struct.pack("<I", len(raw)) + raw
    capture = c.section() + c.interface(c.LINUX_SLL) + c.interface(c.RAW)
    capture += c.enhanced(raw, 1) + c.block(2, old) + c.block(0xBAD, b"whatever")
    capture += c.section(">") + c.interface(c.RAW, b"", ">") + c.enhanced(raw, 0, 0, ">")
    capture += c.section() + c.interface(c.RAW) + c.block(3, simple)
    carried, census = found(capture)
    assert [one.octets for one in carried] == [MESSAGE] * 4
    assert not census.problem


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda good: good[:-1], "cut off in the packet at octet"),
        (lambda good: good + b"\0" * 7, "cut off in the packet at octet"),
        (lambda good: good + b"\xff" * 16, "damaged from there"),
        (lambda good: good[:20], "ends in its header"),
    ],
)
def test_a_damaged_pcap_gives_what_stands_before(
    damage: Callable[[bytes], bytes], said: str
) -> None:
    _, census = found(damage(c.pcap([c.ipv4(c.udp(MESSAGE))])))
    assert said in census.problem


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (b"\0" * 5, "cut off"),
        (struct.pack("<II", 6, 0) + bytes(4), "a block of 0 octets"),
        (struct.pack("<II", 6, 13) + bytes(5), "a block of 13 octets"),
        (struct.pack("<II", 6, 1 << 30) + bytes(4), "cut off"),
        (c.block(6, bytes(4)), "shorter than its header"),
        (c.enhanced(b"", 7), "an interface that the file doesn't name"),
        (c.block(1, b""), "an interface description that is too short"),
        (b"\x0a\x0d\x0d\x0a" + bytes(8), "no byte order"),
        (c.block(6, struct.pack("<IIIII", 0, 0, 0, 999, 999)), "cut off"),
    ],
)
def test_a_damaged_pcapng_gives_what_stands_before(tail: bytes, said: str) -> None:
    carried, census = found(c.pcapng([c.ipv4(c.udp(MESSAGE))]) + tail)
    assert len(carried) == 1
    assert said in census.problem


def test_what_is_no_capture_is_said_to_be_none() -> None:
    assert not is_capture(b"hello")
    with pytest.raises(CaptureError, match="neither pcap nor pcapng"):
        read_capture(b"hello")


# --- link layers and IP ---------------------------------------------------------------

V4, V6 = c.ipv4(c.udp(MESSAGE)), c.ipv6(c.udp(MESSAGE))
HOP_BY_HOP = bytes((17, 0)) + bytes(6)


@pytest.mark.parametrize(
    ("link", "packet"),
    [
        (c.ETHERNET, bytes(12) + b"\x08\x00" + V4 + b"padding"),
        (c.ETHERNET, bytes(12) + b"\x86\xdd" + V6),
        (c.ETHERNET, bytes(12) + bytes.fromhex("88a80001 81000002 0800") + V4),
        (c.LINUX_SLL, bytes(14) + b"\x08\x00" + V4),
        (c.LINUX_SLL2, b"\x86\xdd" + bytes(18) + V6),
        (c.NULL, b"\x02\0\0\0" + V4),
        (c.LOOP, b"\0\0\0\x1c" + V6),
        (c.RAW, V6),
        (c.RAW, c.ipv6(HOP_BY_HOP + c.udp(MESSAGE), 0)),
        (12, V4),
        (228, V4),
        (229, V6),
    ],
)
def test_link_layers(link: int, packet: bytes) -> None:
    (carried,), _ = found(c.pcap([packet], link))
    assert carried.octets == MESSAGE


@pytest.mark.parametrize(
    ("link", "packet", "said"),
    [
        (c.ETHERNET, bytes(12) + b"\x08\x06" + bytes(28), "not IP"),
        (c.ETHERNET, b"", "not IP"),
        (c.ETHERNET, bytes(12) + b"\x81\x00\0\0" * 6, "not IP"),
        (c.RAW, b"\x50" + bytes(30), "not IP"),
        (c.RAW, b"", "not IP"),
        (9999, V4, "link type 9999 is unknown"),
        (c.RAW, V4[:-1], "cut off by the snapshot length"),
        (c.RAW, V4[:12], "cut off by the snapshot length"),
        (c.RAW, V6[:-1], "cut off by the snapshot length"),
        (c.RAW, b"\x41" + V4[1:], "malformed IP"),
        (c.RAW, c.ipv6(b"\0" * 7, 0), "malformed IP"),
        (c.RAW, c.ipv6((b"\0\0" + bytes(6)) * 9, 0), "malformed IP"),
        (c.RAW, c.ipv4(b"\0" * 7), "malformed UDP"),
        (c.RAW, c.ipv4(c.udp(b"")[:4] + b"\xff\xff\0\0"), "malformed UDP"),
        (c.RAW, c.ipv4(c.udp(MESSAGE, 53, 53)), "UDP on other ports"),
        (c.RAW, c.ipv4(b"", 1), "IP protocol 1"),
        (c.RAW, c.ipv4(c.udp(b"\xff", 4500, 4500)), "NAT keepalives (RFC 3948)"),
        (c.RAW, c.ipv4(c.udp(b"short", 4500, 4500)), "neither IKE nor ESP"),
        (c.RAW, c.ipv4(b"short", 50), "neither IKE nor ESP"),
        (c.RAW, c.ipv4(bytes(8), 6), "malformed TCP"),
        (c.RAW, c.ipv4(bytes(20), 6), "malformed TCP"),
    ],
)
def test_what_is_left_out_is_counted(link: int, packet: bytes, said: str) -> None:
    carried, census = found(c.pcap([packet], link))
    assert not carried
    assert dict(census.others) == {said: 1}


def test_ip_fragments_are_put_together() -> None:
    whole = c.udp(MESSAGE)
    first, second = whole[:64], whole[64:]
    packets = [c.ipv4(second, fragment=8), c.ipv4(first, fragment=0x2000)]
    (carried,), census = found(c.pcap(packets))
    assert carried.octets == MESSAGE
    assert census.others == {"IP fragments": 1}
    six = [
        c.ipv6(struct.pack(">BBHI", 17, 0, 1, 9) + first, 44),
        c.ipv6(struct.pack(">BBHI", 17, 0, 64, 9) + second, 44),
    ]
    assert [one.octets for one in found(c.pcap(six))[0]] == [MESSAGE]


def test_fragments_that_never_end_take_no_more_room() -> None:
    packets = [c.ipv4(b"x" * 8, fragment=0x2000, number=n) for n in range(2000)]
    assert found(c.pcap(packets))[1].others == {"IP fragments": 2000}


def test_fragments_are_put_together_once_and_never_where_they_overlap() -> None:
    """A hostile capture must not make us join the same octets again and again."""
    parts = [c.ipv4(b"x" * 8, fragment=0x2000 | n, number=7) for n in range(4000)]
    last = c.ipv4(b"x" * 8, fragment=4000, number=7)
    began = time.process_time()
    _, census = found(c.pcap([*parts, *parts, *parts, last]))
    assert time.process_time() - began < 5  # it was a quarter of an hour for a large capture
    assert census.others["IP fragments"] == 3 * len(parts)
    overlapping = [c.ipv4(b"y" * 16, fragment=0x2000 | n, number=8) for n in (0, 1)]
    _, census = found(c.pcap([*overlapping, c.ipv4(b"y" * 8, fragment=2, number=8)]))
    assert census.others == {"IP fragments": 2, "IP fragments that overlap": 1}


# --- UDP and TCP ----------------------------------------------------------------------


def test_the_non_esp_marker_and_esp_in_udp() -> None:
    packets = [c.udp(MARKED, 4500, 4500), c.udp(ESP, 4500, 4500), c.udp(ESP, 9, 9)]
    carried, census = found(c.pcap(map(c.ipv4, packets)))
    assert [(one.octets, one.transport) for one in carried] == [
        (MESSAGE, "UDP with non-ESP marker")
    ]
    assert census.esp == {ESP[:4]: 1}
    assert census.others == {"UDP on other ports": 1}


def test_esp_is_counted_by_spi() -> None:
    assert found(c.pcap([c.ipv4(ESP, 50)] * 3))[1].esp == {ESP[:4]: 3}


def test_other_ports_are_looked_at_when_they_are_named() -> None:
    packets = [c.udp(MESSAGE, 14500, 9), c.udp(MARKED, 9, 14500), c.udp(ESP, 14500, 14500)]
    carried, census = found(c.pcap(map(c.ipv4, packets)), 14500)
    assert [one.octets for one in carried] == [MESSAGE, MESSAGE]
    assert census.esp == {ESP[:4]: 1}


def tcp_capture(*segments: tuple[bytes, int, int]) -> bytes:
    return c.pcap(c.ipv4(c.tcp(*segment), 6) for segment in segments)


SYN, ACK, FIN = 0x02, 0x10, 0x11
STREAM = b"IKETCP" + c.frame(MESSAGE) + c.frame(MESSAGE)


def test_a_tcp_stream() -> None:
    """RFC 9329 section 3: prefix, lengths, marker; cut anywhere, repeated, around zero."""
    start = (1 << 32) - 5
    halves = STREAM[:9], STREAM[9:]
    after = (start + 10) % (1 << 32)
    capture = tcp_capture(
        (b"", start, SYN), (halves[0], start + 1, ACK), (halves[0], start + 1, ACK),
        (halves[1], after, ACK), (STREAM[4:20], 0, ACK),
    )  # fmt: skip
    carried, census = found(capture)
    assert [(one.octets, one.transport) for one in carried] == [(MESSAGE, "TCP")] * 2
    assert not census.others


def test_a_tcp_stream_seen_from_the_middle_and_after_a_gap() -> None:
    capture = tcp_capture(
        (c.frame(MESSAGE), 100, ACK),
        (c.frame(MESSAGE), 5000, ACK),  # after a gap
        (c.frame(MESSAGE), 9000, ACK),
        (b"", 9999, FIN),
        (b"GET / HTTP/1.1", 1, ACK),
    )
    carried, census = found(capture)
    assert len(carried) == 2
    assert census.others == {
        "TCP segments after a missing one": 1,
        "TCP that is no IKE, or seen from the middle of a message": 1,
    }


def test_esp_in_tcp_is_counted_and_nonsense_lengths_end_the_stream() -> None:
    esp = (len(ESP) + 2).to_bytes(2, "big") + ESP
    capture = tcp_capture((b"IKETCP" + esp + b"\0\1", 7, ACK))
    assert found(capture)[1].esp == {ESP[:4]: 1}
    assert found(capture)[1].others == {"malformed TCP stream (RFC 9329)": 1}


# --- hexadecimal ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        MESSAGE.hex(),
        f"  0x{MESSAGE.hex()}\n",
        MESSAGE.hex(":"),
        MESSAGE.hex(" ", 2).upper() + "\n",
        MARKED.hex(),
        "\n".join(MESSAGE.hex()[at : at + 32] for at in range(0, 2 * len(MESSAGE), 32)),
    ],
)
def test_hexadecimal(text: str) -> None:
    (carried,) = read_hexadecimal(text.encode())
    assert carried == Carried(MESSAGE, "hexadecimal")


def test_several_messages_in_hexadecimal_with_blank_lines_between() -> None:
    text = f"{MESSAGE.hex()}\n\n{MESSAGE.hex()}\r\n \r\n{MESSAGE.hex()}"
    assert len(list(read_hexadecimal(text.encode()))) == 3


@pytest.mark.parametrize("text", ["", "hello", "abc", "no-such-file.pcap", "zz" * 28])
def test_what_is_not_hexadecimal(text: str) -> None:
    with pytest.raises(CaptureError, match="neither a capture nor a message"):
        list(read_hexadecimal(text.encode()))


# --- hostile captures -----------------------------------------------------------------


def bases() -> list[bytes]:
    whole = [with_length(one) for one in seed_messages()]
    packets = [c.ipv4(c.udp(one)) for one in whole]
    packets += [c.ipv6(c.udp(bytes(4) + one, 4500, 4500)) for one in whole]
    packets += [c.ipv4(c.tcp(STREAM, 1), 6), c.ipv4(ESP, 50), c.ipv4(V4[20:60], fragment=0x2000)]
    ethernet = [bytes(12) + b"\x08\x00" + one for one in packets]
    return [c.pcap(packets), c.pcapng(packets), c.pcap(ethernet, c.ETHERNET)]


def mutated(octets: bytes, dice: random.Random) -> bytes:
    bent = bytearray(octets)
    for _ in range(dice.randint(1, 12)):
        at = dice.randrange(len(bent))
        bent[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    if dice.random() < 0.3:
        del bent[dice.randrange(len(bent)) :]
    return bytes(bent)


def explain_all(capture: bytes) -> list[Explanation]:
    """Decode, print and report; nothing of it may raise."""
    if not is_capture(capture):
        return []
    sniffer, explainer = Sniffer(frozenset()), Explainer(KeyRing(), show_secrets=True)
    explained = [explainer.explain(one) for one in sniffer.messages(capture)]
    for one in explained:
        assert all(line.isprintable() for line in render(one))
    list(render_summary(len(explained), sniffer.census, {}))
    report([message_json(one) for one in explained], sniffer.census, {})
    return explained


@pytest.mark.parametrize("seed", range(12))
def test_mutated_captures_never_raise(seed: int) -> None:
    dice = random.Random(seed)
    for base in bases():
        assert explain_all(base)
        for _ in range(40):
            explain_all(mutated(base, dice))
