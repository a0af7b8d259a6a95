"""Who is told in-band of which groups, one group at a time over each IKE SA."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gcks.errors import AuthorizationFailed
from gcks.keyserver import pushing
from gcks.keyserver.groups.groups import Groups
from gcks.keyserver.groups.registration import Keys
from gcks.keyserver.ike_sa import Established
from gcks.keyserver.pushing import Pushes
from tests.support.group_stage import Stage, group_policy
from tests.support.world import SERVER_SETTINGS


class Channel:
    pending: object = None


class Host:
    host = "192.0.2.7"


class Way:
    remote = Host()


class Sa:
    """What pushes know of an IKE SA."""

    name, path, gsk_w, ends_at = "fqdn:gm1.dev", Way(), bytes(32), 0.0

    def __init__(self, spi: bytes) -> None:
        self.own_spi, self.channel = spi, Channel()
        self.inband: dict[str, bool] = {}
        self.to_push: set[str] = set()
        self.pushing = ""

    def ask(self, *_: object) -> tuple[object, ...]:
        self.channel.pending = object()
        return (object(),)


class AllGroups:
    """Has news of every group."""

    allowed = True

    def __init__(self) -> None:
        self.keys = Stage(group_policy(rekey=None)).register().admitted.keys

    def push(self, name: str, *_: object, **__: object) -> Keys:
        if not self.allowed:
            raise AuthorizationFailed("not any more")
        return self.keys


class Told:
    """Pushes, and what left."""

    def __init__(self) -> None:
        self.pushes, self.groups = Pushes(), AllGroups()

    def enrolled(self, spi: bytes, *groups: str) -> Established:
        sa = cast(Established, Sa(spi))
        for group in groups:
            self.pushes.enrol(sa, group, sender=False)
        return sa

    def send(self) -> list[str]:
        """Return the groups that were told of now."""
        groups = cast(Groups, self.groups)
        _, asked, _ = self.pushes.send(groups, SERVER_SETTINGS, 0.0)
        return [sa.pushing for sa in asked]

    def answer(self, sa: Established) -> None:
        cast(Any, sa.channel).pending = None
        self.pushes.answered(sa)


@pytest.fixture
def told() -> Told:
    return Told()


def test_two_groups_over_one_ike_sa_are_told_one_after_the_other(told: Told) -> None:
    sa = told.enrolled(b"1", "a", "b")
    told.pushes.plan("a")
    told.pushes.plan("b")
    (first,) = told.send()
    assert told.send() == []
    told.answer(sa)
    (second,) = told.send()
    assert {first, second} == {"a", "b"}
    told.answer(sa)
    assert told.send() == []


def test_what_is_under_way_over_a_replaced_ike_sa_is_told_again(told: Told) -> None:
    old, new = told.enrolled(b"1", "a", "b"), told.enrolled(b"2")
    told.pushes.plan("a")
    assert told.send() == ["a"]
    told.pushes.move(old, new)
    assert new.inband == {"a": False, "b": False}
    assert told.send() == ["a"]


def test_a_busy_ike_sa_is_told_when_its_own_request_is_answered(told: Told) -> None:
    sa = told.enrolled(b"1", "a")
    cast(Any, sa.channel).pending = object()
    told.pushes.plan("a")
    assert told.send() == []
    cast(Any, sa.channel).pending = None
    assert told.send() == ["a"]


def test_so_many_are_under_way_at_a_time(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "MAX_IN_FLIGHT", 2)
    sas = [told.enrolled(bytes([number]), "a") for number in range(3)]
    told.pushes.plan("a")
    assert told.send() == ["a", "a"] and told.send() == []
    told.pushes.closed(sas[0])
    assert told.send() == ["a"], "an IKE SA that is gone waits for nothing"


def test_who_is_no_longer_authorized_is_told_nothing_any_more(told: Told) -> None:
    sa = told.enrolled(b"1", "a")
    told.groups.allowed = False
    told.pushes.plan("a")
    assert told.send() == [] and sa.inband == {}
    told.groups.allowed = True
    told.pushes.plan("a")
    assert told.send() == []
