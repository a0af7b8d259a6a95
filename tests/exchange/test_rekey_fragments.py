"""GSA_REKEY in fragments, followed by members in fair and foul weather (RFC 9838 2.4.1.2).

Shows gcks/group/rekey_message.py and gcks/member.
"""

from __future__ import annotations

import pytest

from gcks.events import RekeyReceived, Reregistering
from tests.support.network import Weather
from tests.support.world import World, group_policy, keys_of, state

SAS = 40
ROUND = 2000.0


@pytest.mark.parametrize("seed", range(10))
def test_members_follow_a_large_group(seed: int) -> None:
    world = World(seed=seed, groups=(group_policy(data_sas=SAS),))
    members = [world.member(f"gm{number}") for number in range(3)]
    world.run(3 * ROUND)
    for member in members:
        assert len(member.all(RekeyReceived)) >= 2
        assert not member.all(Reregistering)
        assert state(member) == "registered"
        assert keys_of(member) == keys_of(members[0])


@pytest.mark.parametrize("seed", range(10))
def test_a_fragment_that_is_lost_comes_with_the_next_copy(seed: int) -> None:
    """Copies are bit-identical (section 2.4.1.3), so that fragments of several fit together."""
    weather = Weather(multicast_loss=0.1, duplication=0.2, most_delay=0.3)
    world = World(seed=seed, weather=weather, groups=(group_policy(data_sas=SAS),))
    members = [world.member(f"gm{number}") for number in range(3)]
    world.run(2 * ROUND)
    followed = sum(len(member.all(RekeyReceived)) for member in members)
    assert followed >= 3
    assert all(state(member) == "registered" for member in members)
