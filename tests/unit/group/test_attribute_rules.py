"""The tables of RFC 9838 sections 4.4.2.1 and 5, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gcks.group.attribute_rules import (
    GSA_REKEY,
    INBAND_REGISTRATION,
    MULTICAST_REGISTRATION,
    RuleViolation,
    TableItem,
    check_inband_rekey,
    check_registration,
    check_rekey,
)
from gcks.iana import Encr, GcAuth, Integ, TransformType
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy, GsaPolicy
from gcks.wire.kd import KeyDownload, MemberKeyBag, WrappedKey
from gcks.wire.transform import Transform
from tests.support.group_stage import CBC, GCM, HMAC, Stage, group_policy, rekey_sa

KEY = WrappedKey(0, 0, bytes(24))
WRAP = WrappedKey(5, 0, bytes(24))
Pair = tuple[GroupSecurityAssociation, KeyDownload]


def registration(*, sender: bool = False, implicit: bool = False) -> Pair:
    method = "implicit" if implicit else "ed25519"
    stage = Stage(group_policy(rekey=rekey_sa(authentication=method)))
    joined = stage.register("s1" if sender else "gm1", sender=sender)
    return joined.gsa, joined.kd


def rekey() -> Pair:
    stage = Stage()
    listener = stage.listener()
    listener.hear(stage.rekey().transmits)
    gsa, kd = listener.last[:2]
    assert isinstance(gsa, GroupSecurityAssociation) and isinstance(kd, KeyDownload)
    return gsa, kd


def inband(*, sender: bool = False) -> Pair:
    """The same without a Rekey SA: the in-band table applies (ruling 13)."""
    gsa, kd = registration(sender=sender)
    data = tuple(replace(p, next_spis=()) for p in gsa.policies[1:])
    bags = tuple(replace(bag, auth_key=None) for bag in kd.member_bags if bag.sender_ids)
    return GroupSecurityAssociation(data, gsa.group_wide), KeyDownload(kd.group_bags[1:], bags)


def test_a_rekey_sa_has_no_security_label() -> None:
    """RFC 9838 section 4.4.2: its selectors are addresses and ports; data may be labeled."""
    gsa, kd = registration()
    labeled = replace(gsa, policies=(gsa.policies[0], replace(gsa.policies[1], label=b"s0\0")))
    check_registration(labeled, kd, sender=False)
    with pytest.raises(RuleViolation, match="security label"):
        check_registration(*kek((gsa, kd), label=b"s0\0"), sender=False)


def kek(pair: Pair, **changes: Any) -> Pair:
    gsa, kd = pair
    return replace(gsa, policies=(replace(gsa.policies[0], **changes), *gsa.policies[1:])), kd


def tek(pair: Pair, **changes: Any) -> Pair:
    gsa, kd = pair
    return replace(gsa, policies=(*gsa.policies[:-1], replace(gsa.policies[-1], **changes))), kd


def wide(pair: Pair, **changes: Any) -> Pair:
    gsa, kd = pair
    return replace(gsa, group_wide=replace(gsa.group_wide or GroupWidePolicy(), **changes)), kd


def member(pair: Pair, *bags: MemberKeyBag) -> Pair:
    gsa, kd = pair
    return gsa, replace(kd, member_bags=bags)


def more(pair: Pair, *bags: MemberKeyBag) -> Pair:
    return member(pair, *pair[1].member_bags, *bags)


def bag(pair: Pair, place: int, **changes: Any) -> Pair:
    gsa, kd = pair
    bags = list(kd.group_bags)
    bags[place] = replace(bags[place], **changes)
    return gsa, replace(kd, group_bags=tuple(bags))


def without(pair: Pair, kind: TransformType, *, data: bool = False) -> tuple[Transform, ...]:
    policy: GsaPolicy = pair[0].policies[-1 if data else 0]
    return tuple(t for t in policy.transforms if t.type != kind)


def test_the_tables_name_every_item() -> None:
    for table in (MULTICAST_REGISTRATION, GSA_REKEY, INBAND_REGISTRATION):
        assert set(table) == set(TableItem)


def test_what_the_server_sends_is_allowed() -> None:
    check_registration(*registration(), sender=False)
    check_registration(*registration(implicit=True), sender=False)
    check_registration(*registration(sender=True), sender=True)
    check_registration(*inband(), sender=False)
    check_registration(*inband(sender=True), sender=True)
    check_rekey(*rekey())


def test_several_sa_keys_and_wrap_keys_in_gsa_rekey() -> None:
    """RFC 9838 section 5, note 2; ruling 1: a key tree's message."""
    pair = bag(rekey(), 0, sa_keys=(replace(KEY, kwk_id=1), replace(KEY, kwk_id=15)))
    check_rekey(*more(pair, MemberKeyBag((WRAP, WRAP)), MemberKeyBag(auth_key=b"new")))


def test_wrap_keys_at_registration() -> None:
    """RFC 9838 section 5, note 3."""
    check_registration(*more(registration(), MemberKeyBag((WRAP,))), sender=False)


