"""The groups that the server serves: begun, restored, reloaded, and their common clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf

from gcks.errors import LocalError
from gcks.events import Event, GroupEnded, OperatorExcluded, OperatorReadmitted
from gcks.group.spread import default_cost
from gcks.journal import GroupRemoved, StoredGroup
from gcks.keyserver.commands import Exclude, GroupCommand, RekeyGroup
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.group_outcome import GroupOutcome
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.policy_change import PolicyChange
from gcks.keyserver.groups.spi import SpiPool


class ServedGroups:
    """All groups by name (the group ID in text form), and when the first of them is due."""

    __slots__ = ("_cost", "_entropy", "_spis", "_wall", "by_name", "next_timeout")

    def __init__(
        self,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
        cost: Callable[[], float] = default_cost,
    ) -> None:
        """`cost()` gives the seconds of the server that a registration takes."""
        self._entropy, self._wall, self._cost = entropy, wall, cost
        self._spis = SpiPool(entropy)
        self.by_name: dict[str, Group] = {}
        self.next_timeout = inf

    def start(
        self, policies: Mapping[str, GroupPolicy], stored: Iterable[StoredGroup], now: float
    ) -> list[GroupOutcome]:
        """Create or restore every group; what is stored and no longer configured goes."""
        kept = {group.group: group for group in stored}
        gone = [
            _removed(name, len(group.members))
            for name, group in kept.items()
            if name not in policies
        ]
        begun = [self._begin(policy, kept.get(policy.name), now) for policy in policies.values()]
        return self._timed([*gone, *begun])

    def _begin(self, policy: GroupPolicy, stored: StoredGroup | None, now: float) -> GroupOutcome:
        if stored is not None:
            group, outcome = Group.restore(
                policy, stored, self._spis, self._entropy, self._wall, now
            )
        else:
            group, outcome = Group.create(policy, self._spis, self._entropy, self._wall, now)
        group.cost = self._cost
        self.by_name[policy.name] = group
        return outcome

    def reload(self, policies: Mapping[str, GroupPolicy], now: float) -> list[GroupOutcome]:
        """Take over changed policies."""
        gone = [
            self.by_name.pop(name).end(now) for name in list(self.by_name) if name not in policies
        ]
        return self._timed([*gone, *(self._take_over(new, now) for new in policies.values())])

    def _take_over(self, policy: GroupPolicy, now: float) -> GroupOutcome:
        group = self.by_name.get(policy.name)
        if group is None:
            return self._begin(policy, None, now)
        return group.replace_policy(policy, now)

    def plan(self, policies: Mapping[str, GroupPolicy]) -> Iterator[PolicyChange]:
        """Say what `reload` will do, group by group."""
        for name, group in list(self.by_name.items()):
            if name not in policies:
                yield PolicyChange(name, len(group.members), ends=True)
        for name, new in policies.items():
            known = self.by_name.get(name)
            yield known.plan(new) if known is not None else PolicyChange(name, 0, begins=True)

    def command(self, order: GroupCommand, now: float) -> list[GroupOutcome]:
        """Carry out an operator's order.  Raises `LocalError`, and then nothing has changed."""
        group = self._named(order.group)
        if isinstance(order, RekeyGroup):
            return self._timed([group.rekey(now)])
        if isinstance(order, Exclude):
            done = group.order_exclusion(
                order.kind,
                order.names,
                now,
                order.by,
                about=order.about,
                immediate=order.immediate,
                found=order.found,
            )
            event: Event = OperatorExcluded(
                group.name, order.kind, order.names, order.by, order.about
            )
        else:
            done = group.lift_exclusion(order.kind, order.names)
            event = OperatorReadmitted(group.name, order.kind, order.names, order.by)
        return self._timed([GroupOutcome(events=(event,)), done])

    def _named(self, name: str) -> Group:
        group = self.by_name.get(name)
        if group is None:
            known = ", ".join(self.by_name) or "none at all"
            raise LocalError(f"there is no group {name}; there is {known}")
        return group

    def wake(self, at: float) -> None:
        """Note that a group has something to do at that time."""
        self.next_timeout = min(self.next_timeout, at)

    def handle_timeout(self, now: float) -> list[GroupOutcome]:
        """Let every group that is due do its work."""
        if now < self.next_timeout:
            return []
        due = [group for group in self.by_name.values() if group.next_timeout <= now]
        return self._timed([group.handle_timeout(now) for group in due])

    def _timed(self, outcomes: list[GroupOutcome]) -> list[GroupOutcome]:
        self.next_timeout = min((g.next_timeout for g in self.by_name.values()), default=inf)
        return outcomes


def _removed(name: str, members: int) -> GroupOutcome:
    return GroupOutcome((GroupRemoved(name),), (), (GroupEnded(name, members),))
