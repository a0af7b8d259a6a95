"""What RFC 9838 forbids in a policy is found before the daemon starts, all at once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gcks.datagrams import Endpoint
from gcks.iana import Encr, Integ, Kwa, ProtocolId, Sn, TransformType
from gcks.keyserver.groups.policy import DataSaPolicy, GroupPolicy, MemberRule
from gcks.keyserver.groups.rules import check
from gcks.wire.identification import Identity
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform
from tests.support.group_stage import CBC, HMAC, esp, group_policy, rekey_sa, single

IIV = Transform(TransformType.ENCR, Encr.AES_GCM_16_IIV, 256)
NULL = Transform(TransformType.ENCR, Encr.NULL)
NONE = Transform(TransformType.INTEG, Integ.NONE)
S1 = "fqdn:s1.dev"
A = esp("a").destination


def ah(name: str = "ah", **options: Any) -> DataSaPolicy:
    return esp(name, protocol=ProtocolId.AH, encr=None, integ=HMAC, **options)


def errors(policy: GroupPolicy) -> list[str]:
    return [f"{p.where}: {p.reason}; {p.remedy}" for p in check(policy) if not p.warning]


def warnings(policy: GroupPolicy) -> list[str]:
    return [f"{p.where}: {p.reason}; {p.remedy}" for p in check(policy) if p.warning]


GOOD = {
    "plain": group_policy(),
    "cbc": group_policy(esp(cbc=True)),
    "ah": group_policy(ah()),
    "ah beside esp": group_policy(ah(), esp()),
    "none beside aead": group_policy(esp(integ=NONE)),
    "single": group_policy(single("one", S1, "192.0.2.7")),
    "no delays": group_policy(atd_seconds=0, dtd_seconds=0),
    "aggfrag": group_policy(single("one", S1, "192.0.2.7"), aggfrag=True),
    "ipcomp": group_policy(esp(), ah(), ipcomp="deflate"),
    "labels": group_policy(
        esp("a", security_label="s0"), ah("b", destination=A, security_label="s1")
    ),
    "ipv6": group_policy(
        esp(
            source=TrafficSelector.any(6, 17), destination=TrafficSelector.single("ff3e::8", 17, 5)
        ),
        rekey=rekey_sa(source=Endpoint("2001:db8::1", 848), destination=Endpoint("ff3e::1", 848)),
    ),
}


@pytest.mark.parametrize("policy", GOOD.values(), ids=GOOD)
def test_good_policies_have_no_problem(policy: GroupPolicy) -> None:
    assert check(policy) == []


def data(*sas: DataSaPolicy) -> GroupPolicy:
    return group_policy(*sas)


def aggfrag(*sas: DataSaPolicy, **options: Any) -> GroupPolicy:
    only = sas or (single("x", S1, "192.0.2.7"),)
    return group_policy(*only, aggfrag=True, **options)


def rekey(**options: Any) -> GroupPolicy:
    return group_policy(rekey=rekey_sa(**options))


BAD = [
    ("implicit iv (section 2.7)", data(esp(encr=IIV)), "data_sas.video.suite: .*implicit IV"),
    ("implicit iv, one sender", data(single("x", S1, "192.0.2.7", encr=IIV)), "implicit IV"),
    ("implicit iv, rekey", rekey(encr=IIV), "rekey.suite: .*implicit IV"),
    ("esp and ah (4.4.2)", data(esp("a"), ah("b", destination=esp("a").destination)), "ESP and AH"),
    ("aead with integ (4.4.2.1)", data(esp(integ=HMAC)), "AEAD cipher goes without"),
    ("cbc without integ (4.4.2.1)", data(esp(encr=CBC)), "needs an integrity"),
    ("cbc with integ none", data(esp(encr=CBC, integ=NONE)), "needs an integrity"),
    ("rekey cbc without integ", rekey(encr=CBC), "rekey.suite: .*needs an integrity"),
    ("rekey aead with integ", rekey(integ=HMAC), "rekey.suite: an AEAD"),
    ("null encryption", data(esp(encr=NULL)), "data_sas.video.suite"),
    ("esp without cipher", data(esp(encr=None, integ=HMAC)), "ESP needs a cipher"),
    ("ah with cipher", data(esp(protocol=ProtocolId.AH)), "AH takes an integ"),
    ("odd protocol", data(esp(protocol=ProtocolId.IKE)), "neither ESP nor AH"),
    ("unicast rekey (4.4.2)", rekey(destination=Endpoint("192.0.2.9", 848)), "not a multicast"),
    ("mixed rekey", rekey(destination=Endpoint("ff3e::1", 848)), "can't be the source"),
    ("wildcard source", rekey(source=Endpoint("0.0.0.0", 848)), "can't be the source"),
    ("unknown kwa", rekey(kwa=Kwa.KW_ARX), "key wrap algorithm is not implemented"),
    ("unknown signature", rekey(authentication="dsa"), "choose one of ed25519"),
    ("no copies", rekey(copies=0), "rekey.copies"),
    ("long spread (2.4.1.3)", rekey(spread_seconds=60.0), "few seconds"),
    ("ttl", rekey(ttl=0), "rekey.ttl"),
    ("all in-band already", group_policy(rekey=None, inband_senders=True), "in-band already"),
    ("single without sender", data(single("x", "", "192.0.2.7")), "must name it"),
    ("single, wildcard source", data(esp(senders="single", sender=S1)), "sender's address"),
    ("many with sender", data(esp(sender=S1)), "only an SA with senders: single"),
    ("odd senders", data(esp(senders="few")), "neither many nor single"),
    ("sender without right", data(single("x", "fqdn:gm1.dev", "192.0.2.7")), "may not send"),
    (
        "two owners of one selector",
        data(
            single("x", S1, "192.0.2.7", destination=esp().destination),
            single("y", "fqdn:s2.dev", "192.0.2.7", destination=esp().destination),
        ),
        "data_sas.y.source: two single senders",
    ),
    ("unicast data", data(esp(destination=TrafficSelector.any(4, 17))), "not all multicast"),
    ("mixed data", data(esp(source=TrafficSelector.any(6, 17))), "different IP versions"),
    ("same name", data(esp("a"), esp("a")), "two SAs are named 'a'"),
    ("no name", data(esp("")), "without a name"),
    ("no bits", group_policy(sender_id_bits=0), "sender_id_bits: must be 1 to 32"),
    ("too many bits", group_policy(sender_id_bits=33), "sender_id_bits: must be 1 to 32"),
    ("too few bits", group_policy(sender_id_bits=3), "too few for max_sender_ids"),
    ("no sender ids", group_policy(max_sender_ids_per_request=0), "max_sender_ids_per_request"),
    ("no capacity", group_policy(capacity=0), "capacity"),
    ("nobody", group_policy(members=()), "nobody may join"),
    ("idle", group_policy(members=(MemberRule("*", receive=False),)), r"members\[0\]"),
    ("dtd not after atd", group_policy(atd_seconds=15), "dtd: must be longer"),
    ("long atd", group_policy(atd_seconds=70000, dtd_seconds=80000), "atd: 70000"),
    ("short lifetime", data(esp(lifetime_seconds=30)), "data_sas.video.lifetime: 30 s"),
    ("short rekey lifetime", rekey(lifetime_seconds=30), "rekey.lifetime: 30 s"),
    ("long lifetime", data(esp(lifetime_seconds=1 << 32)), "data_sas.video.lifetime"),
    ("late renewal", data(esp(renew_seconds=599)), "data_sas.video.renew: 599 s"),
    ("hasty renewal", data(esp(renew_seconds=5)), "longer than atd"),
    ("65 SAs", data(*(esp(f"sa{n}") for n in range(65))), "more than 64 Data-Security SAs"),
    ("odd mode", group_policy(mode="beet"), "mode: 'beet'"),
    ("odd ipcomp", group_policy(ipcomp="lzs"), "ipcomp: 'lzs' is none of deflate"),
    ("aggfrag, transport (6.3)", aggfrag(mode="transport"), "aggfrag: works in tunnel mode"),
    ("aggfrag with ipcomp", aggfrag(ipcomp="deflate"), "aggfrag: .*no place"),
    ("aggfrag, many senders (6.3)", aggfrag(esp()), "data_sas.video.senders: .*in order"),
    (
        "aggfrag, odd numbers (6.3)",
        aggfrag(single("x", S1, "192.0.2.7", replay_protection=False)),
        "data_sas.x.senders: .*replay_protection",
    ),
    ("aggfrag, ah (6.3)", aggfrag(ah()), "data_sas.ah.protocol: .*ESP only"),
    ("label beyond ASCII", data(esp(security_label="s0:ä")), "data_sas.video.security_label: "),
    ("label with NUL", data(esp(security_label="s0\0")), "printable ASCII"),
    ("label with a space", data(esp(security_label="s0 c1")), "printable ASCII"),
    ("long label", data(esp(security_label="s" * 256)), "longer than 255"),
    ("odd id", group_policy(id=Identity.parse("dn:hex:3000")), "id: a group ID is"),
]


@pytest.mark.parametrize(("policy", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_is_forbidden_is_named(policy: GroupPolicy, words: str) -> None:

    found = errors(policy)
    assert any(re.search(words, problem) for problem in found), found
    assert all(problem.remedy for problem in check(policy))


def test_everything_is_found_at_once() -> None:
    policy = group_policy(esp(integ=HMAC), mode="beet", rekey=rekey_sa(ttl=0), sender_id_bits=0)
    places = {problem.where for problem in check(policy)}
    assert {"data_sas.video.suite", "mode", "rekey.ttl", "sender_id_bits"} <= places


WARNED = [
    ("implicit authentication", rekey(authentication="implicit"), "NOT RECOMMENDED"),
    ("weak kwa (section 3.1)", rekey(kwa=Kwa.KW_5649_128), "weaker than the 256-bit keys"),
    (
        "sequence numbers (section 2.6)",
        data(single("x", S1, "192.0.2.7", lifetime_seconds=86400)),
        "above 49710 packets per second",
    ),
    ("nobody sends", group_policy(members=(MemberRule("*"),)), "nobody may send"),
]


@pytest.mark.parametrize(("policy", "words"), [w[1:] for w in WARNED], ids=[w[0] for w in WARNED])
def test_what_should_not_be_is_a_warning(policy: GroupPolicy, words: str) -> None:
    assert not errors(policy)
    assert any(words in warning for warning in warnings(policy)), warnings(policy)


def test_chacha_needs_a_256_bit_key_wrap() -> None:
    """RFC 9838 section 3.1: the KWK SHOULD NOT be smaller than the keys it wraps."""
    chacha = Transform(TransformType.ENCR, Encr.CHACHA20_POLY1305)
    assert warnings(group_policy(rekey=rekey_sa(encr=chacha, kwa=Kwa.KW_5649_192)))
    assert not warnings(group_policy(rekey=rekey_sa(encr=chacha)))


def test_extended_sequence_numbers_cannot_be_expressed() -> None:
    """RFC 9838 section 4.4.2.1.3: MUST NOT be used for multicast Data-Security SAs."""

    policies = [esp(), single("x", S1, "192.0.2.7"), ah()]
    for sa in policies:
        (sn,) = [t.id for t in sa.transforms if t.type == TransformType.SN]
        assert sn in (Sn.SEQUENTIAL_32, Sn.UNSPECIFIED_32)


WIDE = TrafficSelector.from_network("239.0.0.0/8", 17, 0, 65535)


def rules(*identities: str, excluded: tuple[str, ...] = ()) -> GroupPolicy:
    return group_policy(members=tuple(map(MemberRule, identities)), excluded=excluded)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (rules("fqdn:*.dev", "fqdn:gm1.dev"), "members[1]: never counts: members[0] (fqdn:*.dev)"),
        (rules("fqdn:gm1.dev", "fqdn:gm*.dev", "fqdn:gm?.dev"), "members[2]: never counts"),
        (rules("*:*", "keyid:a"), "members[1]: never counts"),
        (rules("fqdn:a.dev", "fqdn:b*", excluded=("fqdn:*",)), "excluded: shuts out everybody"),
        (
            group_policy(esp("all", destination=WIDE)),
            "data_sas.all.destination: holds the rekey address",
        ),
    ],
)
def test_what_is_allowed_and_hardly_meant_is_a_warning(policy: GroupPolicy, said: str) -> None:
    assert errors(policy) == []
    (warning,) = (one for one in warnings(policy) if one.startswith(said.partition(":")[0]))
    assert warning.startswith(said)


@pytest.mark.parametrize(
    "policy",
    [
        rules("fqdn:gm1.dev", "fqdn:*.dev"),
        rules("fqdn:gm[1-3].dev", "fqdn:gm1.dev"),  # not looked into
        rules("fqdn:gm?.dev", "fqdn:gm*.dev"),
        rules("fqdn:gm?*.dev", "fqdn:gm*.dev"),
        rules("fqdn:a*.dev", "fqdn:b*.dev", excluded=("fqdn:a*",)),
    ],
)
def test_rules_in_good_order_are_no_matter(policy: GroupPolicy) -> None:
    assert not [one for one in warnings(policy) if one.startswith(("members[", "excluded"))]
