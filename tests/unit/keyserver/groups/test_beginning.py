"""A group that comes back from its journal: members notice nothing, nothing is used twice.

Shows gcks/keyserver/groups/beginning.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.datagrams import Endpoint
from gcks.events import GroupStarted
from gcks.journal import AuthKeySaved, SaDeleted
from gcks.keyserver.groups.steps import SHUT_OUT, START_OVER
from gcks.wire.header import decode_header
from tests.support.group_stage import (
    DTD,
    OVERLAP,
    SPREAD,
    Stage,
    esp,
    group_policy,
    in_step,
    rekey_sa,
)
from tests.support.memory_store import replay


def test_a_restart_keeps_keys_spis_members_and_numbers() -> None:
    stage = Stage()
    listener = stage.listener()
    stage.register("s1", sender=True, count=3)
    stage.until(stage.now + 100)
    before = stage.register("gm2")
    outcome = stage.restart(down_seconds=10)
    after = stage.register("gm2")
    assert not outcome.transmits  # nothing to repeat, nothing due: nothing said
    assert after.keys == before.keys and after.auth_key == before.auth_key
    assert [p.lifetime_seconds for p in after.gsa.policies] == [2890, 490]
    assert [p.next_spis for p in after.gsa.policies] == [p.next_spis for p in before.gsa.policies]
    assert len(stage.group.state.members) == 3
    assert stage.register("s1", sender=True).sender_ids == (3,)
    assert listener.hear(stage.rekey().transmits) == 1 and in_step(stage, listener)
    assert GroupStarted("keyid:demo", restored=True, members=3) in stage.of(GroupStarted)


def test_message_ids_go_on_over_restarts() -> None:
    """RFC 9838 section 2.4.1.3: one greater than in the previous rekey message."""
    stage = Stage(group_policy(esp(renew_seconds=60)))
    listener = stage.listener()
    for _ in range(4):
        listener.hear(stage.until(stage.now + 70))
        listener.hear(stage.restart(down_seconds=1).transmits)
    numbers = [number for _, number in listener.message_ids]
    assert numbers == [0, 1, 2, 3] and in_step(stage, listener)


def test_a_message_that_nobody_may_have_seen_is_sent_again_to_the_octet() -> None:
    """RFC 9838 section 2.4.1.3: retransmitted messages MUST be bitwise identical."""
    stage = Stage()
    listener = stage.listener()
    lost = stage.rekey().transmits  # killed between commit and send
    stage.restart(down_seconds=1)
    again = stage.until(stage.now + SPREAD + 0.5)
    assert {t.octets for t in again} == {t.octets for t in lost} and len(again) == 3
    assert again[0].path.remote == lost[0].path.remote
    assert listener.hear(again) == 1 and in_step(stage, listener)


def test_a_stale_message_is_repeated_and_healed() -> None:
    """RFC 9838 section 2.4.1.3: its lifetimes count from receipt and would be skewed."""
    stage = Stage()
    listener = stage.listener()
    stage.rekey()
    stage.restart(down_seconds=200)
    assert listener.hear(stage.until(stage.now + SPREAD + 2)) == 2
    assert in_step(stage, listener)
    (sa,) = stage.group.sas.data
    assert sa.expires_at - stage.now > 590


def test_a_message_that_is_out_is_not_sent_again() -> None:
    stage = Stage()
    stage.rekey()
    stage.until(stage.now + SPREAD + 2)
    assert not stage.restart(down_seconds=1).transmits
    assert not stage.until(stage.now + 60)


def test_what_became_due_meanwhile_is_renewed_at_once() -> None:
    stage = Stage()
    listener = stage.listener()
    stage.restart(down_seconds=590)
    assert listener.hear(stage.until(stage.now)) == 1 and in_step(stage, listener)


def test_expired_data_sas_are_replaced_over_the_living_rekey_sa() -> None:
    stage = Stage()
    listener = stage.listener()
    (old,) = stage.group.sas.data
    outcome = stage.restart(down_seconds=700)
    assert SaDeleted("keyid:demo", old.protocol, old.spi) in outcome.journal
    assert listener.hear(outcome.transmits) == 1
    assert stage.group.sas.data[0].spi in listener.data
    assert old.spi not in stage.register("gm2").keys


def test_an_expired_rekey_sa_begins_a_fresh_epoch() -> None:
    """RFC 9838 section 4.4.2.2.1: expired keys MUST be deleted; Message IDs from 0."""
    stage = Stage(group_policy(esp(lifetime_seconds=90)))
    old = stage.group.sas.rekey
    outcome = stage.restart(down_seconds=4000)
    assert SaDeleted("keyid:demo", old.protocol, old.spi) in outcome.journal
    assert stage.group.sas.rekey.spi != old.spi
    (stored,) = replay(stage.journal)
    assert old.spi not in {sa.spi for sa in stored.sas}
    listener = stage.listener()
    assert listener.hear(stage.until(stage.now + 90)) >= 1 and in_step(stage, listener)


def test_the_delay_of_a_replaced_sa_ends_after_a_restart_too() -> None:
    stage = Stage()
    stage.rekey()
    stage.restart(down_seconds=1)
    assert len(stage.group.sas.replaced) == 2
    stage.until(stage.now + OVERLAP)
    assert not stage.group.sas.replaced
    (stored,) = replay(stage.journal)
    assert len(stored.sas) == 2


def test_a_changed_policy_is_taken_over_by_rekey() -> None:
    stage = Stage()
    listener = stage.listener()
    moved = rekey_sa(destination=Endpoint("239.255.84.99", 848))
    outcome = stage.restart(policy=group_policy(esp(), esp("audio"), rekey=moved))
    assert [t.path.remote.host for t in outcome.transmits] == ["239.255.84.8"]
    assert listener.hear(outcome.transmits) == 1 and in_step(stage, listener)


@pytest.mark.parametrize(
    "change",
    [
        {"sender_id_bits": 16},
        {"mode": "transport"},
        {"ipcomp": "deflate", "evaluate_sag": False},
        {"rekey": rekey_sa(authentication="implicit")},
        {"rekey": rekey_sa(authentication="ecdsa-p256")},
    ],
    ids=["bits", "mode", "ipcomp", "implicit", "ecdsa"],
)
def test_changed_terms_begin_a_fresh_epoch(change: dict[str, object]) -> None:
    """RFC 9838 sections 4.4.2.1.1, 4.4.3.1.2: told at registration only, so no key goes on."""
    stage = Stage()
    listener = stage.listener()
    before = stage.register("s1", sender=True)
    outcome = stage.restart(policy=replace(stage.policy, **change))  # type: ignore[arg-type]
    assert not outcome.transmits
    after = stage.register("s1", sender=True)
    assert not set(before.keys.values()) & set(after.keys.values())
    assert after.sender_ids == (1,)
    # The SPIs are those announced: a member that sees them knows to register again.
    assert [p.spi for p in after.gsa.policies] == [p.next_spis[0] for p in before.gsa.policies]
    assert listener.hear(stage.rekey().transmits) == 0


def test_the_terms_are_remembered_once_taken_over() -> None:
    stage = Stage()
    stage.restart(policy=replace(stage.policy, sender_id_bits=16))
    keys = stage.register().keys
    stage.restart()
    assert stage.register().keys == keys


def test_the_auth_key_survives() -> None:
    """RFC 9838 section 4.5.3.2: members verify with the key of their registration."""
    stage = Stage()
    stage.restart()
    stage.restart()
    assert len(stage.of(AuthKeySaved)) == 1


def test_a_clock_that_went_back_renews_everything() -> None:
    """Ages can't be trusted then; keys must not live longer than they may."""
    stage = Stage()
    listener = stage.listener()
    stage.restart(down_seconds=-5000)
    assert listener.hear(stage.until(stage.now)) == 1 and in_step(stage, listener)
    assert all(sa.expires_at <= stage.now + 3000 for sa in stage.group.sas.current.values())


