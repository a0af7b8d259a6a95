"""The key log's lines, there and back; what is damaged is named and never quoted."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from typing import Any

import pytest

from gcks.decode.key_log_format import HEADER, decode_key_log, encode_entry
from gcks.decode.wireshark import ESP_TABLE, IKE_TABLE, tables
from gcks.errors import LocalError
from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry, KeyLogEntry, group_sa_entry
from gcks.iana import Encr, Integ, Kwa, ProtocolId, TransformType
from gcks.ike.key_log_entry import IkeKeyLogEntry
from gcks.wire.gsa import GsaPolicy
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform
from tests.support.sample_messages import IKE

IKE_CBC = IkeKeyLogEntry(
    b"initiatr", b"respondR", Encr.AES_CBC, 128, Integ.HMAC_SHA2_256_128,
    b"e" * 16, b"f" * 16, b"a" * 32, b"b" * 32,
)  # fmt: skip
REKEY = GroupSaKeyLogEntry(
    "keyid:demo", ProtocolId.GIKE_UPDATE, b"0123456789abcdef", "192.0.2.1", "239.1.2.3",
    Encr.AES_GCM_16, 128, Integ.NONE, b"e" * 20, b"", b"w" * 16,
)  # fmt: skip
ESP = GroupSaKeyLogEntry(
    "keyid:demo", ProtocolId.ESP, b"\xe4\x1brM", "0.0.0.0-255.255.255.255", "239.1.2.3",
    Encr.AES_CBC, 256, Integ.HMAC_SHA2_512_256, b"e" * 32, b"a" * 64, b"",
)  # fmt: skip
AH = replace(ESP, protocol=ProtocolId.AH, encr=None, encr_bits=None, key_e=b"")
CHACHA = replace(
    ESP, spi=b"\1\2\3\4", encr=Encr.CHACHA20_POLY1305, encr_bits=None, integ=Integ.NONE,
    key_e=b"c" * 36, key_a=b"",
)  # fmt: skip
V6 = replace(ESP, source="2001:db8::1", destination="ff0e::7")
ALL: list[KeyLogEntry] = [IKE, IKE_CBC, REKEY, ESP, AH, CHACHA, V6]


def log(*lines: str) -> str:
    return "\n".join((HEADER, *lines)) + "\n"


def test_every_entry_comes_back() -> None:
    content = decode_key_log(log(*map(encode_entry, ALL)))
    assert content.entries == tuple(ALL)
    assert content.problems == ()
    assert not any(key in repr(content) + repr(ALL) for key in ("eee", "www", "ccc", "6565"))


def test_headers_may_come_again_and_other_lines_are_skipped() -> None:
    later = json.dumps({"type": "something_later"})
    content = decode_key_log(log("", encode_entry(IKE), HEADER, later, encode_entry(REKEY)))
    assert content.entries == (IKE, REKEY)
    assert not content.problems


@pytest.mark.parametrize("text", ["", "\n", "hello", "[]", "{}", '{"type": "ike_sa"}', "[" * 9999])
def test_what_is_no_key_log_is_refused(text: str) -> None:
    with pytest.raises(LocalError, match="this is no key log; `gcks serve --key-log"):
        decode_key_log(text)


def test_a_later_version_is_refused() -> None:
    with pytest.raises(LocalError, match="version 2; this gcks reads version 1"):
        decode_key_log('{"type": "gcks-key-log", "version": 2}')


def bent(entry: KeyLogEntry, **changes: Any) -> str:
    fields = {**json.loads(encode_entry(entry)), **changes}
    return json.dumps({name: value for name, value in fields.items() if value != "gone"})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (encode_entry(IKE)[:-20], "not JSON"),
        ("[" * 9999, "nested too deeply"),
        ("[1]", "no JSON object"),
        (bent(IKE, sk_ei="00"), "sk_ei has 1 octets, not 36"),
        (bent(IKE, sk_er="zz"), "sk_er is not hexadecimal"),
        (bent(IKE, sk_er=7), "sk_er is not hexadecimal"),
        (bent(IKE, spi_i="gone"), "no 'spi_i'"),
        (bent(IKE, encr="ROT13"), "an unknown Encr"),
        (bent(IKE, encr=None), "an IKE SA without encryption"),
        (bent(IKE, encr_bits="256"), "encr_bits is no number"),
        (bent(IKE, encr_bits=100), "AES_GCM_16 with a key of 100 bits"),
        (bent(IKE, integ=[]), "an unknown Integ"),
        (bent(REKEY, spi="00"), "spi has 1 octets, not 16"),
        (bent(REKEY, gsk_w="x"), "gsk_w is not hexadecimal"),
        (bent(REKEY, encr=None), "a Rekey SA without encryption"),
        (bent(ESP, protocol="IKE"), "neither ESP nor AH"),
        (bent(ESP, integ="HMAC_SHA2_256_128"), "key_a has 64 octets, not 32"),
    ],
)
def test_a_damaged_line_is_named_and_the_others_count(line: str, said: str) -> None:
    content = decode_key_log(log(line, encode_entry(ESP)))
    assert content.entries == (ESP,)
    (problem,) = content.problems
    assert problem.startswith("line 2 of the key log can't be used: ")
    assert said in problem
    assert "6565" not in problem


def test_an_entry_is_made_of_policy_and_keying_material() -> None:
    """RFC 9838 section 3.4: GSK_e | GSK_a | GSK_w."""
    policy = GsaPolicy(
        ProtocolId.GIKE_UPDATE,
        b"0123456789abcdef",
        TrafficSelector.single("192.0.2.1", 17, 848),
        TrafficSelector.from_network("239.0.0.0/8", 17),
        (
            Transform(TransformType.ENCR, Encr.AES_CBC, 128),
            Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128),
            Transform(TransformType.KWA, Kwa.KW_5649_192),
        ),
    )
    entry = group_sa_entry("keyid:g", policy, b"e" * 16 + b"a" * 32 + b"w" * 24)
    assert (entry.key_e, entry.key_a, entry.key_w) == (b"e" * 16, b"a" * 32, b"w" * 24)
    assert (entry.source, entry.destination) == ("192.0.2.1", "239.0.0.0-239.255.255.255")
    assert decode_key_log(log(encode_entry(entry))).entries == (entry,)


# --- Wireshark ------------------------------------------------------------------------


def test_wireshark_tables() -> None:
    made = tables([*ALL, *ALL])
    e, f, a, b = (letter * 32 for letter in ("65", "66", "61", "62"))
    assert made[IKE_TABLE].splitlines() == [
        f"696e697469617472,726573706f6e6472,{e}65656565,{f}66666666,"
        '"AES-GCM-256 with 16 octet ICV [RFC5282]",,,"NONE [RFC4306]"',
        f'696e697469617472,726573706f6e6452,{e[:32]},{f[:32]},"AES-CBC-128 [RFC3602]",'
        f'{a},{b},"HMAC_SHA2_256_128 [RFC4868]"',
        f"3031323334353637,3839616263646566,{e[:40]},{e[:40]},"
        '"AES-GCM-128 with 16 octet ICV [RFC5282]",,,"NONE [RFC4306]"',
    ]
    assert made[ESP_TABLE].splitlines() == [
        f'"IPv4","*","239.1.2.3","0xe41b724d","AES-CBC [RFC3602]","0x{e}",'
        f'"HMAC-SHA-512-256 [RFC4868]","0x{a * 2}"',
        f'"IPv6","2001:db8::1","ff0e::7","0xe41b724d","AES-CBC [RFC3602]","0x{e}",'
        f'"HMAC-SHA-512-256 [RFC4868]","0x{a * 2}"',
    ]


def test_a_hostile_key_log_writes_no_cells_of_its_own() -> None:
    """An IPv6 scope may be any text, quotes and line ends included."""
    evil = 'fe80::1%x","0x1"\n"IPv4","*'
    (entry,) = (one for one in ALL if getattr(one, "source", "") == "2001:db8::1")
    made = tables([dataclasses.replace(entry, source=evil)])
    (line,) = made[ESP_TABLE].splitlines()
    assert line.startswith('"IPv6","fe80::1","ff0e::7",')
