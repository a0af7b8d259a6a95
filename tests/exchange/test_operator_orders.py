"""What an operator orders: exclusions, and changed policies whose effect is said before.

Shows gcks/keyserver/commands.py, and what gcks/keyserver/groups makes of it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.errors import LocalError
from gcks.events import (
    GroupStartedOver,
    MemberLeft,
    MembersLockedOut,
    OperatorExcluded,
    OperatorReadmitted,
    Registered,
    RegistrationRefused,
    RekeySent,
    SaCreated,
    SaEnded,
)
from gcks.iana import NotifyType
from gcks.ike.keywords import parse_esp
from gcks.keyserver.commands import Command, Exclude, Readmit
from gcks.keyserver.groups.exclusions import IDENTITY
from gcks.keyserver.groups.policy import LKH, SIMPLE, GroupPolicy, MemberRule
from gcks.keyserver.groups.policy_change import PolicyChange, census
from gcks.member.ceiling import Ceiling
from tests.support.scene import SOON, TREE, Scene
from tests.support.world import ATD, DTD, group_policy, state

GROUP = TREE.name


def order(scene: Scene, command: Command) -> None:
    network = scene.world.network
    network.server_did(scene.world.server.command(command, scene.now))


def exclude(*names: str, immediate: bool = False) -> Exclude:
    return Exclude(GROUP, IDENTITY, names, "uid 0", immediate)


# --- exclusion ------------------------------------------------------------------------------


def test_an_operator_excludes_a_member_until_it_is_readmitted() -> None:
    """RFC 9838 section 2.4.3: a member that is excluded may try to register again."""
    scene = Scene(members=12)
    order(scene, exclude("fqdn:gm3.dev"))
    scene.run(SOON)
    scene.check([3])
    scene.world.start_server()
    scene.run(60.0)
    scene.check([3])
    refused = scene.events(RegistrationRefused)
    assert {one.notify for one in refused} == {NotifyType.AUTHORIZATION_FAILED}
    assert {one.hint for one in refused} == {"lift it with `gcks readmit`"}
    order(scene, Readmit(GROUP, IDENTITY, ("fqdn:gm3.dev",), "uid 0"))
    scene.run(600.0)
    assert state(scene.members[3]) == "registered"
    assert len(scene.events(OperatorExcluded)) == len(scene.events(OperatorReadmitted)) == 1


def test_a_pattern_excludes_present_and_future_members() -> None:
    scene = Scene(members=25)
    order(scene, exclude("fqdn:gm1?.dev"))
    scene.run(SOON)
    scene.check(range(10, 20))
    newcomer = scene.world.member("gm1x", at=scene.now)
    scene.run(SOON)
    assert state(newcomer) != "registered"


def test_who_is_no_member_is_excluded_without_troubling_the_others() -> None:
    scene = Scene(members=5)
    scene.run(5.0)
    before = len(scene.events(RekeySent))
    order(scene, exclude("fqdn:gm77.dev"))
    scene.run(SOON)
    assert all(one.reminder for one in scene.events(RekeySent)[before:])
    assert len(scene.group.state.exclusions) == 1


def test_on_request_the_exclusion_waits_for_no_other() -> None:
    scene = Scene(replace(TREE, exclusion_window_seconds=30.0), members=8)
    scene.run(5.0)
    rekey = scene.group.sas.rekey.spi
    order(scene, exclude("fqdn:gm1.dev"))
    scene.run(5.0)
    assert scene.group.sas.rekey.spi == rekey
    order(scene, exclude("fqdn:gm2.dev", immediate=True))
    scene.run(0.05)
    assert scene.group.sas.rekey.spi != rekey
    scene.run(SOON)
    scene.check([1, 2])


def test_without_a_key_tree_all_others_register_again() -> None:
    scene = Scene(replace(TREE, key_management=SIMPLE), members=8)
    order(scene, exclude("fqdn:gm1.dev"))
    scene.run(ATD + DTD + 30.0)
    assert len(scene.events(GroupStartedOver)) == 1
    scene.check([1], undisturbed=False)


def test_an_excluded_inband_sender_takes_only_the_data_keys_with_it() -> None:
    """It knows no Rekey SA (section 2.4): nobody else has to register again."""
    rules = (MemberRule("fqdn:gm1.dev", send=True), MemberRule("fqdn:gm*.dev"))
    policy = replace(TREE, key_management=SIMPLE, inband_senders=True, members=rules)
    scene = Scene(policy, members=1)
    scene.members.append(scene.world.member("gm1", sender=True, at=scene.now))
    scene.run(SOON)
    known = scene.current
    order(scene, exclude("fqdn:gm1.dev"))
    scene.run(SOON)
    assert not scene.events(GroupStartedOver)
    assert not known & scene.current
    assert scene.current <= {
        (sa.install.spi, sa.install.key_e + sa.install.key_a)
        for sa in scene.members[0].engine.groups[0].holding.data_sas
    }


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Exclude("keyid:nope", IDENTITY, ("fqdn:x",), "uid 0"), "there is no group keyid:nope"),
        (Readmit(GROUP, IDENTITY, ("fqdn:gm1.dev",), "uid 0"), "is not excluded"),
    ],
)
def test_orders_that_can_not_be_carried_out_change_nothing(command: Command, words: str) -> None:
    scene = Scene(members=2)
    with pytest.raises(LocalError, match=words):
        order(scene, command)
    scene.check([])


# --- policies -------------------------------------------------------------------------------


def planned(scene: Scene, policy: GroupPolicy) -> PolicyChange:
    (change,) = scene.world.server.plan({policy.name: policy})
    return change


def test_key_management_is_switched_without_the_members_knowing() -> None:
    """They register again, and follow both kinds by the same rules (section 3.3)."""
    scene = Scene(replace(TREE, key_management=SIMPLE), members=10)
    assert planned(scene, TREE).starts_over
    scene.reload(key_management=LKH)
    scene.run(ATD + DTD + 30.0)
    scene.check([], undisturbed=False)
    order(scene, exclude("fqdn:gm4.dev"))
    scene.run(SOON)
    scene.check([4], undisturbed=False)
    assert len(scene.events(GroupStartedOver)) == 1
    scene.reload(key_management=SIMPLE)
    scene.run(ATD + DTD + 30.0)
    scene.check([4], undisturbed=False)


CBC, CBC_INTEG = parse_esp("aes256-sha256")
VIDEO = TREE.data_sas[0]
CHANGES = {
    "nothing": {},
    "an option": {"capacity": 77},
    "suite": {"data_sas": (replace(VIDEO, encr=CBC, integ=CBC_INTEG),)},
    "a further SA": {"data_sas": (VIDEO, replace(VIDEO, name="more"))},
    "another SA": {"data_sas": (replace(VIDEO, name="other"),)},
    "a member less": {"excluded": ("fqdn:gm2.dev",)},
    "mode": {"mode": "transport"},
    "all at once": {
        "data_sas": (replace(VIDEO, encr=CBC, integ=CBC_INTEG), replace(VIDEO, name="more")),
        "excluded": ("fqdn:gm1.dev", "fqdn:gm3.dev"),
        "capacity": 500,
    },
}


@pytest.mark.parametrize("management", [SIMPLE, LKH])
@pytest.mark.parametrize("what", CHANGES)
def test_a_reload_does_exactly_what_the_plan_says(what: str, management: str) -> None:
    scene = Scene(replace(TREE, key_management=management), members=6)
    scene.run(5.0)
    before, replaced = dict(scene.group.sas.current), len(scene.events(SaEnded))
    new = replace(scene.policy, **CHANGES[what])  # type: ignore[arg-type]
    change = planned(scene, new)
    assert planned(scene, new) == change, "to plan changes nothing"
    assert dict(scene.group.sas.current) == before
    seen = len(scene.events(MemberLeft)), len(scene.events(SaCreated))
    scene.reload(**CHANGES[what])
    left = [one.identity for one in scene.events(MemberLeft)[seen[0] :]]
    assert left == list(change.excluded)
    assert bool(scene.events(GroupStartedOver)) == bool(change.starts_over)
    after = scene.group.sas.current
    if not change.starts_over:
        assert {n for n in after if n not in before} == set(change.created)
        assert {n for n in before if n not in after} == set(change.dropped)
        renewed = {n for n in after if n in before and after[n].spi != before[n].spi}
        assert renewed == set(change.renewed)
        ends = [sa.retire_at for sa in scene.group.sas.replaced if sa.retire_at is not None]
        assert all(at - scene.now == change.grace_seconds for at in ends)
    if not (change.starts_over or change.excluded or change.created or change.renewed):
        assert len(scene.events(SaCreated)) == seen[1]
    scene.run(ATD + DTD + 60.0)
    out = [int(one.removeprefix("fqdn:gm").removesuffix(".dev")) for one in change.excluded]
    scene.check(out, undisturbed=not change.starts_over)
    assert len(scene.events(SaEnded)) >= replaced + len(change.renewed) + len(change.dropped)


def test_groups_that_begin_and_end_are_planned_too() -> None:
    scene = Scene(members=3)
    new = replace(group_policy("new", number=9))
    gone, begun = scene.world.server.plan({new.name: new})
    assert (gone.group, gone.ends, gone.members) == (GROUP, True, 3)
    assert (begun.group, begun.begins) == ("keyid:new", True)


def test_members_are_locked_out_by_what_they_announced() -> None:
    """Section 2.3.4: the GCKS could store the list of Transforms to migrate the policy."""
    scene = Scene(members=2)
    only_gcm = tuple(parse_esp("aes256gcm16")[:1])
    scene.members += [
        scene.world.member(f"gm{n}", ceiling=Ceiling(encr=only_gcm), at=scene.now)
        for n in range(2, 5)
    ]
    scene.run(SOON)
    policy = replace(TREE, data_sas=(replace(VIDEO, encr=CBC, integ=CBC_INTEG),))
    change = planned(scene, policy)
    assert sorted(name for name, _ in change.locked_out) == [f"fqdn:gm{n}.dev" for n in (2, 3, 4)]
    assert {why for _, why in change.locked_out} == {
        "the GM does not support ENCR=AES_CBC-256 of the ESP SA video"
    }
    assert not change.unknown
    assert [count for _, count in census(scene.group.state.members)] == [3, 2]
    scene.reload(data_sas=policy.data_sas)
    (told,) = scene.events(MembersLockedOut)
    assert (told.members, told.cause) == (3, change.locked_out[0][1])
    scene.run(SOON)
    assert len(scene.members[0].all(Registered)) == 1 and scene.current <= {
        (sa.install.spi, sa.install.key_e + sa.install.key_a)
        for sa in scene.members[0].engine.groups[0].holding.data_sas
    }
