"""keymat.json: SKEYSEED to GSK_w, signed octets, PSK AUTH, keys after an IKE SA rekey."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from gcks.iana import Integ, TransformType
from gcks.ike.authenticator import psk_authentication, signed_octets, verify_psk
from gcks.ike.keymat import GSK_W_LABEL, IkeKeys, derive_gsk_w, derive_keys, rekey_keys
from gcks.ike.suite import IkeSuite

COPIED = Path(__file__).parent / "data"
VECTORS = COPIED if COPIED.is_dir() else Path("/work/shared/vectors")
KEYMATS = json.loads((VECTORS / "keymat.json").read_text())["vectors"]


@pytest.fixture(params=KEYMATS, ids=lambda one: one["suite"])
def vector(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def suite_of(vector: dict[str, Any]) -> IkeSuite:
    chosen = {kind: (number, bits) for kind, number, bits in vector["transforms"]}
    encr, bits = chosen[TransformType.ENCR]
    prf, ke, kwa = (
        chosen[kind][0] for kind in (TransformType.PRF, TransformType.KE, TransformType.KWA)
    )
    integ = chosen.get(TransformType.INTEG, (Integ.NONE, None))[0]
    return IkeSuite(encr, bits, prf, integ, ke, kwa)


def octets(inputs: dict[str, str], *names: str) -> list[bytes]:
    return [bytes.fromhex(inputs[name]) for name in names]


def first_keys(vector: dict[str, Any]) -> IkeKeys:
    g_ir, *rest = octets(vector["inputs"], "g^ir", "Ni", "Nr", "SPIi", "SPIr")
    return derive_keys(suite_of(vector), g_ir, *rest)


def test_keys_of_the_first_ike_sa(vector: dict[str, Any]) -> None:
    """RFC 7296 section 2.14."""
    derived = {name.replace("sk_", "SK_"): key for name, key in asdict(first_keys(vector)).items()}
    assert derived == {name: bytes.fromhex(vector[name]) for name in derived}


def test_the_label_of_gsk_w_is_20_octets(vector: dict[str, Any]) -> None:
    """RFC 9838 section 3.1.1: 20 ASCII characters without null termination."""
    assert vector["inputs"]["GSK_w_label"] == GSK_W_LABEL.hex()
    assert len(GSK_W_LABEL) == 20


def test_gsk_w_of_each_kwa(vector: dict[str, Any]) -> None:
    """RFC 9838 section 3.1.1: prf+(SK_d, label), as long as the KWA's key."""
    sk_d = bytes.fromhex(vector["SK_d"])
    assert derive_gsk_w(suite_of(vector), sk_d).hex() == vector["GSK_w"]
    for kwa, expected in vector["GSK_w_per_KWA"].items():
        suite = replace(suite_of(vector), kwa=int(kwa))
        assert derive_gsk_w(suite, sk_d).hex() == expected


def test_initiator_signed_octets_and_psk_auth(vector: dict[str, Any]) -> None:
    """RFC 7296 section 2.15."""
    suite = suite_of(vector)
    message, nonce, body, psk = octets(vector["inputs"], "RealMessage1", "Nr", "IDi_body", "PSK")
    signed = signed_octets(suite.prf, message, nonce, bytes.fromhex(vector["SK_pi"]), body)
    assert signed.hex() == vector["InitiatorSignedOctets"]
    auth = psk_authentication(suite.prf, psk, signed)
    assert auth.data.hex() == vector["AUTH_psk"]
    verify_psk(suite.prf, psk, signed, auth)


def test_keys_after_an_ike_sa_rekey(vector: dict[str, Any]) -> None:
    """RFC 7296 section 2.18; the new IKE SA has a GSK_w of its own (ruling 29)."""
    suite, after = suite_of(vector), vector["ike_rekey"]
    inputs = octets(after["inputs"], "g^ir", "Ni", "Nr", "SPIi", "SPIr")
    keys = rekey_keys(suite, bytes.fromhex(vector["SK_d"]), suite, *inputs)
    assert keys.sk_d.hex() == after["SK_d"]
    assert keys.sk_ei.hex() == after["SK_ei"]
    assert keys.sk_er.hex() == after["SK_er"]
    assert derive_gsk_w(suite, keys.sk_d).hex() == after["GSK_w"]
