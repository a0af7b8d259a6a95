"""Where the fuzzers begin: the golden vectors, and one message of every payload."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.support.repository import ROOT

DATA = ROOT / "tests" / "vectors" / "data"
NONCE = "00000014" + "5a" * 16
SA = "00000030" + "0000002c 01010004 0300000c 01000014 800e0100 03000008 02000005"
SA += "03000008 0400001f 00000008 0d000003"
SAG = "00000033 0000002f 01060003 0300000c 01000014 800e0100 03000008 0d000003"
SAG += "00000013 0e000002 00120007 300506032b6570"
LABELED_GSA = "00000052 0304004e e41b724d 07110010 13881388 0a000001 0a000001"
LABELED_GSA += "07110010 13881388 ef010203 ef010203 0a00000a 73303a633700"
LABELED_GSA += "0300000c 01000014 800e0100 00000008 05000000 00010004 00000e10"
REQUEST = "696e697469617472 0000000000000000 21 20 22 08 00000000 00000000"


def vectors(name: str) -> list[dict[str, Any]]:
    """Return the golden vectors of a file in tests/vectors/data."""
    found: list[dict[str, Any]] = json.loads((DATA / f"{name}.json").read_text())["vectors"]
    return found


def messages() -> Iterator[bytes]:
    """Yield whole datagrams: IKE_SA_INIT and the GSA_REKEY messages of the vectors."""
    yield bytes.fromhex(REQUEST + "28" + SA[2:] + NONCE)
    yield bytes.fromhex(REQUEST.replace(" 21 20", " 28 20") + NONCE)
    for vector in vectors("rekey"):
        yield from map(bytes.fromhex, vector["datagrams"])


def inside_sk() -> Iterator[bytes]:
    """Yield payload chains behind the octet that names their first payload."""
    for name in ("gsa", "kd"):
        for vector in vectors(name):
            kind = bytes((vector["output"]["payload_type"],))
            yield kind + bytes.fromhex(vector["output"]["payload_if_last"])
    for vector in vectors("rekey"):
        yield bytes((vector["first_inner_payload"],)) + bytes.fromhex(vector["inner_payloads"])
    yield bytes((33,)) + bytes.fromhex(SA)
    yield bytes((33,)) + bytes.fromhex(SAG)
    yield bytes((51,)) + bytes.fromhex(LABELED_GSA)
