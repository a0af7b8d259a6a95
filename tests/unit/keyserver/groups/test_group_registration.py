"""Registration to a group: what each kind of GM gets, and who is refused.

Shows gcks/keyserver/groups as one who registers sees it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.errors import AuthorizationFailed, NoProposalChosen, RegistrationFailed
from gcks.events import GroupStartedOver, SenderIdsExhausted, SenderIdsLow
from gcks.group.key_download import find_transform
from gcks.iana import (
    GcAuth,
    Integ,
    NotifyType,
    ProtocolId,
    Sn,
    TransformType,
)
from gcks.journal import MemberRemoved, MemberSaved, SenderIdsReserved
from gcks.keyserver.groups.policy import LKH, MemberRule
from gcks.wire.notify import Notify
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform
from tests.support.group_stage import (
    ATD,
    CBC,
    DTD,
    GCM,
    HMAC,
    SPREAD,
    Stage,
    esp,
    group_policy,
    rekey_sa,
    single,
)


def sn_of(transforms: tuple[Transform, ...]) -> int:
    found = find_transform(transforms, TransformType.SN)
    assert found is not None
    return found.id


# --- the payloads --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ed25519", "ecdsa-p256", "ecdsa-p384"])
def test_digital_signature_names_its_algorithm_and_sends_auth_key(method: str) -> None:
    """RFC 9838 section 4.4.2.1.1: MUST include AUTH_KEY and the algorithm identifier."""
    joined = Stage(group_policy(rekey=rekey_sa(authentication=method))).register()
    gcauth = find_transform(joined.rekey.transforms, TransformType.GCAUTH)
    assert gcauth is not None and gcauth.id == GcAuth.DIGITAL_SIGNATURE
    assert gcauth.signature_algorithm and joined.auth_key


def test_implicit_authentication_sends_no_auth_key() -> None:
    """RFC 9838 section 4.4.2.1.1: MUST NOT include the AUTH_KEY attribute."""
    joined = Stage(group_policy(rekey=rekey_sa(authentication="implicit"))).register()
    gcauth = find_transform(joined.rekey.transforms, TransformType.GCAUTH)
    assert gcauth == Transform(TransformType.GCAUTH, GcAuth.IMPLICIT)
    assert joined.auth_key is None


def test_integ_stands_only_beside_a_cipher_that_needs_it() -> None:
    """RFC 9838 section 4.4.2.1."""
    none = Transform(TransformType.INTEG, Integ.NONE)
    policy = group_policy(esp("a", integ=none), esp("b", cbc=True), rekey=rekey_sa(integ=none))
    joined = Stage(policy).register()
    found = [find_transform(p.transforms, TransformType.INTEG) for p in joined.gsa.policies]
    assert found == [None, None, HMAC]


def test_any_number_of_esp_and_ah_sas_of_both_ip_versions() -> None:
    """RFC 9838 section 4.4.2."""
    v6 = esp(
        "six",
        source=TrafficSelector.any(6, 17),
        destination=TrafficSelector.from_network("ff3e::8/128", 17, 5000, 6000),
    )
    ah = esp("ah", protocol=ProtocolId.AH, encr=None, integ=HMAC)
    joined = Stage(group_policy(v6, ah, esp(), esp("more", cbc=True))).register()
    assert [p.protocol for p in joined.data] == [3, 2, 3, 3]
    assert joined.data[0].destination == v6.destination
    assert set(joined.keys) == {p.spi for p in joined.gsa.policies}


def test_late_joiners_get_what_is_left_of_the_lifetimes() -> None:
    """RFC 9838 section 4.4.2.2.1: the maximum time for which the SA is valid."""
    stage = Stage()
    assert [p.lifetime_seconds for p in stage.register().gsa.policies] == [3000, 600]
    stage.now += 100.5
    assert [p.lifetime_seconds for p in stage.register().gsa.policies] == [2899, 499]


def test_the_initial_message_id_is_that_of_the_next_message() -> None:
    """RFC 9838 section 2.3.4: included if it is non-zero."""
    stage = Stage(group_policy(esp(renew_seconds=60)))
    assert stage.register().rekey.initial_message_id is None
    stage.until(stage.now + 60)
    assert stage.register().rekey.initial_message_id == 1
    stage.until(stage.now + 60)
    assert stage.register().rekey.initial_message_id == 2


def test_a_joiner_between_copies_has_the_content_already() -> None:
    """Ruling 36: it gets the new SAs, and ignores the copies that follow."""
    stage = Stage(group_policy(esp(renew_seconds=60)))
    stage.until(stage.now + 60.1)
    listener = stage.listener()
    copies = stage.until(stage.now + SPREAD)
    assert len(copies) == 2 and listener.hear(copies) == 0
    assert stage.group.sas.data[0].spi in listener.data
    assert listener.hear(stage.until(stage.now + 60)) == 1


def test_next_spis_are_announced_and_kept_for_the_next_sa() -> None:
    """RFC 9838 section 4.4.2.2.3; ruling 26: for every SA of a multicast group."""
    stage = Stage()
    joined = stage.register()
    announced = [p.next_spis for p in joined.gsa.policies]
    assert all(len(spis) == 1 for spis in announced)
    stage.rekey()
    assert [(p.spi,) for p in stage.register().gsa.policies[:2]] == announced


def test_delays_and_mode() -> None:
    """RFC 9838 sections 4.4.3.1.1 and 2.3.4: USE_TRANSPORT_MODE only in transport mode."""
    tunnel, transport = Stage().register(), Stage(group_policy(mode="transport")).register()
    assert tunnel.gsa.group_wide is not None
    assert (tunnel.gsa.group_wide.atd_seconds, tunnel.gsa.group_wide.dtd_seconds) == (ATD, DTD)
    notify = Notify(NotifyType.USE_TRANSPORT_MODE)
    assert notify not in tunnel.payloads
    assert transport.payloads[2] == notify


def test_no_delays_no_group_wide_policy() -> None:
    """RFC 9838 section 4.4.3.1.1: no attribute, no delay."""
    joined = Stage(group_policy(atd_seconds=0, dtd_seconds=0)).register()
    assert joined.gsa.group_wide is None


def test_one_encoding_serves_a_second() -> None:
    stage = Stage()
    first, second = stage.register("gm1"), stage.register("gm2")
    assert first.payloads[0] is second.payloads[0]
    stage.now += 1
    assert stage.register("gm3").payloads[0] is not first.payloads[0]


# --- replaced SAs that others still send on -------------------------------------------------


def test_a_receiver_that_joins_within_the_delay_gets_the_old_sa_too() -> None:
    """RFC 5374 section 4.2.1: senders use it until ATD has passed (ruling 38)."""
    stage = Stage()
    (old,) = stage.group.sas.data
    stage.rekey()
    stage.now += 3
    receiver, sender = stage.register(), stage.register("s1", sender=True)
    lifetimes = {p.spi: p.lifetime_seconds for p in receiver.data}
    assert lifetimes[old.spi] == DTD + SPREAD - 3
    assert receiver.keys[old.spi] == old.keymat
    assert old.spi not in sender.keys
    stage.until(stage.now + ATD)
    assert old.spi in stage.register("gm2").keys
    stage.until(stage.now + 2)
    assert old.spi not in stage.register("gm2").keys  # nobody sends on it any more


def test_a_removed_counter_mode_sa_brings_sender_ids_while_it_is_delivered() -> None:
    """RFC 9838 section 4.5.3.3: what counts is the GSA payload that is sent."""
    stage = Stage(group_policy(esp("gone"), esp("stays", cbc=True)))
    stage.reload(group_policy(esp("stays", cbc=True)))
    assert stage.register("s1", sender=True).sender_ids == (0,)
    stage.until(stage.now + DTD + SPREAD)
    assert stage.register("s1", sender=True).sender_ids == ()


# --- sequence numbers -----------------------------------------------------------------------


def test_sequence_numbers_follow_the_number_of_senders() -> None:
    """RFC 9838 sections 2.6, 4.4.2.1.3: MUST be present; Unspecified for many senders."""
    protected = single("one", "fqdn:s1.dev", "192.0.2.7")
    open_ = single("two", "fqdn:s1.dev", "192.0.2.7", replay_protection=False)
    data = Stage(group_policy(esp(), protected, open_)).register().data
    assert [sn_of(p.transforms) for p in data] == [
        Sn.UNSPECIFIED_32,
        Sn.SEQUENTIAL_32,
        Sn.UNSPECIFIED_32,
    ]


# --- Sender-IDs -----------------------------------------------------------------------------


def test_sender_ids_are_sequential_from_zero_and_fresh_each_time() -> None:
    """RFC 9838 section 2.5.1."""
    stage = Stage()
    found = [stage.register(name, sender=True).sender_ids for name in ("s1", "s2", "s1")]
    assert found == [(0,), (1,), (2,)]
    assert stage.of(SenderIdsReserved)[-1].next_sender_id == 3


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (1, 1), (5, 5), (16, 16), (2**32 - 1, 16)])
def test_as_many_as_asked_for_and_no_more_than_policy_allows(asked: int, given: int) -> None:
    """RFC 9838 sections 2.5.1, 4.5.3.3: MUST NOT send more than requested; ruling 17."""
    joined = Stage().register("s1", sender=True, count=asked)
    assert joined.sender_ids == tuple(range(given))
    assert joined.gsa.group_wide is not None and joined.gsa.group_wide.sender_id_bits == 8


def test_receivers_get_no_sender_id_and_no_bits() -> None:
    """RFC 9838 section 5, note 1: otherwise MUST NOT be present."""
    joined = Stage().register()
    assert joined.sender_ids == ()
    assert joined.gsa.group_wide is not None and joined.gsa.group_wide.sender_id_bits is None


def test_no_sender_ids_without_a_counter_mode() -> None:
    """Ruling 11: the Rekey SA's AES-GCM does not count."""
    joined = Stage(group_policy(esp(cbc=True))).register("s1", sender=True, count=4)
    assert joined.sender_ids == ()
    assert joined.gsa.group_wide is not None and joined.gsa.group_wide.sender_id_bits is None


