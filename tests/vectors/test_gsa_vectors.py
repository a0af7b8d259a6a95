"""The layout of GSA payloads: data/gsa.json against records written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gcks.errors import WireError
from gcks.iana import Encr, GcAuth, Integ, Kwa, ProtocolId, TransformType
from gcks.wire.gsa import (
    GroupSecurityAssociation,
    GroupWidePolicy,
    GsaPolicy,
    decode_gsa,
    decode_gsa_policy,
)
from gcks.wire.payloads import decode_chain, encode_chain
from gcks.wire.traffic_selector import UDP, TrafficSelector
from gcks.wire.transform import Transform

DATA = Path(__file__).parent / "data"
VECTORS = json.loads((DATA / "gsa.json").read_text())["vectors"]
by_title = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["title"])

ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
ED25519 = bytes.fromhex("300506032b6570")


def encr(number: Encr, bits: int) -> Transform:
    return Transform(TransformType.ENCR, number, bits)


def signed(algorithm: bytes) -> Transform:
    method = GcAuth.DIGITAL_SIGNATURE
    return Transform(TransformType.GCAUTH, method, signature_algorithm=algorithm)


REKEY_TRANSFORMS = {
    "Ed25519": (
        encr(Encr.AES_GCM_16, 256),
        Transform(TransformType.KWA, Kwa.KW_5649_256),
        signed(ED25519),
    ),
    "ECDSA": (
        encr(Encr.AES_CBC, 256),
        Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128),
        Transform(TransformType.KWA, Kwa.KW_5649_128),
        signed(ECDSA_SHA256),
    ),
    "implicit": (
        encr(Encr.AES_GCM_16, 128),
        Transform(TransformType.KWA, Kwa.KW_5649_128),
        Transform(TransformType.GCAUTH, GcAuth.IMPLICIT),
    ),
}


def expected(vector: dict[str, Any]) -> GroupSecurityAssociation:
    """Write the vector's inputs as records."""
    inputs = vector["inputs"]
    transforms = next(t for word, t in REKEY_TRANSFORMS.items() if word in vector["title"])
    rekey = GsaPolicy(
        ProtocolId.GIKE_UPDATE,
        bytes.fromhex(inputs["rekey_spi"]),
        TrafficSelector.single("192.0.2.1", UDP, 848),
        TrafficSelector.single("239.1.2.3", UDP, 848),
        transforms,
        inputs["lifetimes"][0],
        inputs["initial_message_id"] or None,
        (bytes.fromhex(inputs["next_spi"]),),
    )
    esp = GsaPolicy(
        ProtocolId.ESP,
        bytes.fromhex(inputs["esp_spi"]),
        TrafficSelector.any(),
        TrafficSelector.single("239.1.2.3", UDP, 5000),
        (encr(Encr.AES_GCM_16, 256), Transform(TransformType.SN, inputs["esp_sn"])),
        inputs["lifetimes"][1],
    )
    wide = GroupWidePolicy(inputs["atd"], inputs["dtd"], inputs["sender_id_bits"])
    return GroupSecurityAssociation((rekey, esp), wide)


@by_title
def test_records_encode_to_the_vector(vector: dict[str, Any]) -> None:
    """RFC 9838 section 4.4: order and octets of substructures, transforms and attributes."""
    gsa = expected(vector)
    assert gsa.encode().hex() == vector["output"]["body"]
    kind, octets = encode_chain([gsa])
    assert (kind, octets.hex()) == (
        vector["output"]["payload_type"],
        vector["output"]["payload_if_last"],
    )


@by_title
def test_the_vector_decodes_to_the_records(vector: dict[str, Any]) -> None:
    payload = bytes.fromhex(vector["output"]["payload_if_last"])
    assert decode_chain(vector["output"]["payload_type"], payload) == (expected(vector),)


@by_title
def test_each_policy_decodes_alone(vector: dict[str, Any]) -> None:
    """RFC 9838 section 4.4.2; the last substructure is the group-wide policy."""
    policies = tuple(decode_gsa_policy(bytes.fromhex(s)) for s in vector["substructures"][:-1])
    assert policies == expected(vector).policies


@by_title
def test_a_truncated_vector_is_a_shorter_payload_or_refused(vector: dict[str, Any]) -> None:
    body = bytes.fromhex(vector["output"]["body"])
    sizes = [len(substructure) // 2 for substructure in vector["substructures"]]
    whole = {sizes[0], sizes[0] + sizes[1]}
    for end in range(len(body)):
        if end in whole:
            assert decode_gsa(body[:end]).group_wide is None
        else:
            with pytest.raises(WireError):
                decode_gsa(body[:end])
