"""Reminders: who missed all copies of a rekey is keyed again without registering.

Shows gcks/keyserver/groups and gcks/member.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.events import Registered, RekeyReceived, RekeySent, Reregistering
from gcks.keyserver.groups.policy import LKH, SIMPLE, GroupPolicy
from gcks.keyserver.groups.reminders import REMINDERS
from tests.support.scene import TREE, Scene, scene_of
from tests.support.world import DTD, keys_of


def with_rekey(policy: GroupPolicy, **changes: object) -> GroupPolicy:
    assert policy.rekey is not None
    return replace(policy, rekey=replace(policy.rekey, **changes))  # type: ignore[arg-type]


def keyed(scene: Scene, number: int) -> bool:
    """Tell whether a member has the current Data-Security SAs and the current Rekey SA."""
    holding = scene.members[number].engine.groups[0].holding
    now = {(sa.spi, sa.keymat) for sa in scene.group.sas.data}
    held = {(sa.install.spi, sa.install.key_e + sa.install.key_a) for sa in holding.data_sas}
    rekey = holding.current_rekey
    return now <= held and rekey is not None and rekey.spi == scene.group.sas.rekey.spi


@pytest.mark.parametrize("management", [SIMPLE, LKH])
@pytest.mark.parametrize("cut_off_seconds", [5.0, 20.0])
def test_who_was_cut_off_follows_the_reminder(management: str, cut_off_seconds: float) -> None:
    """RFC 9838 section 2.4.1.3: GSA_REKEY messages may be lost."""
    scene = scene_of(management)
    scene.run(5.0)
    scene.members[2].deaf = True
    scene.rekey()
    scene.run(cut_off_seconds)
    assert not keyed(scene, 2)
    scene.members[2].deaf = False
    scene.run(60.0)
    assert keyed(scene, 2)
    assert len(scene.members[2].all(Registered)) == 1
    assert not scene.members[2].all(Reregistering)


def test_who_missed_an_exclusion_follows_both_messages_later() -> None:
    """Section 3.2.1: the new Rekey SA by the key tree, then the Data-Security SAs under it."""
    scene = scene_of(LKH)
    scene.run(5.0)
    scene.members[2].deaf = True
    scene.exclude(4)
    scene.run(8.0)
    assert not keyed(scene, 2)
    scene.members[2].deaf = False
    scene.run(60.0)
    assert keyed(scene, 2) and not keyed(scene, 4)
    assert len(scene.members[2].all(Registered)) == 1
    scene.check([4])


def test_reminders_disturb_nobody_who_has_everything() -> None:
    """Sequence numbers and Sender-IDs go on: the SAs are the same."""
    scene = scene_of()
    sender = scene.world.member("sender1", at=scene.now)
    scene.members.append(sender)
    scene.run(10.0)
    scene.world.network.start_traffic(sender, 0.05, scene.now + 800.0)
    scene.rekey()
    scene.run(20.0)
    before, seen = keys_of(sender), len(sender.all(RekeyReceived))
    commands = len(sender.plane.history)
    scene.run(300.0)
    assert len(sender.all(RekeyReceived)) > seen
    assert keys_of(sender) == before
    assert len(sender.plane.history) == commands
    traffic = scene.world.network.traffic
    assert traffic.unreadable == traffic.unsendable == 0


def test_they_come_ever_more_seldom_and_then_no_more() -> None:
    slow = with_rekey(TREE, lifetime_seconds=86_400)
    data = tuple(replace(sa, lifetime_seconds=7200) for sa in slow.data_sas)
    scene = Scene(replace(slow, data_sas=data), members=3)
    scene.run(5.0)
    first = len(scene.events(RekeySent))
    scene.rekey()
    scene.run(3000.0)
    sent = scene.events(RekeySent)[first:]
    reminders = [one for one in sent if one.reminder]
    assert len(sent) - len(reminders) == 3  # copies
    assert len(reminders) == len(REMINDERS)
    assert sorted(one.message_id for one in reminders) == [0, 0, 0, 1, 2, 3]


def test_what_is_left_of_the_lifetimes_is_told() -> None:
    scene = scene_of()
    scene.run(5.0)
    scene.rekey()
    scene.run(2.0)
    holding = scene.members[0].engine.groups[0].holding
    ends = {sa.key: sa.hard_at for sa in holding.data_sas if sa.remove_at > 1e9}
    scene.run(60.0)
    after = {sa.key: sa.hard_at for sa in holding.data_sas}
    assert ends and all(abs(after[key] - at) <= 1.5 for key, at in ends.items())


def test_they_can_be_switched_off() -> None:
    policy = with_rekey(TREE, reminders=False)
    scene = Scene(policy, members=3)
    scene.rekey()
    scene.run(100.0)
    assert not any(one.reminder for one in scene.events(RekeySent))


def test_after_a_restart_members_are_reminded() -> None:
    scene = scene_of()
    scene.run(5.0)
    scene.members[1].deaf = True
    scene.rekey()
    scene.run(4.0)
    scene.members[1].deaf = False
    scene.world.start_server()
    scene.run(DTD + 60.0)
    assert any(one.reminder for one in scene.events(RekeySent))
    scene.check([], undisturbed=False)


@pytest.mark.parametrize("management", [SIMPLE, LKH])
@pytest.mark.parametrize("seed", range(4))
def test_an_outage_of_half_the_network_makes_nobody_register(seed: int, management: str) -> None:
    """All copies are lost to them, and nothing else tells them that there was a rekey."""

    def keyed_members(*, reminders: bool) -> tuple[int, int]:
        policy = with_rekey(replace(TREE, key_management=management), reminders=reminders)
        scene = Scene(policy, members=30, seed=seed)
        scene.run(5.0)
        for member in scene.members[::2]:
            member.deaf = True
        scene.rekey()
        scene.run(6.0)
        for member in scene.members[::2]:
            member.deaf = False
        scene.run(20.0)
        registrations = sum(len(one.all(Registered)) for one in scene.members) - 30
        return sum(keyed(scene, number) for number in range(30)), registrations

    assert keyed_members(reminders=True) == (30, 0)
    assert keyed_members(reminders=False) == (15, 0)