def next_renewal(stage: Stage) -> float:
    return min(stage.group.renew_at(*one) for one in stage.group.sas.current.items())


def test_the_group_starts_over_before_anybody_is_refused() -> None:
    """RFC 9838 section 2.5.1; the reserve lasts until the next rekey."""
    stage = Stage()  # 256 Sender-IDs, 16 in reserve
    stage.register("s1", sender=True, count=16)
    while stage.group.sender_ids.left > 16:
        assert not stage.of(SenderIdsLow)
        stage.register("s1", sender=True, count=16)
    (low,) = stage.of(SenderIdsLow)
    assert low.left == 16
    assert abs(stage.now + low.seconds - next_renewal(stage)) < 0.1
    assert stage.group.waiting_for == ("everybody's registration",)
    stage.restart()
    stage.register("s2", sender=True)
    assert len(stage.of(SenderIdsLow)) == 1
    stage.until(next_renewal(stage) + 2.0)
    assert stage.of(GroupStartedOver) and not stage.of(SenderIdsExhausted)
    assert stage.group.sender_ids.left == 256
    assert stage.register("s1", sender=True).sender_ids == (0,)


def test_exhaustion_refuses_senders_and_nobody_else() -> None:
    """RFC 9838 section 2.5.1: no more Sender-ID values can be distributed."""
    stage = Stage(group_policy(sender_id_bits=2))
    assert stage.register("s1", sender=True, count=3).sender_ids == (0, 1, 2)
    assert not stage.of(SenderIdsExhausted)
    assert stage.register("s2", sender=True, count=3).sender_ids == (3,)
    assert stage.of(SenderIdsExhausted) == [SenderIdsExhausted("keyid:demo")]
    stage.until(stage.now + 3000)  # rekeys don't bring them back
    with pytest.raises(RegistrationFailed, match="no Sender-ID is left"):
        stage.register("s3", sender=True)
    assert stage.group.state.members.get("fqdn:s3.dev") is None
    assert stage.register("gm1").data


