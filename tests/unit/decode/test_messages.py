"""Whole messages: in clear, decrypted, in fragments, signed, encrypted, malformed."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from gcks.datagrams import Endpoint
from gcks.decode.carriers import Carried, Census
from gcks.decode.keyring import KeyRing
from gcks.decode.messages import Explainer
from gcks.decode.model import ExplainedPayload, Explanation, Item, Protection
from gcks.decode.report import message_json, report
from gcks.decode.text import COLUMNS, render, render_summary
from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry
from gcks.iana import Encr, ExchangeType, GcAuth, Integ, TransformType
from gcks.ike.key_log_entry import IkeKeyLogEntry
from gcks.ike.protect import Envelope, IkeProtection, seal_chain
from gcks.ike.suite import IkeSuite
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.header import FLAG_INITIATOR, FLAG_RESPONSE
from gcks.wire.kd import KeyDownload, MemberKeyBag
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.transform import Transform
from gcks.wire.vendor import VendorId
from generated_by.decode_schema import decode_schema
from tests.support.captures import with_length
from tests.support.gsa_policies import REKEY
from tests.support.repository import ROOT
from tests.support.sample_messages import INIT, REKEYS, rekey_entry, rekey_messages
from tests.support.seeds import inside_sk

PUBLISHED = ROOT / "config" / "decode.schema.json"
SPI_I, SPI_R = b"initiatr", b"respondr"
IKE = IkeKeyLogEntry(SPI_I, SPI_R, Encr.AES_GCM_16, 256, Integ.NONE, b"e" * 36, b"f" * 36, b"", b"")
SUITE = IkeSuite(Encr.AES_GCM_16, 256, 5, Integ.NONE, 31, 3)


def protection(*, initiator: bool) -> IkeProtection:
    ciphers = [SUITE.make_cipher(key, b"") for key in (IKE.sk_ei, IKE.sk_er)]
    out, into = ciphers if initiator else reversed(ciphers)
    return IkeProtection(SPI_I, SPI_R, out, into, bytes)


def registration(vector: dict[str, Any]) -> bytes:
    """The response that announces the vector's Rekey SA and its AUTH_KEY."""
    given = vector["inputs"]
    identifier = bytes.fromhex(given["signature_algorithm_identifier"])
    method = GcAuth.DIGITAL_SIGNATURE if identifier else GcAuth.IMPLICIT
    gcauth = Transform(TransformType.GCAUTH, method, None, identifier)
    spi = bytes.fromhex(given["rekey_spi"])
    policy = replace(REKEY, spi=spi, transforms=(*REKEY.transforms, gcauth))
    auth_key = bytes.fromhex(given["auth_key_spki"]) or None
    payloads: list[Payload] = [
        GroupSecurityAssociation((policy,)),
        KeyDownload((), (MemberKeyBag((), auth_key, (3,)),)),
    ]
    sealer = protection(initiator=False)
    return sealer.seal_messages(ExchangeType.GSA_AUTH, FLAG_RESPONSE, 1, payloads, None)[0]


def explained(
    *octets: bytes, keys: tuple[IkeKeyLogEntry | GroupSaKeyLogEntry, ...] = ()
) -> list[Explanation]:
    explainer = Explainer(KeyRing(keys))
    return [explainer.explain(Carried(one, "UDP", 1, 1.5)) for one in octets]


def titles(explanation: Explanation) -> list[str]:
    return [payload.title for payload in explanation.payloads]


def checks(explanation: Explanation) -> dict[str, str]:
    return {check.name: check.value for check in explanation.checks}


def text_of(explanation: Explanation) -> str:
    return "\n".join(render(explanation))


# --- in clear -------------------------------------------------------------------------


def test_a_message_in_clear() -> None:
    (one,) = explained(INIT)
    assert one.protection is Protection.CLEAR
    assert titles(one) == ["SA", "Ni"]
    assert not one.problem
    assert "IKE_SA_INIT request" in text_of(one)
    assert "flags Initiator" in text_of(one)


def test_the_same_octets_again_are_told_as_such() -> None:
    first, second, third = explained(INIT, INIT, INIT)
    assert (first.repeats, second.repeats, third.repeats) == (None, 1, 1)
    assert "the same octets as #1" in text_of(second)


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        (b"", "0 octets are too few for an IKE header"),
        (INIT[:27], "27 octets are too few"),
        (INIT[:-1], "header says"),
        (INIT[:17] + b"\x10" + INIT[18:], "version 1.0: only IKEv2 is explained"),
        (with_length(INIT + b"\0"), "1 octets follow the last payload"),
        (
            INIT[:16] + b"\x21" + INIT[17:28] + b"\x28\0\0\3" + INIT[32:],
            "SA payload at octet 28: length 3 of 68",
        ),
        (with_length(INIT[:-18]), "NONCE payload cut off at octet 76"),
        (with_length(INIT[:30]), "SA payload cut off at octet 28"),
    ],
)
def test_what_is_malformed_and_where(octets: bytes, problem: str) -> None:
    (one,) = explained(octets)
    assert problem in one.problem
    assert f"! {one.problem[:40]}" in text_of(one)


