"""A single sender that comes back numbers its packets from 1 (RFC 9838 2.6, RFC 4303 3.3.3).

Shows gcks/keyserver/groups.
"""

from __future__ import annotations

from math import inf

import pytest

from gcks.keyserver.groups.admitting import MIN_RENEWAL_SECONDS
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.steps import renew_sa
from tests.support.group_stage import Stage, esp, group_policy, single

ADDRESS = "192.0.2.8"


def numbered() -> GroupPolicy:
    return group_policy(esp("all"), single("one", "fqdn:s1.dev", ADDRESS))


def spi(stage: Stage, name: str = "one") -> bytes:
    return stage.group.sas.current[name].spi


def join(stage: Stage, name: str = "s1", *, sender: bool = True) -> float:
    """Return when the SA is renewed because of it; infinite: not early."""
    stage.register(name, sender=sender, count=1 if sender else 0, address=ADDRESS)
    return stage.state.steps.get(renew_sa("one"), inf)


def test_its_sa_is_renewed_when_it_comes_back_and_only_that() -> None:
    stage = Stage(numbered())
    assert join(stage) == inf
    stage.until(stage.now + 60)
    before, other = spi(stage), spi(stage, "all")
    assert join(stage) == stage.now == stage.group.next_timeout
    assert len(stage.until(stage.now)) == 1
    assert spi(stage) != before
    assert spi(stage, "all") == other


def test_members_that_come_again_and_again_dont_make_a_group_rekey_as_often() -> None:
    stage = Stage(numbered())
    join(stage)
    stage.until(stage.now + 60)
    seen = set()
    start = stage.now
    while stage.now < start + 10 * MIN_RENEWAL_SECONDS:
        assert join(stage) <= stage.now + MIN_RENEWAL_SECONDS
        stage.until(stage.now + 0.5)
        seen.add(spi(stage))
    assert len(seen) <= 11


@pytest.mark.parametrize(("name", "sender"), [("s2", True), ("gm1", False), ("s1", False)])
def test_others_that_come_back_renew_nothing(name: str, sender: bool) -> None:
    stage = Stage(numbered())
    for _ in range(2):
        assert join(stage, name, sender=sender) == inf


def test_without_replay_protection_nothing_is_renewed() -> None:
    policy = group_policy(single("one", "fqdn:s1.dev", ADDRESS, replay_protection=False))
    stage = Stage(policy)
    for _ in range(2):
        assert join(stage) == inf


def test_after_a_restart_of_the_server_every_sender_may_have_begun() -> None:
    stage = Stage(numbered())
    join(stage)
    stage.restart(down_seconds=30)
    before = spi(stage)
    stage.until(stage.now + 1)
    assert join(stage) < inf
    stage.until(stage.now + 1)
    assert spi(stage) != before
