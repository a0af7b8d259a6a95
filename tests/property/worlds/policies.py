"""Drawing a group's policy: every option, and all that `rules.check` lets through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from random import Random
from typing import Any, Final

from gcks.datagrams import Endpoint
from gcks.group.usage import TRANSPORT, TUNNEL
from gcks.iana import Encr, Integ, Kwa, ProtocolId, TransformType
from gcks.keyserver.groups.policy import (
    IMPLICIT,
    LKH,
    MANY,
    SIMPLE,
    SINGLE,
    DataSaPolicy,
    GroupPolicy,
    MemberRule,
    RekeyPolicy,
)
from gcks.keyserver.groups.rules import check
from gcks.wire.identification import Identity
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform
from tests.support.world import SERVER_HOST

SENDERS: Final = ("sender1", "sender2", "sender3")
RECEIVERS: Final = ("gm1", "gm2", "gm3", "gm4")
STRANGER: Final = "stranger"
"""Has the pre-shared key, and no rule names it."""
NAMES: Final = (*SENDERS, *RECEIVERS, STRANGER)
HOSTS: Final = {name: f"10.0.0.{place + 2}" for place, name in enumerate(NAMES)}

MOST_LIFETIME_SECONDS: Final = 200
"""Of Data-Security SAs: who has missed everything notices it by then."""
MOST_SPREAD_SECONDS: Final = 3.0
MOST_WINDOW_SECONDS: Final = 3.0
MOST_DTD_SECONDS: Final = 15
IDS_PER_SENDER: Final = 2
KWA: Final = Kwa.KW_5649_256


def _encr(kind: int, bits: int | None = None) -> Transform:
    return Transform(TransformType.ENCR, kind, bits)


GCM256, GCM128 = _encr(Encr.AES_GCM_16, 256), _encr(Encr.AES_GCM_16, 128)
CBC256, CHACHA = _encr(Encr.AES_CBC, 256), _encr(Encr.CHACHA20_POLY1305)
SHA256 = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128)
SHA512 = Transform(TransformType.INTEG, Integ.HMAC_SHA2_512_256)

Suite = tuple[ProtocolId, Transform | None, Transform | None]
DATA_SUITES: Final[Sequence[Suite]] = (
    (ProtocolId.ESP, GCM256, None),
    (ProtocolId.ESP, GCM128, None),
    (ProtocolId.ESP, CHACHA, None),
    (ProtocolId.ESP, CBC256, SHA256),
    (ProtocolId.ESP, CBC256, SHA512),
    (ProtocolId.AH, None, SHA256),
)
REKEY_SUITES: Final = ((GCM256, None), (GCM128, None), (CHACHA, None), (CBC256, SHA256))
AUTHENTICATIONS: Final = ("ed25519",) * 10 + (IMPLICIT,) * 4 + ("ecdsa-p256",) * 4 + ("rsa-pss",)
DELAYS: Final = ((0, 0), (0, 5), (1, 3), (2, 6), (5, MOST_DTD_SECONDS))

SENDING = MemberRule("fqdn:sender*.dev", send=True)
RULES: Final = (
    (SENDING, MemberRule("fqdn:gm*.dev")),
    (SENDING, MemberRule("fqdn:gm[12].dev")),
    (MemberRule("fqdn:sender[13].dev", send=True), MemberRule("fqdn:gm*.dev")),
    (MemberRule("fqdn:sender*.dev", send=True, receive=False), MemberRule("fqdn:gm*.dev")),
)
EXCLUDED: Final = ((), (), (), ("fqdn:gm3.dev",), ("fqdn:*3.dev",))


def identity_of(name: str) -> str:
    """Return a member's identity in text form."""
    return f"fqdn:{name}.dev"


def draw_policy(random: Random, group: str, number: int) -> GroupPolicy:
    """Draw a policy that the rules allow; `number` tells the group's addresses from others'."""
    while True:
        policy = _any_policy(random, group, number)
        if is_allowed(policy):
            return policy


def draw_change(random: Random, policy: GroupPolicy, number: int) -> GroupPolicy:
    """Draw what a reload brings: another policy, or the same with some options changed."""
    while True:
        other = draw_policy(random, policy.id.data.decode(), number)
        share = random.choice((0.1, 0.3, 1.0))
        changed = _mixed(random, policy, other, share)
        if is_allowed(changed):
            return changed