# --- who may join ---------------------------------------------------------------------------


def test_a_stranger_is_refused() -> None:
    """RFC 9838 section 4.7.2."""
    with pytest.raises(AuthorizationFailed, match="no members rule"):
        Stage().register("other")


def test_a_receiver_that_asks_to_send_is_refused() -> None:
    """Ruling 35: AUTHORIZATION_FAILED, not a silent receiver's registration."""
    stage = Stage()
    with pytest.raises(AuthorizationFailed, match="may not send"):
        stage.register("gm1", sender=True)
    assert not stage.of(MemberSaved) and stage.group.sender_ids.next == 0


def test_the_first_rule_that_fits_decides() -> None:
    rules = (MemberRule("fqdn:gm1.dev", send=True), MemberRule("fqdn:*", send=False))
    stage = Stage(group_policy(members=rules))
    assert stage.register("gm1", sender=True).sender_ids == (0,)
    with pytest.raises(AuthorizationFailed):
        stage.register("gm2", sender=True)


def test_a_send_only_member_gets_its_own_sas() -> None:
    rules = (MemberRule("fqdn:s1.dev", send=True, receive=False), MemberRule("fqdn:*", send=True))
    sas = (
        single("one", "fqdn:s1.dev", "192.0.2.7"),
        single("two", "fqdn:s2.dev", "192.0.2.8", cbc=True),
    )
    stage = Stage(group_policy(*sas, members=rules))
    joined = stage.register("s1", sender=True)
    assert [p.source for p in joined.data] == [sas[0].source]
    with pytest.raises(AuthorizationFailed, match="only send"):
        stage.register("s1")


