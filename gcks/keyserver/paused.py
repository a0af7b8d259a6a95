"""Requests whose answer waits for something that takes long: a key, a store, a token.

Their repetitions are absorbed by the window of the IKE SA, so each is held once.  What
waits for longer than a peer repeats a request is given up with its IKE SA.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gcks.change import Change
from gcks.keyserver.ike_sa import Established

MAX_PAUSED: Final = 1024
"""Of all peers together; some 10 kB each at the most."""
MAX_PAUSED_OF_ONE: Final = 16
"""Of one identity, over all its IKE SAs: nobody takes the room of the others."""
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

    __slots__ = ("_by_token", "_count", "_of_peer")

    def __init__(self) -> None:
        self._by_token: dict[int, list[Paused]] = {}
        self._of_peer: Counter[str] = Counter()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, token: int, paused: Paused, is_open: Callable[[Established], bool]) -> bool:
        """Hold a request; tell whether there was room.

        `is_open(sa)` tells whether an IKE SA isn't forgotten yet: what came over others
        takes no room from the living.
        """
        if self._is_full(paused.sa.name):
            self._sweep(is_open)
            if self._is_full(paused.sa.name):
                return False
        self._hold(token, [paused])
        paused.sa.channel.pause()
        return True

    def _is_full(self, peer: str) -> bool:
        return self._count >= MAX_PAUSED or self._of_peer[peer] >= MAX_PAUSED_OF_ONE

    def _sweep(self, is_open: Callable[[Established], bool]) -> None:
        for token in list(self._by_token):
            kept = [paused for paused in self.take(token) if is_open(paused.sa)]
            if kept:
                self._hold(token, kept)

    def _hold(self, token: int, requests: list[Paused]) -> None:
        self._by_token.setdefault(token, []).extend(requests)
        self._of_peer.update(paused.sa.name for paused in requests)
        self._count += len(requests)

    def take(self, token: int) -> list[Paused]:
        """Return the requests that have waited for that token, the first one first."""
        taken = self._by_token.pop(token, [])
        self._of_peer -= Counter(paused.sa.name for paused in taken)
        self._count -= len(taken)
        return taken
