"""Whole worlds, each from a seed: a server, members, bad networks, restarts, every option.

`GCKS_WORLDS=1000` plays so many, `GCKS_WORLD=17` begins with that seed; a world that breaks
something is made as small as possible, and told as a story.
"""

from __future__ import annotations

import os

import pytest

from tests.property.worlds.broken import KNOWN
from tests.property.worlds.steps import Author
from tests.property.worlds.story import play, shrink

WORLDS = int(os.environ.get("GCKS_WORLDS", "60"))
FIRST = int(os.environ.get("GCKS_WORLD", "0"))
SHRINK_SECONDS = 120.0


@pytest.mark.parametrize("seed", range(FIRST, FIRST + WORLDS))
def test_a_world(seed: int) -> None:
    failure = play(Author(seed, KNOWN).scenario(), KNOWN)
    if failure is not None:
        pytest.fail(str(shrink(failure, KNOWN, SHRINK_SECONDS)), pytrace=False)