def test_killed_right_after_a_rekey_sa_changed() -> None:
    """RFC 9838 section 2.4.1.3: the repeat goes over the old Rekey SA, the next over the new."""
    stage = Stage()
    listener = stage.listener()
    old = stage.group.sas.rekey.spi
    stage.rekey()
    stage.restart(down_seconds=1)
    listener.hear(stage.until(stage.now + DTD + 5))
    header = decode_header(stage.rekey().transmits[0].octets)
    assert header.spi_i + header.spi_r != old and header.message_id == 0
    assert listener.hear(stage.transmits[-1:]) == 1 and in_step(stage, listener)


def test_a_group_that_begins_anew_does_nothing_that_was_planned_before() -> None:
    """All keys are new already: to start over once more would cost everybody a registration."""
    stage = Stage()
    stage.register("gm1")
    stage.decide(lambda decision: decision.plan(START_OVER, stage.now + 60.0))
    stage.restart(policy=group_policy(sender_id_bits=9))
    assert stage.state.steps == {}


def test_a_step_is_not_put_off_by_planning_it_again() -> None:
    """Exclusions one after the other would keep the first one's member in the group."""
    stage = Stage()
    for seconds in (5.0, 60.0):
        at = stage.now + seconds
        stage.decide(lambda decision, at=at: decision.plan_by(SHUT_OUT, at))
    assert stage.state.steps[SHUT_OUT] == pytest.approx(stage.now + 5.0, abs=1e-3)