def test_a_malformed_payload_leaves_the_others_readable() -> None:
    bent = INIT[:32] + b"\7" + INIT[33:]  # the last-substructure mark of the proposal
    (one,) = explained(bent)
    assert titles(one) == ["SA", "Ni"]
    sa, nonce = one.payloads
    assert sa.problem == (
        "malformed, in the payload at octet 28: last-substructure mark 7 in a proposal"
    )
    assert not sa.items and nonce.items and not nonce.problem


def test_unknown_payloads_print_type_and_length() -> None:
    octets = with_length(INIT[:16] + b"\xc8" + INIT[17:28] + b"\0\x80\0\7abc")
    (one,) = explained(octets)
    assert "200  unknown payload, critical" in text_of(one)
    assert "not explained, 3 octets" in text_of(one)


def test_payloads_before_an_encrypted_one_are_explained() -> None:
    octets = INIT[:16] + b"\x2b" + INIT[17:28] + b"\x2e\0\0\5v" + b"\x2b\0\0\x0c12345678"
    (one,) = explained(with_length(octets))
    assert titles(one) == ["V", "SK"]


def test_too_many_payloads() -> None:
    octets = INIT[:16] + b"\x2b" + INIT[17:28] + b"\x2b\0\0\4" * 70
    (one,) = explained(with_length(octets))
    assert len(one.payloads) == 64
    assert "more than 64 payloads" in one.problem


# --- protected by an IKE SA -----------------------------------------------------------


def sealed(payloads: list[Payload], *, initiator: bool = True) -> bytes:
    flags = FLAG_INITIATOR if initiator else FLAG_RESPONSE
    sealer = protection(initiator=initiator)
    return sealer.seal_messages(ExchangeType.GSA_AUTH, flags, 1, payloads, None)[0]


@pytest.mark.parametrize("initiator", [True, False])
def test_a_protected_message_is_decrypted(initiator: bool) -> None:
    octets = sealed([Notify(16384), Nonce(bytes(32))], initiator=initiator)
    (one,) = explained(octets, keys=(IKE,))
    assert one.protection is Protection.DECRYPTED
    assert checks(one) == {"integrity": "the ICV is right (IKE SA)"}
    assert titles(one) == ["N", "Ni" if initiator else "Nr"]


def test_without_its_key_a_message_stays_encrypted_and_says_so() -> None:
    (one,) = explained(sealed([Notify(16384)]))
    assert one.protection is Protection.ENCRYPTED
    assert checks(one) == {"decryption": "no key for these SPIs"}
    (payload,) = one.payloads
    assert payload.title == "SK"
    assert payload.items == (Item("first inside", "N"), Item("content", "encrypted"))


def test_a_changed_message_is_told_and_not_explained() -> None:
    octets = sealed([Notify(16384)])
    (one,) = explained(octets[:-1] + bytes((octets[-1] ^ 1,)), keys=(IKE,))
    assert one.protection is Protection.ENCRYPTED
    assert "wrong ICV: changed on the way" in checks(one)["integrity"]


@pytest.mark.parametrize("body", [b"", b"\0\0\0\4", b"\0\0\0\x08abcd", b"\0\0\0\4abcd"])
@pytest.mark.parametrize("kind", [b"\x2e", b"\x35"])
def test_a_malformed_encrypted_payload(kind: bytes, body: bytes) -> None:
    octets = with_length(SPI_I + SPI_R + kind + b"\x20\x27\x08" + bytes(8) + body)
    for keys in ((), (IKE,)):
        (one,) = explained(octets, keys=keys)
        assert one.problem.startswith("malformed: ") or one.protection is Protection.ENCRYPTED


def test_fragments_are_put_together_in_any_order() -> None:
    """RFC 7383 section 2.6."""
    sealer = protection(initiator=True)
    chain: list[Payload] = [VendorId(b"v" * 600), Nonce(bytes(16))]
    parts = sealer.seal_messages(ExchangeType.GSA_AUTH, FLAG_INITIATOR, 1, chain, 300)
    assert len(parts) == 3
    first, second, last = explained(parts[2], parts[0], parts[1], keys=(IKE,))
    assert first.protection is second.protection is Protection.FRAGMENT
    assert checks(first)["fragment"] == "3 of 3"
    assert last.protection is Protection.DECRYPTED
    assert titles(last) == ["V", "Ni"]
    (closed,) = explained(parts[1])
    assert Item("fragment", "2 of 3") in closed.payloads[0].items


@pytest.mark.parametrize("seed", range(8))
def test_mutated_payloads_never_raise(seed: int) -> None:
    """A peer with keys can put anything inside SK."""
    dice, explainer = random.Random(seed), Explainer(KeyRing((IKE,)), show_secrets=True)
    valid = jsonschema.Draft202012Validator(decode_schema())
    cipher = SUITE.make_cipher(IKE.sk_ei, b"")
    for number, chain in enumerate(list(inside_sk()) * 12):
        bent = bytearray(chain)
        for _ in range(dice.randint(0, 8)):
            bent[dice.randrange(1, len(bent))] = dice.choice((0, 1, 0xFF, dice.randrange(256)))
        exchange = dice.choice(list(ExchangeType))
        head = Envelope(SPI_I, SPI_R, exchange, FLAG_INITIATOR, number)
        octets = seal_chain(cipher, number.to_bytes(8, "big"), head, bent[0], bytes(bent[1:]))
        one = explainer.explain(Carried(octets, "UDP"))
        assert one.protection in (Protection.DECRYPTED, Protection.ENCRYPTED)
        assert all(line.isprintable() for line in render(one))
        valid.validate(report([message_json(one)], Census(), {}))