def test_a_single_sender_must_come_from_its_address() -> None:
    """Ruling 34: refused as a sender from another address than its selector allows."""
    stage = Stage(group_policy(single("one", "fqdn:s1.dev", "192.0.2.7")))
    with pytest.raises(AuthorizationFailed, match=r"only from 192\.0\.2\.7.*from 192\.0\.2\.8"):
        stage.register("s1", sender=True, address="192.0.2.8")
    with pytest.raises(AuthorizationFailed):
        stage.register("s1", sender=True, address="2001:db8::7")
    assert stage.register("s1", sender=True).sender_ids == (0,)
    assert stage.register("s1", address="192.0.2.8").data  # as a receiver


def test_who_is_the_sender_of_nothing_is_refused_as_a_sender() -> None:
    stage = Stage(group_policy(single("one", "fqdn:s1.dev", "192.0.2.7")))
    with pytest.raises(AuthorizationFailed, match="sender of no"):
        stage.register("s2", sender=True)


def test_a_full_group_refuses_newcomers_and_keeps_members() -> None:
    """RFC 9838 section 4.7.3: the capacity of the group is exceeded."""
    stage = Stage(group_policy(capacity=2))
    stage.register("gm1")
    stage.register("gm2")
    with pytest.raises(RegistrationFailed, match="full: 2"):
        stage.register("gm3")
    assert stage.register("gm1").admitted.again


def test_leaving_removes_the_member_and_makes_room() -> None:
    """RFC 9838 section 2.3.2: the GCKS MUST remove the GM from the group."""
    stage = Stage(group_policy(capacity=1))
    stage.register("gm1")
    stage.leave("gm1", "NO_PROPOSAL_CHOSEN")
    assert stage.of(MemberRemoved) == [MemberRemoved("keyid:demo", "fqdn:gm1.dev")]
    assert not stage.register("gm2").admitted.again
    assert stage.leave("gm1", "again").journal == []


# --- SAg ------------------------------------------------------------------------------------


def sag(*proposals: tuple[int, int, tuple[Transform, ...]]) -> SecurityAssociation:
    return SecurityAssociation(tuple(Proposal(n, p, b"", t) for n, p, t in proposals))


def capable(stage: Stage) -> tuple[tuple[int, tuple[Transform, ...]], ...]:
    """What the group itself uses, as (protocol, transforms)."""
    rekey = stage.policy.rekey
    assert rekey is not None
    own = ((ProtocolId.GIKE_UPDATE, (*rekey.transforms, rekey.gcauth)),)
    return own + tuple((sa.protocol, sa.transforms) for sa in stage.policy.data_sas)


def test_a_capable_member_is_admitted() -> None:
    """RFC 9838 section 2.3.4."""
    stage = Stage()
    assert stage.register(sag=sag(*((1, p, t) for p, t in capable(stage))))


def test_one_number_must_do_everything() -> None:
    """RFC 9838 section 2.3.3: proposals with one Proposal Num are a set."""
    stage = Stage()
    (_, kek), (_, tek) = capable(stage)
    apart = sag((1, ProtocolId.GIKE_UPDATE, kek), (2, ProtocolId.ESP, tek))
    with pytest.raises(NoProposalChosen):
        stage.register(sag=apart)
    both = sag(*apart_and((2, ProtocolId.GIKE_UPDATE, kek), apart))
    assert stage.register(sag=both)


def apart_and(
    extra: tuple[int, int, tuple[Transform, ...]], sa: SecurityAssociation
) -> list[tuple[int, int, tuple[Transform, ...]]]:
    return [(p.number, p.protocol, p.transforms) for p in sa.proposals] + [extra]


