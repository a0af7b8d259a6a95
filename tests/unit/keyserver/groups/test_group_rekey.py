"""Rekeys of a group: what is sent, over what, when, and what is durable before.

Shows gcks/keyserver/groups as one who follows rekeys sees it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.datagrams import Endpoint
from gcks.events import GroupStarted, RekeySent, SaEnded
from gcks.group.key_download import rekey_keys
from gcks.iana import NotifyType
from gcks.ike.window import MAX_MESSAGE_ID
from gcks.journal import MessageIdReserved, RekeyMessageSaved, SaSaved, SpisReserved
from gcks.keyserver.groups.sa_set import REKEY
from gcks.keyserver.groups.taking_over import plan
from gcks.wire.authentication import Authentication
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.header import decode_header
from gcks.wire.kd import KeyDownload
from gcks.wire.notify import Notify
from tests.support.group_stage import (
    ATD,
    DTD,
    OVERLAP,
    SPREAD,
    Stage,
    esp,
    group_policy,
    in_step,
    rekey_sa,
)


def test_copies_are_bit_identical_and_spread() -> None:
    """RFC 9838 section 2.4.1.3: copies MUST be bitwise identical, within a few seconds."""
    stage = Stage()
    start = stage.now
    stage.rekey()
    times = [start]
    for _ in range(2):
        times.append(stage.group.next_timeout)
        stage.until(stage.group.next_timeout)
    assert times == [start, start + SPREAD / 2, start + SPREAD]
    stage.until(start + DTD - 1)
    octets = [transmit.octets for transmit in stage.transmits]
    assert len(octets) == 3 and len(set(octets)) == 1
    assert [(e.copy, e.copies) for e in stage.of(RekeySent)] == [(1, 3), (2, 3), (3, 3)]


def test_a_message_goes_from_the_source_to_the_multicast_destination() -> None:
    """RFC 9838 section 4.4.2."""
    stage = Stage()
    (sent,) = stage.rekey().transmits
    assert sent.multicast
    assert (sent.path.local, sent.path.remote) == (
        Endpoint("192.0.2.1", 848),
        Endpoint("239.255.84.8", 848),
    )


@pytest.mark.parametrize(("port", "marker"), [(848, False), (500, False), (4500, True)])
def test_four_zero_octets_precede_a_message_to_port_4500(port: int, marker: bool) -> None:
    """RFC 9838 section 2.4.1.1: GenIKEHDR = [ four octets 0 if using port 4500 ] | ..."""
    stage = Stage(group_policy(rekey=rekey_sa(destination=Endpoint("239.255.84.8", port))))
    (sent,) = stage.rekey().transmits
    assert sent.path.marker is marker
    assert sent.octets[:4] != bytes(4)  # the edge puts them on


def test_message_ids_rise_by_one_and_restart_on_a_new_rekey_sa() -> None:
    """RFC 9838 section 2.4.1.3: one greater each time, 0 first on a new Rekey SA."""
    stage = Stage(group_policy(esp(lifetime_seconds=300), rekey=rekey_sa(lifetime_seconds=2000)))
    listener = stage.listener()
    listener.hear(stage.until(stage.now + 5000))
    by_sa: dict[bytes, list[int]] = {}
    for spi, number in listener.message_ids:
        by_sa.setdefault(spi, []).append(number)
    assert len(by_sa) > 2
    for numbers in by_sa.values():
        assert numbers == list(range(len(numbers)))
    assert in_step(stage, listener)


def test_a_new_rekey_sa_is_told_over_the_old_one_and_used_after() -> None:
    """RFC 9838 sections 2.4.1, 3.1: the keys are wrapped under the current GSK_w."""
    stage = Stage()
    listener = stage.listener()
    old = stage.group.sas.rekey
    (first,) = stage.rekey().transmits
    assert decode_header(first.octets).spi_i + decode_header(first.octets).spi_r == old.spi
    assert listener.hear([first]) == 1 and in_step(stage, listener)
    new = stage.group.sas.rekey
    assert new.spi != old.spi and stage.group.state.next_message_id == 0
    assert rekey_keys(new.keymat, new.policy).gsk_w != rekey_keys(old.keymat, old.policy).gsk_w
    stage.until(stage.now + 60)
    (second,) = stage.rekey().transmits
    header = decode_header(second.octets)
    assert (header.spi_i + header.spi_r, header.message_id) == (new.spi, 0)
    assert listener.hear([second]) == 1 and in_step(stage, listener)


def test_replaced_data_sas_are_deleted_the_rekey_sa_silently() -> None:
    """RFC 9838 section 2.4.1.4: Delete for Data-Security SAs; ruling 27: with GSA and KD."""
    stage = Stage(group_policy(esp("audio"), esp("video")))
    listener = stage.listener()
    old = {sa.spi for sa in stage.group.sas.data}
    listener.hear(stage.rekey().transmits)
    (delete,) = [p for p in listener.last if isinstance(p, Delete)]
    assert set(delete.spis) == old


def test_gsa_rekey_carries_lifetimes_delays_and_next_spis() -> None:
    """RFC 9838 section 5: GSA_KEY_LIFETIME in every policy; no GWP_SENDER_ID_BITS."""
    stage = Stage()
    listener = stage.listener()
    listener.hear(stage.rekey().transmits)
    gsa = next(p for p in listener.last if isinstance(p, GroupSecurityAssociation))
    assert [p.lifetime_seconds for p in gsa.policies] == [3000, 600]
    assert gsa.group_wide is not None
    assert (gsa.group_wide.atd_seconds, gsa.group_wide.dtd_seconds) == (ATD, DTD)
    announced = {p.spi: p.next_spis for p in gsa.policies}
    stage.until(stage.now + 60)
    listener.hear(stage.rekey().transmits)
    fresh = {stage.group.sas.rekey.spi, *(sa.spi for sa in stage.group.sas.data)}
    assert {spi for spis in announced.values() for spi in spis} == fresh


def test_delays_that_end_by_a_reload_are_told_as_zero() -> None:
    """RFC 9838 section 4.4.3.1.1: GMs must not go on with the delays of their registration."""
    stage = Stage()
    listener = stage.listener()
    stage.reload(replace(stage.policy, atd_seconds=0, dtd_seconds=0))
    listener.hear(stage.rekey().transmits)
    gsa = next(p for p in listener.last if isinstance(p, GroupSecurityAssociation))
    assert gsa.group_wide is not None
    assert (gsa.group_wide.atd_seconds, gsa.group_wide.dtd_seconds) == (0, 0)


def test_every_sa_has_keys_of_its_own() -> None:
    """RFC 9838 section 2.5: a unique key for each Data-Security SA, also over rekeys."""
    stage = Stage(group_policy(esp("audio"), esp("video")))
    for _ in range(5):
        stage.until(stage.now + 60)
        stage.rekey()
    sas = {entry.spi: entry.keymat for entry in stage.of(SaSaved)}
    assert len(sas) == 6 * 3 == len(set(sas.values()))


@pytest.mark.parametrize("mode", ["transport", "tunnel"])
def test_a_rekey_tells_the_mode_as_a_registration_does(mode: str) -> None:
    """RFC 9838 section 2.4.1.3: N payloads with the same characteristics as at registration."""
    stage = Stage(group_policy(mode=mode))
    listener = stage.listener()
    assert listener.hear(stage.rekey().transmits) == 1
    notifies = [p.type for p in listener.last if isinstance(p, Notify)]
    assert (NotifyType.USE_TRANSPORT_MODE in notifies) is (mode == "transport")


def test_auth_is_sent_only_where_the_group_is_signed() -> None:
    """RFC 9838 section 2.4.1: AUTH MUST be included with signatures, MUST NOT if implicit."""
    for method, expected in (("ed25519", 1), ("implicit", 0)):
        stage = Stage(group_policy(rekey=rekey_sa(authentication=method)))
        listener = stage.listener()
        assert listener.hear(stage.rekey().transmits) == 1
        assert sum(isinstance(p, Authentication) for p in listener.last) == expected


def test_gsa_rekey_holds_nothing_of_a_single_sender() -> None:
    """RFC 9838 section 2.4.1: GM_SENDER_ID MUST NOT be part of it; section 2.4.1: no AUTH_KEY."""
    stage = Stage()
    stage.register("s1", sender=True, count=3)
    listener = stage.listener()
    listener.hear(stage.rekey().transmits)
    (kd,) = [p for p in listener.last if isinstance(p, KeyDownload)]
    assert kd.member_bags == ()


# --- the schedule --------------------------------------------------------------------------


def test_data_sas_are_renewed_before_they_expire() -> None:
    """RFC 5374 section 4.2.1: old and new overlap by ATD, DTD and the copies at least."""
    stage = Stage(group_policy(esp(lifetime_seconds=100)))
    listener = stage.listener()
    old = stage.group.sas.data[0]
    first = stage.group.next_timeout
    assert old.expires_at - first >= OVERLAP
    assert listener.hear(stage.until(first)) == 1
    assert stage.group.sas.data[0].spi != old.spi
    assert stage.group.sas.rekey.spi in listener.rekey_sas
    assert len(listener.rekey_sas) == 1  # only the data SA was due


def test_renew_seconds_sets_the_age() -> None:
    stage = Stage(group_policy(esp(renew_seconds=60)))
    assert stage.group.next_timeout == stage.now + 60


def test_sas_that_are_due_together_share_one_message() -> None:
    """RFC 9838 section 2.4.1: one GSA_REKEY for several SAs."""
    stage = Stage(group_policy(esp("audio"), esp("video"), rekey=rekey_sa(lifetime_seconds=600)))
    listener = stage.listener()
    due = stage.group.next_timeout
    assert listener.hear(stage.until(due + SPREAD)) == 1
    assert in_step(stage, listener)


def test_a_replaced_sa_is_forgotten_after_its_delay() -> None:
    """RFC 9838 section 2.4.1.4, ruling 28: DTD, for Rekey SAs too."""
    stage = Stage()
    start = stage.now
    stage.rekey()
    assert len(stage.group.sas.replaced) == 2
    stage.until(start + OVERLAP - 0.01)
    assert stage.group.sas.replaced and not stage.of(SaEnded)
    stage.until(start + OVERLAP)
    assert not stage.group.sas.replaced and len(stage.of(SaEnded)) == 2


def test_a_rekey_sa_is_renewed_before_its_message_ids_run_out() -> None:
    """RFC 9838 section 4.1: the Message ID has 32 bits and MUST NOT wrap."""
    stage = Stage(group_policy(esp(renew_seconds=60)))
    old = stage.group.sas.rekey.spi
    stage.decide(
        lambda decision: decision.record(MessageIdReserved(decision.name, old, MAX_MESSAGE_ID - 1))
    )
    stage.until(stage.now + 60)
    assert stage.group.sas.rekey.spi != old and stage.group.state.next_message_id == 0


# --- durability --------------------------------------------------------------------------


def test_what_a_peer_may_see_is_in_the_same_outcome_before_it_is_sent() -> None:
    """Architecture: journal first: keys, SPIs, the Message ID and the message itself."""
    stage = Stage()
    old = stage.group.sas.rekey.spi
    outcome = stage.rekey()
    kinds = {type(entry) for entry in outcome.journal}
    assert {SaSaved, SpisReserved, MessageIdReserved, RekeyMessageSaved} <= kinds
    assert MessageIdReserved("keyid:demo", old, 1) in outcome.journal
    (saved,) = [e for e in outcome.journal if isinstance(e, RekeyMessageSaved)]
    assert saved.datagrams == tuple(t.octets for t in outcome.transmits)


def test_a_message_that_is_out_is_not_kept_for_repeating() -> None:
    stage = Stage()
    stage.rekey()
    stage.until(stage.now + SPREAD + 0.5)
    assert stage.of(RekeyMessageSaved)[-1].datagrams  # the last copy may not have left yet
    stage.until(stage.now + 1.0)
    assert stage.of(RekeyMessageSaved)[-1].datagrams == ()


# --- policy changes ------------------------------------------------------------------------


def test_a_changed_suite_replaces_that_sa_only() -> None:
    stage = Stage(group_policy(esp("audio"), esp("video")))
    listener = stage.listener()
    audio = stage.group.sas.current["audio"].spi
    assert listener.hear(stage.reload(group_policy(esp("audio"), esp("video", cbc=True))).transmits)
    assert in_step(stage, listener)
    assert stage.group.sas.current["audio"].spi == audio


def test_added_and_removed_sas() -> None:
    """RFC 9838 section 2.4.3: the removed one is deleted, in the same message."""
    stage = Stage(group_policy(esp("audio"), esp("video")))
    listener = stage.listener()
    listener.hear(stage.reload(group_policy(esp("video"), esp("text"))).transmits)
    assert in_step(stage, listener)
    assert {sa.name for sa in stage.group.sas.data} == {"video", "text"}


def test_a_removal_alone_is_a_delete_alone() -> None:
    """RFC 9838 section 2.4.3: HDR, SK{D, AUTH}."""
    stage = Stage(group_policy(esp("audio"), esp("video")))
    listener = stage.listener()
    assert listener.hear(stage.reload(group_policy(esp("video"))).transmits) == 1
    assert isinstance(listener.last[0], Delete)
    assert in_step(stage, listener)


def test_an_unchanged_policy_sends_nothing() -> None:
    stage = Stage()
    outcome = stage.reload(group_policy())
    assert not outcome.transmits and not outcome.journal


def test_a_moved_rekey_address_is_told_at_the_old_one() -> None:
    """RFC 9838 section 2.4.1: members listen where their current Rekey SA says."""
    stage = Stage()
    listener = stage.listener()
    new = Endpoint("239.255.84.99", 849)
    (told,) = stage.reload(group_policy(rekey=rekey_sa(destination=new))).transmits
    assert told.path.remote == Endpoint("239.255.84.8", 848)
    assert listener.hear([told]) and in_step(stage, listener)
    assert listener.newest_rekey.destination.single_address == new.host
    stage.until(stage.now + 60)
    assert stage.rekey().transmits[0].path.remote == new


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"rekey": rekey_sa(authentication="implicit")}, "authentication"),
        ({"mode": "transport"}, "mode"),
        ({"sender_id_bits": 16}, "sender_id_bits"),
        ({"ipcomp": "deflate", "evaluate_sag": False}, "ipcomp"),
    ],
)
def test_what_no_rekey_can_change_makes_the_group_start_over(
    change: dict[str, object], word: str
) -> None:
    """RFC 9838 section 4.4.2.1.1: the authentication method MUST NOT change by rekey."""
    stage = Stage()
    listener = stage.listener()
    stage.register("s1", sender=True)
    new = replace(stage.policy, **change)  # type: ignore[arg-type]
    planned = plan(stage.group, new)
    assert word in " ".join(planned.starts_over) and planned.members == 2
    known = {sa.keymat for sa in stage.group.sas.current.values()}
    listener.hear(stage.reload(new).transmits)
    assert [one.spis for one in listener.last if isinstance(one, Delete)] == [
        (bytes(4),), (bytes(4),), (bytes(16),)
    ]  # fmt: skip
    assert not known & {sa.keymat for sa in stage.group.sas.current.values()}
    assert not len(stage.group.state.members) and stage.group.policy == new
    joined = stage.register("s1", sender=True)
    assert joined.sender_ids == (0,)
    assert (joined.auth_key is None) == (new.rekey.authentication == "implicit")  # type: ignore[union-attr]
    stage.restart()
    assert stage.of(GroupStarted)[-1].restored, "the new terms are on disk"


def test_sender_ids_go_on_over_rekeys_and_reloads() -> None:
    """RFC 9838 section 2.5.1: members keep their Sender-IDs over a rollover."""
    stage = Stage()
    assert stage.register("s1", sender=True).sender_ids == (0,)
    stage.rekey()
    assert stage.register("s2", sender=True).sender_ids == (1,)
    stage.until(stage.now + 60)
    stage.reload(group_policy(esp(), esp("audio")))
    assert stage.register("s1", sender=True).sender_ids == (2,)


def test_rekey_name_is_no_data_sa() -> None:
    stage = Stage()
    assert REKEY not in {sa.name for sa in stage.group.sas.data}
