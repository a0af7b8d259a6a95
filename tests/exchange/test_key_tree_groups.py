"""Groups with a key tree: members are shut out, the others go on (RFC 9838 sections 3.2, 3.2.1).

Shows gcks/keyserver/groups and gcks/member/key_path.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.events import (
    GroupStartedOver,
    MemberLeft,
    Registered,
    RegistrationAttemptFailed,
    RegistrationRefused,
    RekeyReceived,
    RekeySent,
)
from gcks.iana import Kwa, NotifyType
from gcks.ike.keywords import parse_ike
from gcks.keyserver.commands import Reload
from gcks.keyserver.groups import departing, tree
from gcks.keyserver.groups.policy import LKH, GroupPolicy
from tests.support.network import MemberNode, Weather
from tests.support.scene import SOON, TREE, Scene
from tests.support.world import ATD, DTD, PSK, World, group_policy, keys_of, state


@pytest.mark.parametrize("members", [2, 5, 20, 70])
def test_one_member_is_shut_out_and_the_others_go_on(members: int) -> None:
    """RFC 9838 appendix A.4; section 2.4.3: it may not come back."""
    scene = Scene(members=members)
    scene.exclude(1)
    scene.run(SOON)
    scene.check([1])
    assert [event.identity for event in scene.events(MemberLeft)] == ["fqdn:gm1.dev"]
    scene.run(60.0)
    scene.check([1])
    refused = scene.events(RegistrationRefused)
    assert {event.notify for event in refused} == {NotifyType.AUTHORIZATION_FAILED}
    assert scene.members[1].all(RegistrationAttemptFailed)


def test_the_two_message_rule() -> None:
    """Section 3.2.1: new Data-Security SAs come in a second message, under the new KEK."""
    scene = Scene(members=8)
    scene.run(5.0)
    before = len([e for e in scene.events(RekeySent) if e.copy == 1])
    seen = {id(m): len(m.all(RekeyReceived)) for m in scene.members}
    scene.exclude(3)
    scene.run(SOON)
    assert len([e for e in scene.events(RekeySent) if e.copy == 1]) - before == 2
    member = scene.members[0]
    first, second = member.all(RekeyReceived)[seen[id(member)] :]
    assert (first.data_sas, first.rekey_sa) == (0, True)
    assert (second.data_sas, second.rekey_sa, second.message_id) == (1, False, 0)
    assert len(scene.members[3].all(RekeyReceived)) == seen[id(scene.members[3])]


def test_exclusions_within_the_window_share_a_message() -> None:
    scene = Scene(members=30)
    scene.run(5.0)
    before = len([e for e in scene.events(RekeySent) if e.copy == 1])
    for number in (2, 9, 17, 29):
        scene.exclude(number)
        scene.run(0.1)
    scene.run(SOON)
    assert len([e for e in scene.events(RekeySent) if e.copy == 1]) - before == 2
    scene.check([2, 9, 17, 29])


def test_a_batch_that_is_too_large_goes_out_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step leaves every member with a Rekey SA; the last one knows nothing of the excluded."""
    monkeypatch.setattr(tree, "MAX_WRAPPED_KEYS", 24)
    scene = Scene(members=64)
    scene.run(5.0)
    before = len([e for e in scene.events(RekeySent) if e.copy == 1])
    out = list(range(0, 64, 5))
    scene.exclude(*out)
    scene.run(60.0)
    assert len([e for e in scene.events(RekeySent) if e.copy == 1]) - before > 3
    scene.check(out)


