"""What a group has in memory is the fold of its journal."""

from __future__ import annotations

from collections.abc import Mapping, Set

from gcks.keyserver.groups.group import Group
from tests.property.worlds.broken import hold
from tests.support.group_pictures import memory_differences
from tests.support.memory_store import StoredGroup


def check_memory(
    groups: Mapping[str, Group], waiting: Set[str], stored: Mapping[str, StoredGroup]
) -> None:
    """Hold every group against its journal."""
    differences = memory_differences(groups, waiting, stored)
    hold(not differences, "memory", "; ".join(differences))


def check_timers(groups: Mapping[str, Group], now: float) -> None:
    """Nothing that was due is still to be done."""
    for name, group in groups.items():
        hold(group.next_timeout > now - 0.001, "timers", f"{name} was due at {group.next_timeout}")
