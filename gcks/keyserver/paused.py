"""Requests whose answer waits for something that takes long: a key, a store, a token.

Their repetitions are absorbed by the window of the IKE SA, so each is held once.  What
waits for longer than a peer repeats a request is given up with its IKE SA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gcks.change import Change
from gcks.keyserver.ike_sa import Established

MAX_PAUSED: Final = 1024
"""Of all peers together; some 10 kB each at the most."""
LONGEST_PAUSE_SECONDS: Final = 30.0

Again = Callable[[float, Change], None]
"""Asks again: `now`, and the change that the answer goes into."""


@dataclass(frozen=True, slots=True)
class Paused:
    """One request."""

    sa: Established
    since: float
    again: Again


class PausedRequests:
    """All of them, by the token that they wait for."""

    __slots__ = ("_by_token", "_count")

    def __init__(self) -> None:
        self._by_token: dict[int, list[Paused]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, token: int, paused: Paused) -> bool:
        """Hold a request; tell whether there was room."""
        if self._count >= MAX_PAUSED:
            return False
        self._by_token.setdefault(token, []).append(paused)
        self._count += 1
        paused.sa.channel.pause()
        return True

    def take(self, token: int) -> list[Paused]:
        """Return the requests that have waited for that token, the first one first."""
        paused = self._by_token.pop(token, [])
        self._count -= len(paused)
        return paused