def test_very_many_at_once_make_the_group_start_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Message after message would take longer than all others need to register again."""
    monkeypatch.setattr(departing, "MAX_EXCLUDED", 5)
    scene = Scene(members=20)
    out = list(range(7))
    scene.exclude(*out)
    scene.run(ATD + DTD + 30.0)
    assert len(scene.events(GroupStartedOver)) == 1
    scene.check(out, undisturbed=False)
    assert len(scene.tree) == 13


def test_policy_is_hidden_from_the_excluded_where_the_operator_wants_it() -> None:
    """Section 3.2.1: two messages change the KEK, the policy comes with the second."""
    scene = Scene(replace(TREE, hide_policy=True), members=8)
    scene.run(5.0)
    first = scene.group.sas.rekey.spi
    seen = len(scene.members[0].all(RekeyReceived))
    scene.exclude(3)
    scene.run(SOON)
    kinds = [(e.data_sas, e.rekey_sa) for e in scene.members[0].all(RekeyReceived)[seen:]]
    assert kinds == [(0, True), (1, True)]
    assert scene.group.sas.rekey.spi != first
    scene.check([3])


def test_who_leaves_is_shut_out_with_the_next_change() -> None:
    scene = Scene(members=12)
    scene.run(5.0)
    left = scene.group.state.members.get("fqdn:gm4.dev")
    assert left is not None
    old = list(scene.tree.path(left.leaf))
    rekey = scene.group.sas.rekey.spi
    scene.leave(4)
    scene.run(20.0)
    assert scene.group.sas.rekey.spi == rekey, "nobody is troubled for it"
    scene.rekey()
    scene.run(SOON)
    new = {key for _, key in scene.tree.tops()}
    assert not new & {key for _, key in old}
    scene.check([4])


def test_with_forward_access_who_leaves_is_shut_out_at_once() -> None:
    scene = Scene(replace(TREE, forward_access=True), members=12)
    scene.run(5.0)
    rekey = scene.group.sas.rekey.spi
    scene.leave(4)
    scene.run(SOON)
    assert scene.group.sas.rekey.spi != rekey
    scene.check([4])


@pytest.mark.parametrize("seed", range(10))
def test_lost_messages_end_in_a_new_registration_at_worst(seed: int) -> None:
    """Section 2.4.1.3: copies, and GSA_NEXT_SPI, which tells of a rekey that was lost."""
    scene = Scene(members=20, seed=seed)
    scene.world.network.weather = Weather(loss=0.3)
    scene.exclude(3, 8)
    scene.run(30.0)
    scene.rekey()
    scene.run(60.0)
    scene.world.network.weather = Weather()
    scene.rekey()
    scene.run(30.0)
    scene.check([3, 8], undisturbed=False)


def test_a_killed_server_goes_on_with_the_same_tree() -> None:
    """What is on disk is what was in memory; whom it was about to shut out it does."""
    scene = Scene(members=20)
    scene.run(5.0)
    before = [scene.tree.path(leaf) for leaf in range(20)]
    scene.world.start_server()
    assert [scene.tree.path(leaf) for leaf in range(20)] == before
    scene.exclude(5)
    scene.world.start_server()
    scene.run(SOON)
    scene.check([5])


def test_a_server_killed_between_the_two_messages_sends_the_second() -> None:
    """Else the excluded would keep the Data-Security SAs until their time is over."""
    scene = Scene(members=20)
    scene.run(5.0)
    first, knows = scene.group.sas.rekey.spi, keys_of(scene.members[5])
    scene.exclude(5)
    while scene.group.sas.rekey.spi == first:
        scene.run(0.05)
    assert scene.current & knows
    scene.world.start_server()
    scene.run(SOON)
    assert not scene.current & knows
    scene.check([5])
    assert not scene.group.state.wants_tree_change


def test_members_come_and_go_and_the_tree_grows_by_one_message() -> None:
    scene = Scene(members=16)
    late = scene.world.member("gm16", at=scene.now)
    scene.members.append(late)
    scene.run(SOON)
    scene.check([])
    scene.exclude(0)
    scene.run(SOON)
    scene.check([0])
    assert not scene.group.state.wants_tree_change


def test_a_member_that_registers_again_keeps_its_leaf() -> None:
    scene = Scene(members=6)
    leaf = scene.group.state.members.get("fqdn:gm2.dev").leaf  # type: ignore[union-attr]
    scene.members[2].deaf = True
    scene.exclude(5)
    scene.run(SOON)
    scene.members[2].deaf = False
    scene.rekey()
    scene.run(30.0)
    assert scene.group.state.members.get("fqdn:gm2.dev").leaf == leaf  # type: ignore[union-attr]
    scene.check([5], undisturbed=False)


def test_key_wraps_of_both_sas_are_of_one_size() -> None:
    """Ruling 3: the keys of the tree are wrapped over the IKE SA and over the Rekey SA."""
    short = parse_ike(["aes256gcm16-prfsha256-x25519-kw128"])
    world = World(groups=(TREE,))
    member = world.member("gm1", offer=short)
    world.run(5.0)
    assert state(member) != "registered"
    assert world.network.server is not None
    (refused, *_) = world.network.server.all(RegistrationRefused)
    assert refused.notify == NotifyType.NO_PROPOSAL_CHOSEN
    assert "key wrap of the same size" in refused.hint
    assert TREE.rekey is not None and TREE.rekey.kwa == Kwa.KW_5649_256


# --- other access control -----------------------------------------------------------------


@pytest.mark.parametrize("management", ["simple", LKH])
def test_backward_access_control_gives_a_newcomer_new_keys(management: str) -> None:
    """Section 3: it recorded what was sent before, and must not read it."""
    scene = Scene(replace(TREE, backward_access=True, key_management=management), members=6)
    scene.run(5.0)
    before = scene.current | {(sa.spi, sa.keymat) for sa in scene.group.sas.replaced}
    newcomer = scene.world.member("gm6", at=scene.now)
    scene.members.append(newcomer)
    scene.run(1.0)
    assert state(newcomer) == "registered"
    assert not before & keys_of(newcomer)
    scene.run(SOON)
    scene.check([])


def test_newcomers_within_the_window_share_the_new_keys() -> None:
    scene = Scene(replace(TREE, backward_access=True), members=6)
    scene.run(5.0)
    before = len([e for e in scene.events(RekeySent) if e.copy == 1])
    scene.members += [scene.world.member(f"gm{n}", at=scene.now + n * 0.01) for n in range(6, 16)]
    scene.run(SOON)
    assert len([e for e in scene.events(RekeySent) if e.copy == 1]) - before <= 2
    scene.check([])


@pytest.mark.parametrize("authentication", ["ed25519", "ecdsa-p256"])
def test_the_key_that_signs_is_replaced_with_a_new_rekey_sa(authentication: str) -> None:
    """Section 2.4.1: the new AUTH_KEY comes before the old one ends, under its signature."""
    assert TREE.rekey is not None
    rekey = replace(TREE.rekey, authentication=authentication, auth_key_seconds=100)
    scene = Scene(replace(TREE, rekey=rekey), members=5)
    first = scene.group.auth_key
    scene.rekey()
    scene.run(SOON)
    assert scene.group.auth_key == first, "not old enough"
    scene.run(100.0)
    scene.rekey()
    scene.run(SOON)
    second = scene.group.auth_key
    assert second != first
    for _ in range(2):
        scene.rekey()
        scene.run(SOON)
    scene.check([])
    scene.exclude(1)
    scene.run(SOON)
    scene.check([1])
    scene.world.start_server()
    assert scene.group.auth_key == second


# --- without a tree --------------------------------------------------------------------------


def test_without_a_tree_the_group_starts_over() -> None:
    """Section 2.4.3: zero SPIs; everybody registers again, the excluded one can't."""
    scene = Scene(group_policy(), members=10)
    scene.exclude(4)
    scene.run(ATD + DTD + 20.0)
    (event,) = scene.events(GroupStartedOver)
    assert event.members == 9
    scene.check([4], undisturbed=False)
    assert all(len(one.all(Registered)) == 2 for n, one in enumerate(scene.members) if n != 4)