def test_each_sa_needs_one_fitting_proposal_of_its_protocol() -> None:
    """RFC 9838 section 2.3.3: restrictions on combinations come as several proposals."""
    stage = Stage(group_policy(esp("a"), esp("b", cbc=True)))
    needs = capable(stage)
    assert stage.register(sag=sag(*((1, p, t) for p, t in needs)))


@pytest.mark.parametrize(
    ("lacks", "named"),
    [(TransformType.ENCR, "AES_CBC"), (TransformType.INTEG, "HMAC_SHA2_256_128")],
)
def test_the_first_mismatch_is_named(lacks: TransformType, named: str) -> None:
    """RFC 9838 section 2.3.1: NO_PROPOSAL_CHOSEN; the event names the transform."""
    stage = Stage(group_policy(esp(cbc=True)))
    proposals = [
        (1, p, tuple(t for t in transforms if p != ProtocolId.ESP or t.type != lacks))
        for p, transforms in capable(stage)
    ]
    with pytest.raises(NoProposalChosen, match=f"{named}.*ESP SA video"):
        stage.register(sag=sag(*proposals))


def test_another_key_length_or_signature_algorithm_is_a_mismatch() -> None:
    """RFC 9838 section 4.3, ruling 23."""
    stage = Stage()
    (_, kek), (_, tek) = capable(stage)
    short = tuple(replace(t, key_length=128) if t == GCM else t for t in tek)
    with pytest.raises(NoProposalChosen, match="AES_GCM_16"):
        stage.register(sag=sag((1, ProtocolId.GIKE_UPDATE, kek), (1, ProtocolId.ESP, short)))
    other = tuple(
        replace(t, signature_algorithm=b"\x30\x00") if t.type == TransformType.GCAUTH else t
        for t in kek
    )
    with pytest.raises(NoProposalChosen, match="Rekey SA"):
        stage.register(sag=sag((1, ProtocolId.GIKE_UPDATE, other), (1, ProtocolId.ESP, tek)))


def test_a_protocol_that_is_not_announced_is_named() -> None:
    stage = Stage()
    (_, kek), _ = capable(stage)
    with pytest.raises(NoProposalChosen, match="does not announce ESP"):
        stage.register(sag=sag((1, ProtocolId.GIKE_UPDATE, kek)))


def test_spis_and_foreign_transforms_in_sag_are_ignored() -> None:
    """RFC 9838 section 2.3.3: MUST NOT use SPI fields; other types are ignored."""
    stage = Stage()
    (_, kek), (_, tek) = capable(stage)
    odd = SecurityAssociation(
        (
            Proposal(1, ProtocolId.GIKE_UPDATE, b"12345678", kek),
            Proposal(1, ProtocolId.ESP, b"1234", (*tek, Transform(TransformType.KE, 31), CBC)),
        )
    )
    assert stage.register(sag=odd)


def test_who_is_rekeyed_in_band_need_not_be_able_to_do_the_rekey_sa() -> None:
    """RFC 9838 sections 2.3.4 and 4.3: SAg is held against the policy that the GM gets."""
    stage = Stage(group_policy(inband_senders=True))
    _, (_, tek) = capable(stage)
    only_data = sag((1, ProtocolId.ESP, tek))
    assert stage.register("s1", sender=True, sag=only_data)
    with pytest.raises(NoProposalChosen, match="does not announce GIKE_UPDATE"):
        stage.register("gm1", sag=only_data)


def test_no_sag_and_no_evaluation_admit() -> None:
    """RFC 9838 section 2.3.4: the GCKS may evaluate it."""
    stage = Stage(group_policy(evaluate_sag=False))
    assert stage.register(sag=sag((1, ProtocolId.ESP, ())))
    assert Stage().register(sag=None)


def test_the_sag_is_kept_with_the_member() -> None:
    """RFC 9838 section 2.3.4: the GCKS could store the list of Transforms."""
    stage = Stage()
    offered = sag(*((1, p, t) for p, t in capable(stage)))
    stage.register(sag=offered)
    assert stage.of(MemberSaved)[0].sag == offered.octets


def test_a_member_that_is_rekeyed_in_band_from_now_on_leaves_the_tree() -> None:
    """Else it could still read every Rekey SA that the tree wraps."""
    stage = Stage(group_policy(key_management=LKH, inband_senders=True))
    stage.register("s1")
    member = stage.state.members.get("fqdn:s1.dev")
    assert member is not None
    stage.register("s1", sender=True)
    assert stage.state.stale_leaves == {member.leaf}