def is_allowed(policy: GroupPolicy) -> bool:
    """Tell whether the daemon would take it, and every member can follow it.

    The members' IKE SAs have a key wrap of 256 bits, which a key tree's must equal.
    """
    if policy.rekey is not None and policy.rekey.kwa != KWA and policy.key_management == LKH:
        return False
    return all(problem.warning for problem in check(policy))


def _mixed(random: Random, old: GroupPolicy, new: GroupPolicy, share: float) -> GroupPolicy:
    changes = _some(random, old, new, share)
    if old.rekey is not None and new.rekey is not None:
        rekey = _some(random, old.rekey, new.rekey, share)
        changes["rekey"] = replace(old.rekey, **rekey)
    return replace(old, **changes)


def _some(random: Random, old: Any, new: Any, share: float) -> dict[str, Any]:
    """Return some fields of the new record."""
    names = [field.name for field in fields(old) if field.init]
    return {name: getattr(new, name) for name in names if random.random() < share}


def _any_policy(random: Random, group: str, number: int) -> GroupPolicy:
    sas = tuple(
        _any_data_sa(random, name, f"239.1.{number}.{place + 1}")
        for place, name in enumerate("abc"[: random.choice((1, 1, 2, 3))])
    )
    ordered = all(sa.sequential for sa in sas)
    multicast = random.random() < 0.8
    rekey = _any_rekey(random, number) if multicast else None
    atd, dtd = random.choice(DELAYS)
    bits = random.choice((2, 3, 5, 16))
    return GroupPolicy(
        Identity.parse(f"keyid:{group}"),
        data_sas=sas,
        rekey=rekey,
        members=random.choice(RULES) if random.random() < 0.3 else RULES[0],
        mode=random.choice((TUNNEL, TUNNEL, TRANSPORT)),
        atd_seconds=atd,
        dtd_seconds=dtd,
        sender_id_bits=bits,
        max_sender_ids_per_request=random.choice((1, 2, 8)) if bits > 2 else 1,
        capacity=random.choice((1_000_000,) * 5 + (4,)),
        evaluate_sag=random.random() < 0.7,
        inband_senders=multicast and random.random() < 0.35,
        key_management=random.choice((SIMPLE, LKH)) if multicast else SIMPLE,
        exclusion_window_seconds=random.choice((0.0, 1.0, MOST_WINDOW_SECONDS)),
        forward_access=random.random() < 0.4,
        backward_access=random.random() < 0.4,
        hide_policy=random.random() < 0.3,
        excluded=random.choice(EXCLUDED),
        aggfrag=ordered and random.random() < 0.4,
        ipcomp=random.choice((None,) * 9 + ("deflate",)),
    )


def _any_data_sa(random: Random, name: str, destination: str) -> DataSaPolicy:
    protocol, encr, integ = random.choice(DATA_SUITES)
    single = random.random() < 0.25
    sender = random.choice(SENDERS)
    any_source = TrafficSelector.any(4, 17)
    return DataSaPolicy(
        name=name,
        protocol=protocol,
        encr=encr,
        integ=integ,
        source=TrafficSelector.single(HOSTS[sender], 17, 0) if single else any_source,
        destination=TrafficSelector.single(destination, 17, 5004),
        lifetime_seconds=random.choice((70, 120, MOST_LIFETIME_SECONDS)),
        senders=SINGLE if single else MANY,
        sender=identity_of(sender) if single else None,
        replay_protection=random.random() < 0.7,
        renew_seconds=random.choice((None, None, 30)),
        security_label=random.choice(("",) * 9 + ("system_u:object_r:ipsec_spd_t:s0",)),
    )


def _any_rekey(random: Random, number: int) -> RekeyPolicy:
    encr, integ = random.choice(REKEY_SUITES)
    return RekeyPolicy(
        encr=encr,
        integ=integ,
        kwa=random.choice((KWA,) * 4 + (Kwa.KW_5649_128,)),
        authentication=random.choice(AUTHENTICATIONS),
        source=Endpoint(SERVER_HOST, 848),
        destination=random.choice(
            (Endpoint(f"239.255.84.{number}", 848),) * 6 + (Endpoint(f"239.255.85.{number}", 4500),)
        ),
        lifetime_seconds=random.choice((150, 400, 1000)),
        copies=random.choice((1, 2, 3)),
        spread_seconds=random.choice((0.0, 1.0, MOST_SPREAD_SECONDS)),
        fragment_octets=random.choice((None, 300, 1200)),
        renew_seconds=random.choice((None, None, 60)),
        auth_key_seconds=random.choice((None, None, 60)),
        reminders=random.random() < 0.6,
    )
