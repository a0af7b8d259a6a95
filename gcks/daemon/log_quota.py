"""Shares of what is written each second: a noisy host gets its own, the rest is for others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Generic, TypeVar

from gcks.events import Rate

K = TypeVar("K")


class Shares(Generic[K]):
    """Of each kind so many a second, and of a host so many of those; the rest is counted."""

    def __init__(self) -> None:
        self._second = -1
        self._hosts: dict[K, list[str]] = {}
        """Whom that which was written in this second is about."""
        self._left_out: Counter[K] = Counter()

    def begin(self, now: float) -> Mapping[K, int]:
        """Go on to this second; return what was left out in one that is over."""
        if int(now) == self._second:
            return {}
        self._second = int(now)
        return self.end()

    def end(self) -> Mapping[K, int]:
        """End the second; return what was left out in it."""
        self._hosts = {}
        left_out, self._left_out = self._left_out, Counter()
        return left_out

    def take(self, kind: K, remote: str, rate: Rate) -> bool:
        """Take one for that peer ("address:port"); return whether there was one."""
        hosts = self._hosts.setdefault(kind, [])
        host = remote.rpartition(":")[0]
        if len(hosts) >= rate.lines or hosts.count(host) >= rate.of_a_host:
            self._left_out[kind] += 1
            return False
        hosts.append(host)
        return True
