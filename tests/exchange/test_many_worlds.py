"""Hundreds of seeded networks in virtual time: whatever the weather, the right end state.

Every world has its own latency, loss up to 30 %, duplication and reordering, NATs,
IKE SA lifetimes on both sides (so that rekeys collide), and a server that is killed
and started again in some of them.

Shows gcks/ike, gcks/keyserver and gcks/member together.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from gcks.events import Registered
from tests.support.network import MemberNode, Weather
from tests.support.world import SERVER_SETTINGS, World, keys_of, state

BLOCKS, WORLDS = 10, 40
STORM_SECONDS, CALM_SECONDS = 700.0, 900.0


def weather(random: Random) -> Weather:
    least = random.choice([0.001, 0.01, 0.1])
    return Weather(
        loss=random.choice([0.0, 0.05, 0.1, 0.3]),
        duplication=random.choice([0.0, 0.1, 0.3]),
        least_delay=least,
        most_delay=least * random.choice([1, 3, 20]),
        multicast_loss=random.choice([0.0, 0.1, 0.3]),
    )


def world(seed: int) -> tuple[World, list[MemberNode]]:
    random = Random(seed)
    settings = replace(
        SERVER_SETTINGS,
        ike_sa_idle_seconds=random.choice([2.0, 5.0, 10.0**6]),
        ike_sa_rekey_seconds=random.choice([45.0, 50.0, 10.0**6]),
        liveness_seconds=20.0,
        cookie_threshold=random.choice([0, 500]),
        fragment_octets=random.choice([None, 600, 1200]),
    )
    place = World(seed=seed, weather=weather(random), settings=settings)
    members = [
        place.member(
            f"gm{number}",
            nat_host=random.choice([None, f"203.0.113.{number + 1}"]),
            at=random.uniform(0.0, 30.0),
            ike_sa_rekey_seconds=random.choice([45.0, 55.0, 10.0**6]),
            liveness_seconds=20.0,
            optimized_rekey=random.choice([None, settings.optimized_rekey]),
            fragment_octets=random.choice([None, 600]),
        )
        for number in range(random.randint(1, 3))
    ]
    return place, members


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_world_comes_to_the_right_end(block: int) -> None:
    for seed in range(block * WORLDS, (block + 1) * WORLDS):
        place, members = world(seed)
        place.run(STORM_SECONDS / 2)
        if seed % 4 == 0:
            place.start_server()
        place.run(STORM_SECONDS)
        place.network.weather = Weather()
        place.run(STORM_SECONDS + CALM_SECONDS)
        for member in members:
            assert state(member) == "registered", seed
            assert member.all(Registered), seed
            assert keys_of(member) == keys_of(members[0]), seed
        established = place.server.ike_sas.established
        assert established <= 2 * len(members), seed
        assert place.server.ike_sas.half_open == 0, seed
