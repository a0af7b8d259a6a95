"""Whole worlds, each from a seed: a server, members, bad networks, restarts, every option.

What must hold is in tests/property/worlds: `air` and `ledger` (what is sent is journaled),
`memory` (it is the fold of the journal), `readers` (every authorized member reads the traffic),
`secrecy` (nobody else does).  A world that breaks something is made as small as possible and
told as a story: its policies, then every step and event with its time.

`GCKS_WORLDS=1000` plays so many, `GCKS_WORLD=17` begins with that seed.
"""

from __future__ import annotations

import os

import pytest

from tests.property.worlds.broken import KNOWN
from tests.property.worlds.stage import Stage
from tests.property.worlds.steps import Author
from tests.property.worlds.story import play, shrink

WORLDS = int(os.environ.get("GCKS_WORLDS", "250"))
FIRST = int(os.environ.get("GCKS_WORLD", "0"))
SHRINK_SECONDS = 120.0


def told(seed: int) -> list[tuple[float, str, object]]:
    scenario = Author(seed, KNOWN).scenario()
    stage = Stage(scenario.setting, KNOWN)
    for step in scenario.steps:
        step.perform(stage)
    return stage.story


@pytest.mark.parametrize("seed", range(FIRST, FIRST + WORLDS))
def test_a_world(seed: int) -> None:
    failure = play(Author(seed, KNOWN).scenario(), KNOWN)
    if failure is not None:
        pytest.fail(str(shrink(failure, KNOWN, SHRINK_SECONDS)), pytrace=False)


@pytest.mark.parametrize("seed", [FIRST, FIRST + 1])
def test_the_same_seed_tells_the_same_story(seed: int) -> None:
    """Or nobody could look into what was found; all but key pairs comes from the seed."""
    assert told(seed) == told(seed)
