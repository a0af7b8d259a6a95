"""What a group has in memory is the fold of its journal."""

from __future__ import annotations

from collections.abc import Mapping, Set

from gcks.keyserver.groups.group import Group
from tests.property.worlds.broken import hold
from tests.support.group_pictures import model_picture, picture
from tests.support.memory_store import StoredGroup


def check_memory(
    groups: Mapping[str, Group], waiting: Set[str], stored: Mapping[str, StoredGroup]
) -> None:
    """Hold every group against its journal; what waits for its own has no memory."""
    told = f"groups: {set(groups)}, {waiting} and {set(stored)}"
    hold(set(groups) | (waiting & set(stored)) == set(stored), "memory", told)
    for name, group in groups.items():
        memory, journal = picture(group.state), model_picture(stored[name])
        for what, value in memory.items():
            if value != journal[what]:
                hold(False, "memory", f"{name} {what}: {_difference(value, journal[what])}")


def _difference(memory: object, journal: object) -> str:
    """Say where two views differ, without the keys in them."""
    if not (isinstance(memory, dict) and isinstance(journal, dict)):
        return "not the same"
    places = sorted(memory.keys() | journal.keys(), key=str)
    told = []
    for place in (place for place in places if memory.get(place) != journal.get(place)):
        name = place.hex() if isinstance(place, bytes) else place
        if place not in journal:
            told.append(f"{name} in memory alone")
        else:
            told.append(f"{name} {'is another' if place in memory else 'in the journal alone'}")
    return ", ".join(told)


def check_timers(groups: Mapping[str, Group], now: float) -> None:
    """Nothing that was due is still to be done."""
    for name, group in groups.items():
        hold(group.next_timeout > now - 0.001, "timers", f"{name} was due at {group.next_timeout}")