REGISTRATION: dict[str, Callable[[], Pair]] = {
    "no lifetime of the Rekey SA": lambda: kek(registration(), lifetime_seconds=None),
    "no lifetime of a Data-Security SA": lambda: tek(registration(), lifetime_seconds=None),
    "initial Message ID of a Data-Security SA": lambda: tek(registration(), initial_message_id=1),
    "no GCAUTH": lambda: kek(
        registration(), transforms=without(registration(), TransformType.GCAUTH)
    ),
    "unknown GCAUTH": lambda: kek(
        registration(),
        transforms=(
            *without(registration(), TransformType.GCAUTH),
            Transform(TransformType.GCAUTH, 99),
        ),
    ),
    "signature without algorithm": lambda: kek(
        registration(),
        transforms=(
            *without(registration(), TransformType.GCAUTH),
            Transform(TransformType.GCAUTH, GcAuth.DIGITAL_SIGNATURE),
        ),
    ),
    "implicit with algorithm": lambda: kek(
        registration(implicit=True),
        transforms=(
            *without(registration(), TransformType.GCAUTH),
            Transform(TransformType.GCAUTH, GcAuth.IMPLICIT, signature_algorithm=b"\x30\x00"),
        ),
    ),
    "implicit with AUTH_KEY": lambda: more(
        registration(implicit=True), MemberKeyBag(auth_key=b"key")
    ),
    "signature without AUTH_KEY": lambda: member(registration()),
    "two AUTH_KEYs": lambda: more(registration(), MemberKeyBag(auth_key=b"key")),
    "no KWA": lambda: kek(registration(), transforms=without(registration(), TransformType.KWA)),
    "no ENCR": lambda: kek(registration(), transforms=without(registration(), TransformType.ENCR)),
    "no SN": lambda: tek(
        registration(), transforms=without(registration(), TransformType.SN, data=True)
    ),
    "two SNs": lambda: tek(
        registration(),
        transforms=(*registration()[0].policies[-1].transforms, Transform(TransformType.SN, 0)),
    ),
    "KWA in ESP": lambda: tek(
        registration(),
        transforms=(*registration()[0].policies[-1].transforms, Transform(TransformType.KWA, 3)),
    ),
    "Signature Algorithm Identifier in ENCR": lambda: kek(
        registration(),
        transforms=(
            replace(GCM, signature_algorithm=b"\x30\x00"),
            *without(registration(), TransformType.ENCR),
        ),
    ),
    "INTEG beside AEAD": lambda: tek(
        registration(), transforms=(*registration()[0].policies[-1].transforms, HMAC)
    ),
    "CBC without INTEG": lambda: tek(
        registration(),
        transforms=(CBC, *without(registration(), TransformType.ENCR, data=True)),
    ),
    "CBC with INTEG NONE": lambda: kek(
        registration(),
        transforms=(
            CBC,
            Transform(TransformType.INTEG, Integ.NONE),
            *without(registration(), TransformType.ENCR),
        ),
    ),
    "two SA_KEYs of the Rekey SA": lambda: bag(registration(), 0, sa_keys=(KEY, KEY)),
    "two SA_KEYs of a Data-Security SA": lambda: bag(registration(), 1, sa_keys=(KEY, KEY)),
    "no SA_KEY": lambda: bag(registration(), 1, sa_keys=()),
    "SA_KEY with a Key ID": lambda: bag(registration(), 0, sa_keys=(replace(KEY, key_id=1),)),
    "data SA_KEY under a tree key": lambda: bag(
        registration(), 1, sa_keys=(replace(KEY, kwk_id=1),)
    ),
    "WRAP_KEY with Key ID 0": lambda: more(
        registration(), MemberKeyBag((replace(WRAP, key_id=0),))
    ),
    "a key bag of a foreign SA": lambda: bag(registration(), 1, spi=b"\xff" * 4),
    "a policy without a key bag": lambda: (
        registration()[0],
        replace(registration()[1], group_bags=registration()[1].group_bags[:1]),
    ),
    "Sender-IDs for a receiver": lambda: more(registration(), MemberKeyBag(sender_ids=(1,))),
    "bits for a receiver": lambda: wide(registration(), sender_id_bits=8),
}


@pytest.mark.parametrize("make", REGISTRATION.values(), ids=REGISTRATION)
def test_registration_payloads_against_the_multicast_table(make: Callable[[], Pair]) -> None:
    """RFC 9838 sections 4.4.2.1, 4.4.2.1.1, 4.5 and 5 (multicast table)."""
    with pytest.raises(RuleViolation):
        check_registration(*make(), sender=False)


SENDER: dict[str, Callable[[], Pair]] = {
    "no Sender-ID": lambda: member(registration(sender=True), MemberKeyBag(auth_key=b"key")),
    "no bits": lambda: wide(registration(sender=True), sender_id_bits=None),
}