# --- GSA_REKEY ------------------------------------------------------------------------


@pytest.mark.parametrize("vector", REKEYS, ids=lambda vector: vector["title"])
def test_a_gsa_rekey_is_decrypted_and_its_signature_verified(vector: dict[str, Any]) -> None:
    """RFC 9838 section 2.4.1, as an independent implementation made it."""
    octets = [registration(vector), *rekey_messages(vector)]
    first, *_, last = explained(*octets, keys=(IKE, rekey_entry(vector)))
    assert titles(first) == ["GSA", "KD"]
    assert last.protection is Protection.DECRYPTED
    assert checks(last)["integrity"] == "the ICV is right (Rekey SA of keyid:demo)"
    signed = bool(vector["inputs"]["private_key"])
    said = "valid, by the AUTH_KEY of message #1" if signed else "none: implicit authentication"
    assert checks(last)["signature"] == said
    assert titles(last) == ["GSA", "KD", "D"] + ["AUTH"] * signed
    assert "GSA_REKEY one-way" in text_of(last)
    assert vector["inputs"]["rekey_spi"] in text_of(last)


def test_a_gsa_rekey_without_its_registration_is_not_verified() -> None:
    (one,) = explained(*rekey_messages(REKEYS[0]), keys=(rekey_entry(REKEYS[0]),))
    assert checks(one)["signature"].startswith("not verified")


def test_a_wrong_signature_is_told() -> None:
    other = replace_auth_key(REKEYS[0])
    octets = [registration(other), *rekey_messages(REKEYS[0])]
    one = explained(*octets, keys=(IKE, rekey_entry(REKEYS[0])))[-1]
    assert checks(one)["signature"].startswith("INVALID: ")


def replace_auth_key(vector: dict[str, Any]) -> dict[str, Any]:
    spki = vector["inputs"]["auth_key_spki"]
    return {**vector, "inputs": {**vector["inputs"], "auth_key_spki": spki[:-2] + "00"}}


# --- text and JSON --------------------------------------------------------------------


def everything() -> list[Explanation]:
    keys = (IKE, rekey_entry(REKEYS[0]))
    octets = [INIT, INIT, b"", INIT[:-1], registration(REKEYS[0]), *rekey_messages(REKEYS[0])]
    octets += [
        *rekey_messages(REKEYS[3]),
        sealed([Notify(40000, b"x" * 99)]),
        *rekey_messages(REKEYS[1]),
    ]
    return explained(*octets, keys=keys)


def test_the_text_is_80_columns_wide() -> None:
    for one in everything():
        for line in render(one):
            assert len(line) <= COLUMNS, line
            assert line == line.rstrip()


def test_addresses_and_times() -> None:
    carried = Carried(
        INIT, "UDP", 7, 0.25, Endpoint("192.0.2.1", 500), Endpoint("2001:db8::1", 500)
    )
    text = text_of(Explanation(3, carried, None))
    assert "#3  1970-01-01 00:00:00.250000 UTC  packet 7" in text
    assert "192.0.2.1:500 -> [2001:db8::1]:500" in text
    assert "time 1e+300" in text_of(Explanation(3, carried._replace(time=1e300), None))


def test_the_summary() -> None:
    census = Census()
    census.packets, census.problem = 9, "cut off"
    census.esp[b"\xe4\x1brM"] = 3
    census.others["not IP"] = 2
    assert list(render_summary(1, census, {})) == [
        "1 IKE messages in 9 packets",
        "3 ESP packets, SPI e41b724d",
        "2 packets left out: not IP",
        "! cut off",
    ]
    assert list(render_summary(0, Census(), {})) == ["no IKE messages"]


def test_the_published_schema_is_the_one_that_the_json_fits() -> None:
    assert json.loads(PUBLISHED.read_text()) == decode_schema()
    census = Census()
    census.esp[b"\xe4\x1brM"] = 3
    census.others["not IP"] = 2
    whole = report([message_json(one) for one in everything()], census, {})
    jsonschema.Draft202012Validator.check_schema(decode_schema())
    jsonschema.validate(json.loads(json.dumps(whole)), decode_schema())
    assert whole["schema_version"] == 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**whole, "other": 1}, decode_schema())


def test_a_payload_of_a_message_is_its_own_object() -> None:
    payload = ExplainedPayload("SA", "Security Association", "RFC 7296 section 3.3", 8)
    carried = Carried(INIT, "UDP")
    found = message_json(Explanation(1, carried, None, payloads=(payload,)))
    assert found["payloads"][0]["payload"] == "SA"
    assert found["from"] is None and found["time"] is None
