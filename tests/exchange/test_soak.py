"""Half an hour in seconds: rekeys, reloads, members that come and go, and nothing that grows."""

from __future__ import annotations

from dataclasses import replace

from gcks.events import MemberRegistered, Registered, RekeyReceived, Reregistering
from tests.exchange.demo import World
from tests.exchange.network import Weather
from tests.exchange.test_key_tree_groups import TREE, Scene

MINUTES = 30
MEMBERS = 120
MOST = (10, 20, 20, 5)
"""IKE SAs (of the excluded, who try again), replaced SAs, messages on their way, early renewals."""


def held(world: World) -> tuple[int, ...]:
    """Count what a server keeps of the past."""
    group, engine = world.server.groups["keyid:demo"], world.server
    outbox, sas = group._outbox._pending, group.sas
    return len(engine.ike_sas), len(sas.replaced), len(outbox), len(group._early)


def test_half_an_hour() -> None:
    rekey = replace(TREE.rekey, renew_seconds=600)  # type: ignore[type-var]
    data = tuple(replace(sa, renew_seconds=45) for sa in TREE.data_sas)
    scene = Scene(replace(TREE, rekey=rekey, data_sas=data), members=MEMBERS)
    scene.world.network.weather = Weather(multicast_loss=0.01)
    for minute in range(MINUTES):
        scene.run(40.0)
        if minute % 5 == 2:
            scene.reload(capacity=1000 + minute)  # drops nothing
        if minute % 10 == 4:
            scene.members.append(scene.world.member(f"gm{len(scene.members)}", at=scene.now))
        if minute % 10 == 7:
            scene.exclude(minute)
        scene.run(20.0)
        assert all(n <= most for n, most in zip(held(scene.world), MOST, strict=True)), minute
    scene.world.network.weather = Weather()
    scene.run(120.0)
    out = [minute for minute in range(MINUTES) if minute % 10 == 7]
    scene.check(out, undisturbed=False)
    stayed = [one for n, one in enumerate(scene.members) if n not in out]
    again = sum(len(one.all(Registered)) - 1 for one in stayed)
    assert again == sum(len(one.all(Reregistering)) for one in stayed) <= len(stayed) // 20
    assert min(len(one.all(RekeyReceived)) for one in stayed[: MEMBERS - 3]) >= MINUTES
    assert len(scene.events(MemberRegistered)) == len(scene.members) + again