@pytest.mark.parametrize("make", SENDER.values(), ids=SENDER)
def test_senders_get_both_bits_and_ids(make: Callable[[], Pair]) -> None:
    """RFC 9838 section 5, note 1."""
    with pytest.raises(RuleViolation, match="note 1"):
        check_registration(*make(), sender=True)


INBAND: dict[str, Callable[[], Pair]] = {
    "GSA_NEXT_SPI": lambda: tek(inband(), next_spis=(b"next",)),
    "WRAP_KEY": lambda: more(inband(), MemberKeyBag((WRAP,))),
    "AUTH_KEY": lambda: more(inband(), MemberKeyBag(auth_key=b"key")),
    "GSA_INITIAL_MESSAGE_ID": lambda: tek(inband(), initial_message_id=1),
}


@pytest.mark.parametrize("make", INBAND.values(), ids=INBAND)
def test_registration_payloads_against_the_inband_table(make: Callable[[], Pair]) -> None:
    """RFC 9838 section 5 (in-band table), ruling 13."""
    with pytest.raises(RuleViolation):
        check_registration(*make(), sender=False)


def test_a_lifetime_is_optional_in_band() -> None:
    """RFC 9838 section 4.4.2.2.1."""
    check_registration(*tek(inband(), lifetime_seconds=None), sender=False)


INBAND_REKEY: dict[str, Callable[[], Pair]] = {
    "GM_SENDER_ID": lambda: more(inband(), MemberKeyBag(sender_ids=(1,))),
    "GWP_SENDER_ID_BITS": lambda: wide(inband(), sender_id_bits=8),
    "WRAP_KEY": lambda: more(inband(), MemberKeyBag((WRAP,))),
    "AUTH_KEY": lambda: more(inband(), MemberKeyBag(auth_key=b"key")),
    "GSA_NEXT_SPI": lambda: tek(inband(), next_spis=(b"next",)),
    "two SA_KEYs": lambda: bag(inband(), 0, sa_keys=(KEY, KEY)),
}


@pytest.mark.parametrize("make", INBAND_REKEY.values(), ids=INBAND_REKEY)
def test_gsa_inband_rekey_payloads_against_the_table(make: Callable[[], Pair]) -> None:
    """RFC 9838 sections 4.5.3, 4.5.3.3 and 5 (in-band table)."""
    check_inband_rekey(*inband())
    with pytest.raises(RuleViolation):
        check_inband_rekey(*make())


def test_an_spi_of_zero_names_no_sa() -> None:
    """RFC 9838 section 2.4.3: in a Delete it stands for all; RFC 4303 section 2.1: reserved."""
    gsa, kd = registration()
    zero = bytes(4)
    pair = bag(tek((gsa, kd), spi=zero), 1, spi=zero)
    with pytest.raises(RuleViolation, match="SPI zero"):
        check_registration(*pair, sender=False)


REKEY: dict[str, Callable[[], Pair]] = {
    "GCAUTH": lambda: kek(
        rekey(),
        transforms=(
            *rekey()[0].policies[0].transforms,
            Transform(TransformType.GCAUTH, GcAuth.IMPLICIT),
        ),
    ),
    "a non-zero GSA_INITIAL_MESSAGE_ID (ruling 8)": lambda: kek(rekey(), initial_message_id=1),
    "GM_SENDER_ID": lambda: more(rekey(), MemberKeyBag(sender_ids=(1,))),
    "GWP_SENDER_ID_BITS": lambda: wide(rekey(), sender_id_bits=8),
    "no lifetime": lambda: tek(rekey(), lifetime_seconds=None),
    "no SA_KEY of the Rekey SA": lambda: bag(rekey(), 0, sa_keys=()),
    "two SA_KEYs of a Data-Security SA": lambda: bag(rekey(), 1, sa_keys=(KEY, KEY)),
    "two AUTH_KEYs (ruling 15)": lambda: more(
        rekey(), MemberKeyBag(auth_key=b"a"), MemberKeyBag(auth_key=b"b")
    ),
}


@pytest.mark.parametrize("make", REKEY.values(), ids=REKEY)
def test_gsa_rekey_payloads_against_the_table(make: Callable[[], Pair]) -> None:
    """RFC 9838 sections 2.4.1, 4.4.2.1.1, 4.5.3.3 and 5."""
    with pytest.raises(RuleViolation):
        check_rekey(*make())


def test_a_zero_initial_message_id_in_gsa_rekey() -> None:
    """Ruling 8."""
    check_rekey(*kek(rekey(), initial_message_id=0))


def test_the_rekey_sas_cipher_needs_no_sender_id() -> None:
    """Ruling 11: Data-Security SAs only."""
    gsa, kd = registration()
    esp = replace(gsa.policies[1], transforms=(CBC, HMAC, gsa.policies[1].transforms[-1]))
    assert gsa.policies[0].transforms[0] == GCM == Transform(1, Encr.AES_GCM_16, 256)
    check_registration(replace(gsa, policies=(gsa.policies[0], esp)), kd, sender=True)
