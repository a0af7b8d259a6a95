"""Requests that wait: how many, and who takes them again."""

from __future__ import annotations

from typing import cast

import pytest

from gcks.keyserver import paused
from gcks.keyserver.ike_sa import Established
from gcks.keyserver.paused import Paused, PausedRequests


class Channel:
    """Counts the pauses."""

    pauses = 0

    def pause(self) -> None:
        self.pauses += 1


class Sa:
    name = "fqdn:gm1.dev"

    def __init__(self) -> None:
        self.channel = Channel()


def request() -> Paused:
    return Paused(cast(Established, Sa()), 0.0, lambda now, change: None)


def is_open(sa: Established) -> bool:
    return True


def test_each_is_taken_once_the_first_one_first() -> None:
    requests, first, other, second = PausedRequests(), request(), request(), request()
    for token, held in ((1, first), (2, other), (1, second)):
        assert requests.add(token, held, is_open)
        assert cast(Sa, held.sa).channel.pauses == 1, "its repetitions are absorbed"
    assert requests.take(1) == [first, second] and len(requests) == 1
    assert requests.take(1) == [] and requests.take(3) == []
    assert requests.take(2) == [other] and len(requests) == 0


def test_there_is_room_for_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paused, "MAX_PAUSED", 2)
    requests = PausedRequests()
    assert [requests.add(1, request(), is_open) for _ in range(3)] == [True, True, False]
    assert len(requests) == 2
    requests.take(1)
    assert requests.add(1, request(), is_open)
