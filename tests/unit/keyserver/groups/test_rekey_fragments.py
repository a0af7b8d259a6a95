"""GSA_REKEY in fragments (RFC 9838 section 2.4.1.2).

Shows gcks/keyserver/groups and gcks/group/rekey_message.py.
"""

from __future__ import annotations

from gcks.iana import PayloadType
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.wire.header import decode_header
from tests.support.group_stage import Stage, esp, group_policy, rekey_sa

LIMIT = 1200


def large(limit: int | None = LIMIT) -> GroupPolicy:
    sas = [esp(f"sa{number:02}") for number in range(40)]
    return group_policy(*sas, rekey=rekey_sa(fragment_octets=limit))


def rekeyed(stage: Stage) -> list[bytes]:
    return [transmit.octets for transmit in stage.rekey().transmits]


def test_a_large_message_goes_in_fragments_of_the_configured_size() -> None:
    stage = Stage(large())
    stage.register("gm1")
    sent = rekeyed(stage)
    assert len(sent) > 3
    assert max(map(len, sent)) <= LIMIT
    assert {octets[16] for octets in sent} == {PayloadType.SKF}
    assert {decode_header(octets).message_id for octets in sent} == {0}


def test_no_two_fragments_share_an_iv() -> None:
    """RFC 5282 section 3.1: never twice under one key, whole messages included."""
    stage = Stage(large())
    sent: set[bytes] = set()
    for turn in range(6):
        if turn == 3:
            stage.register("gm1", reassembles=False)
        sent |= set(rekeyed(stage))
        stage.now += 30
    ivs = set()
    for octets in sent:
        at = 36 if octets[16] == PayloadType.SKF else 32
        ivs.add(octets[:16] + octets[at : at + 8])
    assert len(ivs) == len(sent) > 12


def test_a_small_message_stays_whole() -> None:
    stage = Stage()
    stage.register("gm1")
    (sent,) = rekeyed(stage)
    assert sent[16] == PayloadType.SK


def test_one_member_that_takes_no_fragments_is_enough_to_send_none() -> None:
    """Only if all GMs have negotiated fragmentation; a restart doesn't forget who has."""
    stage = Stage(large())
    stage.register("gm1")
    stage.register("gm2", reassembles=False)
    assert len(rekeyed(stage)) == 1
    stage.now += 30
    stage.restart()
    stage.until(stage.now + 30)
    assert len(rekeyed(stage)) == 1
    stage.register("gm2")
    stage.now += 30
    assert len(rekeyed(stage)) > 1


def test_who_leaves_no_longer_counts() -> None:
    stage = Stage(large())
    stage.register("gm1", reassembles=False)
    stage.leave("gm1", "REGISTRATION_FAILED")
    assert len(rekeyed(stage)) > 1


def test_it_can_be_turned_off() -> None:
    stage = Stage(large(None))
    stage.register("gm1")
    assert len(rekeyed(stage)) == 1