def test_sender_ids_that_run_out_start_the_group_over() -> None:
    """Section 2.5.1: MUST exclude all GMs first; new keys, Sender-IDs from zero, no nonce twice."""
    policy = replace(TREE, sender_id_bits=2, max_sender_ids_per_request=1)
    world = World(groups=(policy,))
    senders = [world.member(f"sender{n}", at=float(n)) for n in range(4)]
    world.run(20.0)
    group = world.server.groups["keyid:demo"]
    used = nonces(senders)
    assert len(used) == 4
    assert group.sender_ids.left == 0
    late = world.member("sender9", at=20.0)
    world.run(25.0)
    assert world.network.server is not None
    assert len(world.network.server.all(GroupStartedOver)) == 1
    del late
    world.run(28.0)
    assert not nonces(senders) & used, "other keys, so that the same Sender-IDs are no danger"


def test_senders_that_are_rekeyed_inband_start_over_too() -> None:
    """Section 2.5.1: else they would use their old Sender-IDs with the new keys."""
    policy = replace(
        group_policy(), inband_senders=True, sender_id_bits=2, max_sender_ids_per_request=1
    )
    world = World(groups=(policy,))
    senders = [world.member(f"sender{n}", at=float(n)) for n in range(4)]
    world.run(20.0)
    seen = nonces(senders)
    senders.append(world.member("sender9", at=20.0))
    assert world.network.server is not None
    for second in range(21, 60):
        world.run(float(second))
        using = [nonces([node]) for node in senders]
        fresh = [pair for pairs in using for pair in pairs if pair not in seen]
        assert len(fresh) == len(set(fresh)), "two senders, one nonce"
    assert world.network.server.all(GroupStartedOver)


@pytest.mark.parametrize("policy", [group_policy(), TREE, replace(group_policy(), rekey=None)])
def test_a_group_that_is_no_longer_served_is_deleted_at_its_members(policy: GroupPolicy) -> None:
    """Section 2.4.3."""
    scene = Scene(policy, members=6)
    network = scene.world.network
    command = Reload(scene.world.settings, PSK, {})
    network.server_did(scene.world.server.command(command, scene.now))
    scene.run(1.0)
    assert [keys_of(member) for member in scene.members] == [set()] * 6


def nonces(senders: list[MemberNode]) -> set[tuple[bytes, int]]:
    """What of (key, Sender-ID) is in use."""
    return {
        (sa.key_e, sender_id)
        for node in senders
        for sa in node.plane.installed.values()
        for sender_id in sa.sender_ids
    }
