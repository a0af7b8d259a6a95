"""GSA and KD payloads against ../shared/vectors, both directions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gcks.crypto.key_wrap import unwrap, wrap
from gcks.datagrams import Endpoint
from gcks.group.key_download import (
    key_download,
    key_sizes,
    keymat_octets,
    member_key_download,
    rekey_keys,
    tree_key_download,
)
from gcks.iana import Encr, Integ, Kwa, PayloadType, ProtocolId, TransformType
from gcks.journal import MessageIdReserved, SpisReserved
from gcks.keyserver.groups.authorization import Role
from gcks.keyserver.groups.live_sa import LiveSa
from gcks.keyserver.groups.policy import DataSaPolicy, GroupPolicy, MemberRule, RekeyPolicy
from gcks.keyserver.groups.registration import GsaBuilder
from gcks.keyserver.groups.sa_set import REKEY, data_gsa_policy, rekey_gsa_policy
from gcks.keyserver.groups.spi import SpiPool
from gcks.keyserver.groups.state import GroupState
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.identification import Identity
from gcks.wire.kd import KeyDownload, MemberKeyBag, WrappedKey
from gcks.wire.payloads import decode_chain, encode_chain
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform

VECTORS = Path(__file__).parent / "data"
GSA = json.loads((VECTORS / "gsa.json").read_text())["vectors"]
KD = json.loads((VECTORS / "kd.json").read_text())["vectors"]
GCM_256 = Transform(TransformType.ENCR, Encr.AES_GCM_16, 256)
GCM_128 = Transform(TransformType.ENCR, Encr.AES_GCM_16, 128)
CBC_256 = Transform(TransformType.ENCR, Encr.AES_CBC, 256)
HMAC = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128)
SUITES = {
    "Ed25519": (GCM_256, None, Kwa.KW_5649_256, "ed25519"),
    "ECDSA P-256": (CBC_256, HMAC, Kwa.KW_5649_128, "ecdsa-p256"),
    "implicit authentication": (GCM_128, None, Kwa.KW_5649_128, "implicit"),
}
by_title = pytest.mark.parametrize("vector", GSA, ids=lambda v: v["title"])


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def group_of(vector: dict[str, Any]) -> GroupPolicy:
    """Write the vector's inputs as an operator's policy."""
    inputs = vector["inputs"]
    encr, integ, kwa, method = next(
        suite for word, suite in SUITES.items() if word in vector["title"]
    )
    source, destination = Endpoint("192.0.2.1", 848), Endpoint("239.1.2.3", 848)
    rekey = RekeyPolicy(encr, integ, kwa, method, source, destination, inputs["lifetimes"][0])
    esp = DataSaPolicy(
        "esp",
        ProtocolId.ESP,
        GCM_256,
        None,
        TrafficSelector.any(4, 0),
        TrafficSelector.single("239.1.2.3", 17, 5000),
        inputs["lifetimes"][1],
    )
    return GroupPolicy(
        Identity.parse("keyid:demo"),
        (esp,),
        rekey,
        (MemberRule("*", send=True),),
        atd_seconds=inputs["atd"],
        dtd_seconds=inputs["dtd"],
        sender_id_bits=inputs["sender_id_bits"],
    )


def state_of(vector: dict[str, Any], policy: GroupPolicy) -> GroupState:
    """Make the group's SAs with the vector's SPIs, created at 0."""
    inputs, state = vector["inputs"], GroupState(policy.name, SpiPool(os.urandom), os.urandom)
    assert policy.rekey is not None
    (esp,) = policy.data_sas
    rekey_spi = octets(inputs["rekey_spi"])
    for name, gsa in (
        (REKEY, rekey_gsa_policy(policy.rekey, rekey_spi)),
        (esp.name, data_gsa_policy(esp, octets(inputs["esp_spi"]))),
    ):
        made = LiveSa(
            name=name,
            policy=gsa,
            encoded=gsa.encode(),
            keymat=b"",
            created_at=0.0,
            expires_at=gsa.lifetime_seconds or 0,
            created_wall=0.0,
        )
        state.apply(made.saved(policy.name), 0.0)
    next_spi = octets(inputs["next_spi"])
    state.apply(SpisReserved(policy.name, REKEY, ProtocolId.GIKE_UPDATE, next_spi), 0.0)
    next_message_id = inputs["initial_message_id"]
    state.apply(MessageIdReserved(policy.name, rekey_spi, next_message_id), 0.0)
    return state


@by_title
def test_a_registrations_gsa_payload_is_built_to_the_octet(vector: dict[str, Any]) -> None:
    """RFC 9838 section 4.4: what the server sends a sender."""
    policy = group_of(vector)
    view = GsaBuilder().view(
        policy,
        state_of(vector, policy),
        Role(frozenset({"esp"}), receives=True),
        now=0.0,
        inband=False,
    )
    assert view.gsa.encode().hex() == vector["output"]["body"]
    assert view.numbered


@by_title
def test_the_gsa_payload_reads_back_to_itself(vector: dict[str, Any]) -> None:
    """RFC 9838 section 4.4: substructures, payload header and all."""
    (gsa,) = decode_chain(PayloadType.GSA, octets(vector["output"]["payload_if_last"]))
    assert isinstance(gsa, GroupSecurityAssociation) and gsa.group_wide is not None
    parts = [policy.encode() for policy in gsa.policies] + [gsa.group_wide.encode()]
    assert [part.hex() for part in parts] == vector["substructures"]
    assert encode_chain([gsa]) == (
        PayloadType.GSA,
        octets(vector["output"]["payload_if_last"]),
    )


@by_title
def test_key_sizes_follow_from_the_transforms(vector: dict[str, Any]) -> None:
    """RFC 9838 section 3.4: GSK_e | GSK_a | GSK_w = KEYMAT."""
    (gsa,) = decode_chain(PayloadType.GSA, octets(vector["output"]["payload_if_last"]))
    assert isinstance(gsa, GroupSecurityAssociation)
    rekey, esp = gsa.policies
    sizes = vector["key_octets"]
    assert key_sizes(rekey.transforms) == (sizes["GSK_e"], sizes["GSK_a"], sizes["GSK_w"])
    assert keymat_octets(esp.transforms) == sizes["esp"]
    keymat = os.urandom(keymat_octets(rekey.transforms))
    keys = rekey_keys(keymat, rekey)
    assert keys.gsk_e + keys.gsk_a + keys.gsk_w == keymat
    assert len(keys.gsk_a) == sizes["GSK_a"]


# --- KD ------------------------------------------------------------------------------


def test_a_simple_kd_payload_is_built_to_the_octet() -> None:
    """RFC 9838 section 4.5: keys under GSK_w, AUTH_KEY, one Sender-ID."""
    vector = KD[0]
    inputs = vector["inputs"]
    keys = [
        (ProtocolId.GIKE_UPDATE, octets(inputs["rekey_spi"]), octets(inputs["rekey_keymat"])),
        (ProtocolId.ESP, octets(inputs["esp_spi"]), octets(inputs["esp_keymat"])),
    ]
    kd = key_download(
        keys, octets(inputs["GSK_w"]), octets(inputs["auth_key_spki"]), (inputs["sender_id"],)
    )
    assert kd.encode().hex() == vector["output"]["body"]
    assert encode_chain([kd])[1].hex() == vector["output"]["payload_if_last"]


def test_the_keys_of_a_simple_kd_payload_come_out() -> None:
    """RFC 9838 sections 3.3, 4.5.2.1: Key ID and KWK ID zero, under GSK_w."""
    inputs = KD[0]["inputs"]
    (kd,) = decode_chain(PayloadType.KD, octets(KD[0]["output"]["payload_if_last"]))
    assert isinstance(kd, KeyDownload)
    kwk = octets(inputs["GSK_w"])
    opened = [unwrap(kwk, bag.sa_keys[0].encrypted_key).hex() for bag in kd.group_bags]
    assert opened == [inputs["rekey_keymat"], inputs["esp_keymat"]]
    assert {(k.key_id, k.kwk_id) for bag in kd.group_bags for k in bag.sa_keys} == {(0, 0)}
    (member,) = kd.member_bags
    assert member.auth_key == octets(inputs["auth_key_spki"])
    assert member.sender_ids == (inputs["sender_id"],)


@pytest.mark.parametrize("vector", KD, ids=lambda v: v["title"])
def test_the_kd_payload_reads_back_to_itself(vector: dict[str, Any]) -> None:
    whole = octets(vector["output"]["payload_if_last"])
    (kd,) = decode_chain(PayloadType.KD, whole)
    assert isinstance(kd, KeyDownload)
    assert encode_chain([kd]) == (PayloadType.KD, whole)


@pytest.mark.parametrize(
    ("vector", "wraps"),
    [(KD[1], [(1, 3), (3, 7), (7, 0)]), (KD[2], [(15, 6), (15, 16), (16, 11)])],
    ids=["A.2", "A.4"],
)
def test_the_wrap_keys_of_appendix_a(vector: dict[str, Any], wraps: list[tuple[int, int]]) -> None:
    """RFC 9838 appendix A: MP(Y{X}) is a WRAP_KEY with Key ID X and KWK ID Y."""
    inputs = vector["inputs"]
    (kd,) = decode_chain(PayloadType.KD, octets(vector["output"]["payload_if_last"]))
    assert isinstance(kd, KeyDownload)
    tree = {int(number): octets(key) for number, key in inputs["tree_keys"].items()}
    keys = [key for bag in kd.member_bags for key in bag.wrap_keys]
    assert [(key.key_id, key.kwk_id) for key in keys] == wraps
    for key in keys:
        kwk = tree[key.kwk_id] if key.kwk_id else octets(inputs["GSK_w"])
        assert unwrap(kwk, key.encrypted_key) == tree[key.key_id]


def test_a_member_key_bag_with_wrap_keys_encodes_as_the_vector() -> None:
    """RFC 9838 section 4.5.3: built again from its keys (RFC 5649 is deterministic)."""
    inputs = KD[2]["inputs"]
    tree = {int(number): octets(key) for number, key in inputs["tree_keys"].items()}
    bag = MemberKeyBag(
        tuple(
            WrappedKey(key, kwk, wrap(tree[kwk], tree[key]))
            for key, kwk in ((15, 6), (15, 16), (16, 11))
        )
    )
    assert KD[2]["output"]["body"].endswith(bag.encode().hex())


def test_a_registration_with_a_key_tree_encodes_as_the_vector() -> None:
    """RFC 9838 appendix A.2; ruling 20: SA_KEY under the tree, never under GSK_w."""
    inputs = KD[1]["inputs"]
    tree = {int(number): octets(key) for number, key in inputs["tree_keys"].items()}
    kd = member_key_download(
        [
            (ProtocolId.GIKE_UPDATE, octets(inputs["rekey_spi"]), octets(inputs["K_sa1"])),
            (ProtocolId.ESP, octets(inputs["esp_spi"]), octets(inputs["esp_keymat"])),
        ],
        octets(inputs["GSK_w"]),
        [(number, tree[number]) for number in (7, 3, 1)],
        octets(inputs["auth_key_spki"]),
    )
    assert kd.encode().hex() == KD[1]["output"]["body"]


def test_an_exclusion_encodes_as_the_vector() -> None:
    """RFC 9838 appendix A.4: GM F is shut out."""
    inputs = KD[2]["inputs"]
    tree = {int(number): octets(key) for number, key in inputs["tree_keys"].items()}
    wraps = tuple(
        WrappedKey(key, kwk, wrap(tree[kwk], tree[key]))
        for key, kwk in ((15, 6), (15, 16), (16, 11))
    )
    spi, keymat = octets(inputs["rekey_spi"]), octets(inputs["K_sa3"])
    tops = [(number, tree[number]) for number in (1, 15)]
    kd = tree_key_download(ProtocolId.GIKE_UPDATE, spi, keymat, tops, wraps)
    assert kd.encode().hex() == KD[2]["output"]["body"]
