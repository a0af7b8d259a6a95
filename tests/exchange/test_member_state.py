"""What a member says of itself is so: its state, what it counts, what it warns of.

Shows gcks/member/status.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.change import Change
from gcks.errors import DropReason
from gcks.events import (
    DatagramDropped,
    PolicyRefused,
    RegisterAgain,
    Registered,
    RegistrationAttemptFailed,
    RekeyReceived,
    Reregistering,
    StrangeRekeysSeen,
)
from gcks.iana import ExchangeType, ProtocolId
from gcks.ike.secured import Asked
from gcks.keyserver.commands import RekeyGroup
from gcks.member.ceiling import Ceiling
from gcks.member.status import GroupStatus
from gcks.wire.delete import Delete
from tests.support.network import MemberNode, Weather
from tests.support.scene import Scene, scene_of
from tests.support.world import (
    DATA_LIFETIME,
    SERVER_SETTINGS,
    World,
    current,
    group_policy,
    inband,
    state,
)

HOUR = 3600.0


def status(world: World, member: MemberNode) -> GroupStatus:
    return member.engine.status(world.network.now).groups[0]


def lose_server(world: World) -> None:
    assert world.network.server is not None
    world.network.server.down = True


# --- state --------------------------------------------------------------------------------


def test_registered_is_who_holds_something() -> None:
    """Neither a failed retry nor the end of the last SA leaves the state untrue."""
    world = World()
    member = world.member("gm1")
    world.run(10.0)
    lose_server(world)
    seen = set()
    for second in range(10, 3000, 3):
        world.run(float(second))
        shown = status(world, member)
        seen.add((shown.state, bool(shown.data_sas or shown.rekey_spi)))
    assert seen == {
        ("registered", True), ("registering", True), ("registering", False), ("waiting", False),
    }  # fmt: skip


def test_in_band_a_group_without_sas_is_registered_while_the_ike_sa_tells() -> None:
    world = World(groups=(inband(),))
    member = world.member("gm1")
    world.run(10.0)
    ((spi, _),) = current(world)
    (sa,) = world.server.ike_sas.of_peer("fqdn:gm1.dev")
    delete = Delete(ProtocolId.ESP, 4, (spi,))
    asked = sa.ask(Asked.PUSH, ExchangeType.GSA_INBAND_REKEY, (delete,), SERVER_SETTINGS, 10.0)
    world.network.server_did(Change(transmits=asked))
    world.run(40.0)
    assert status(world, member).data_sas == () and state(member) == "registered"
    rekey(world)
    world.run(50.0)
    assert len(status(world, member).data_sas) == 1
    assert len(member.all(Registered)) == 1
    lose_server(world)
    world.run(400.0)
    assert status(world, member).state != "registered"


# --- what counts as a rekey -------------------------------------------------------------


def test_reminders_are_no_rekeys_and_late_copies_no_trouble() -> None:
    scene = scene_of(members=2)
    member = scene.members[0]
    scene.run(5.0)
    before = status(scene.world, member).rekeys
    scene.rekey()
    scene.run(300.0)
    assert status(scene.world, member).rekeys == before + 1
    told = member.all(RekeyReceived)
    assert [one.reminder for one in told[before:]] == [False, True, True, True]
    drops = member.all(DatagramDropped)
    assert {one.reason for one in drops} == {DropReason.LATE_COPY}


def test_who_missed_the_rekey_counts_the_reminder_as_one() -> None:
    scene = scene_of(members=2)
    member = scene.members[0]
    scene.run(5.0)
    before = status(scene.world, member)
    member.deaf = True
    scene.rekey()
    scene.run(5.0)
    member.deaf = False
    scene.run(60.0)
    after = status(scene.world, member)
    assert after.rekeys > before.rekeys
    assert after.last_rekey_age_seconds is not None and after.last_rekey_age_seconds < 60.0


def test_who_is_not_excluded_is_not_called_so() -> None:
    """The message that deletes all keys is the same for those who stay."""
    scene = scene_of(members=3)
    scene.exclude(1)
    scene.run(30.0)
    (again,) = scene.members[0].all(Reregistering)
    assert again.reason is RegisterAgain.ALL_KEYS_DELETED
    assert "exclu" not in again.cause and again.delay_seconds == round(again.delay_seconds, 3)


def test_who_is_shut_out_by_the_key_tree_is() -> None:
    scene = Scene(members=6)
    scene.exclude(1)
    scene.run(30.0)
    reasons = [one.reason for one in scene.members[1].all(Reregistering)]
    assert reasons[:1] == [RegisterAgain.EXCLUDED]


def test_a_policy_beyond_the_ceiling_is_one_event() -> None:
    world = World()
    member = world.member("gm1", ceiling=Ceiling(max_lifetime_seconds=60))
    world.run(2.0)
    (refused,) = member.all(PolicyRefused)
    assert member.all(RegistrationAttemptFailed) == []
    assert refused.retry_seconds > 0 and "ceiling" in refused.hint
    assert status(world, member).last_error == refused.cause


# --- rekeys that don't come -----------------------------------------------------------------


def test_blocked_multicast_is_hinted_at_until_a_rekey_comes() -> None:
    world = World(weather=Weather(multicast_loss=1.0))
    member = world.member("gm1")
    world.run(10.0)
    assert status(world, member).hint == "", "none was due yet"
    world.run(2.5 * DATA_LIFETIME)
    assert len(member.all(Registered)) > 1
    shown = status(world, member)
    assert "is multicast to 239.255.84.8 port 848 let through" in shown.hint
    assert (shown.rekeys, shown.last_rekey_age_seconds) == (0, None)
    world.network.weather = Weather()
    world.run(4.5 * DATA_LIFETIME)
    shown = status(world, member)
    assert shown.hint == "" and shown.rekeys > 0
    assert shown.last_rekey_age_seconds is not None


def rekey(world: World) -> None:
    command = RekeyGroup("keyid:demo")
    world.network.server_did(world.server.command(command, world.network.now))


def forget_everything(world: World) -> None:
    """Start the server again without its store."""
    assert world.network.server is not None
    world.network.server.journal.clear()
    world.start_server()


def test_rekeys_of_a_server_that_lost_its_store_are_told_once_an_hour() -> None:
    """They can't be authenticated: they cause a word to the operator, and nothing else."""
    slow = replace(group_policy(), data_sas=tuple(
        replace(sa, lifetime_seconds=10 * 3600) for sa in group_policy().data_sas
    ))  # fmt: skip
    assert slow.rekey is not None
    slow = replace(slow, rekey=replace(slow.rekey, lifetime_seconds=10 * 3600))
    world = World(groups=(slow,))
    member = world.member("gm1")
    world.run(10.0)
    forget_everything(world)
    rekey(world)
    world.run(40.0)
    assert member.all(StrangeRekeysSeen) == [], "late copies come so, too"
    for _ in range(12):
        world.run(world.network.now + 600.0)
        rekey(world)
    told = member.all(StrangeRekeysSeen)
    assert len(told) == 2
    assert "lost its store" in told[0].hint and told[0].remote == "192.0.2.1:848"
    assert status(world, member).hint == told[0].hint
    assert len(member.all(Registered)) == 1 and member.all(Reregistering) == []


def test_another_group_on_the_same_address_is_no_trouble() -> None:
    first, second = group_policy("demo"), group_policy("audio")
    lifetime = [replace(sa, lifetime_seconds=300) for sa in second.data_sas]
    world = World(groups=(first, replace(second, data_sas=tuple(lifetime))))
    member = world.member("gm1", groups=("demo",))
    world.member("gm2", groups=("audio",))
    world.run(8 * HOUR)
    assert len(member.all(StrangeRekeysSeen)) <= 1
    assert member.all(Reregistering) == []


@pytest.mark.parametrize("seed", range(3))
def test_bad_weather_alone_raises_no_such_alarm(seed: int) -> None:
    world = World(seed=seed, weather=Weather(multicast_loss=0.4))
    crowd = [world.member(f"gm{n}", at=float(n * 97)) for n in range(8)]
    world.run(3 * HOUR)
    assert [one for member in crowd for one in member.all(StrangeRekeysSeen)] == []
