"""What groups wait for: keys that take long to make, and their own journal."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Final

from gcks.change import Change, Need, Waiting
from gcks.errors import GcksError, LocalError
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.state import GroupState

RETRY_SECONDS: Final = 10.0
"""After a key could not be made."""
CALM_SECONDS: Final = 60.0
"""A group that has failed is read again at once, but not again and again: later each time,
until it has been well for so long."""
LONGEST_DELAY_SECONDS: Final = 64.0


class NotReady(GcksError):
    """The group can't decide yet; the request is to be asked again when `token` is resumed."""

    def __init__(self, token: int) -> None:
        super().__init__("the group can't decide yet")
        self.token = token


class GroupFailed(LocalError):
    """A decision has ended in an error that nobody expected; nothing of it counts.

    The group's memory is dropped, and read again from the journal.
    """


@dataclass(slots=True)
class Unready:
    """A group that can't decide yet."""

    token: int
    policy: GroupPolicy
    need: Need
    stored: GroupState | None = None
    """What it goes on with, where it waits for a key only."""
    revoked: Set[bytes] = frozenset()
    """Certificates that have been revoked meanwhile."""


@dataclass(frozen=True, slots=True)
class NextPolicy:
    """A group that takes over a policy when its key is made."""

    policy: GroupPolicy


@dataclass(frozen=True, slots=True)
class SpareKey:
    """A group whose next key is made ahead of time."""

    group: str
    kind: str


Want = Unready | NextPolicy | SpareKey


class Wants:
    """What groups wait for, by token; and the groups that can't decide meanwhile."""

    __slots__ = ("_by_token", "_tokens", "unready")

    def __init__(self) -> None:
        self._tokens = count(1)
        self._by_token: dict[int, Want] = {}
        self.unready: dict[str, Unready] = {}
        """By the names of groups."""

    @property
    def names(self) -> set[str]:
        """Groups that begin, or take over their policy, when what they need is there."""
        wants = self._by_token.values()
        return {want.policy.name for want in wants if not isinstance(want, SpareKey)}

    def want(self, want: NextPolicy | SpareKey, need: Need, change: Change) -> None:
        """Wait for something while the group goes on."""
        token = next(self._tokens)
        self._by_token[token] = want
        change.waits.append(Waiting(token, need))

    def begin(
        self, policy: GroupPolicy, need: Need, change: Change | None, stored: GroupState | None
    ) -> None:
        """Note a group that can't decide before its need is met; ask for that, or `ask` later."""
        unready = Unready(next(self._tokens), policy, need, stored)
        self.unready[policy.name] = self._by_token[unready.token] = unready
        if change is not None:
            self.ask(policy.name, change)

    def ask(self, name: str, change: Change) -> None:
        """Ask for what a group waits for, if it does."""
        unready = self.unready.get(name)
        if unready is not None:
            change.waits.append(Waiting(unready.token, unready.need))

    def get(self, token: int) -> Want | None:
        return self._by_token.get(token)

    def met(self, token: int) -> None:
        """Forget what is there now, or isn't waited for any more."""
        want = self._by_token.pop(token, None)
        if isinstance(want, Unready):
            del self.unready[want.policy.name]

    def drop(self, name: str, change: Change) -> Unready | None:
        """Wait no longer for what a group needs: its policy has changed again, or it has ended."""
        for token, want in list(self._by_token.items()):
            if isinstance(want, NextPolicy) and want.policy.name == name:
                del self._by_token[token]
        unready = self.unready.get(name)
        if unready is not None:
            self.met(unready.token)
            change.resumed.append(unready.token)
        return unready


class Failures:
    """How long groups wait that fail again and again."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[int, float]] = {}

    def delay(self, name: str, now: float) -> float:
        """Count a failure; return for how many seconds the group is left alone."""
        count, last = self._by_name.get(name, (0, -inf))
        count = count + 1 if now - last < CALM_SECONDS + LONGEST_DELAY_SECONDS else 1
        self._by_name[name] = count, now
        return 0.0 if count == 1 else min(LONGEST_DELAY_SECONDS, 2.0 ** (count - 2))
