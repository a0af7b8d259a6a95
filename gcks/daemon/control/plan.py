"""What a reload will do, in words: from configurations and `PolicyChange` to `PlanView`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import fields
from time import monotonic
from typing import Final

from gcks.daemon.config.loaded import ServerConfig
from gcks.daemon.control.views import GroupPlan, LockedOut, PlanView
from gcks.keyserver.groups.policy_change import PolicyChange

NEEDS_RESTART: Final = {
    "listeners": "listen", "store_path": "store.path", "master_key": "store.master_key",
    "metrics": "metrics", "control": "control",
}  # fmt: skip
"""What can't change while the server runs: field of the configuration -> its key in the file."""
_SECONDS: Final = "{:g} s"
_SLICE_SECONDS: Final = 0.01


def needs_restart(old: ServerConfig, new: ServerConfig) -> list[str]:
    """Name the keys that only a restart can change."""
    return [key for name, key in NEEDS_RESTART.items() if getattr(old, name) != getattr(new, name)]


async def in_slices(changes: Iterator[PolicyChange]) -> tuple[PolicyChange, ...]:
    """Let datagrams be answered between two groups; there may be a thousand."""
    taken: list[PolicyChange] = []
    until = monotonic() + _SLICE_SECONDS
    for change in changes:
        taken.append(change)
        if monotonic() >= until:
            await asyncio.sleep(0)
            until = monotonic() + _SLICE_SECONDS
    return tuple(taken)


def plan_view(
    old: ServerConfig, new: ServerConfig, changes: tuple[PolicyChange, ...], name: str
) -> PlanView:
    """Describe everything that a reload with `new` does."""
    restart = needs_restart(old, new)
    settings = [
        setting.name
        for setting in fields(new.settings)
        if getattr(old.settings, setting.name) != getattr(new.settings, setting.name)
    ]
    return PlanView(
        config=name,
        usable=not restart,
        needs_restart=restart,
        server=settings,
        groups=[_group(change) for change in changes],
    )


def _group(change: PolicyChange) -> GroupPlan:
    return GroupPlan(
        group=change.group,
        members=change.members,
        effects=effects(change),
        begins=change.begins,
        ends=change.ends,
        starts_over=list(change.starts_over),
        created=_names(change.created),
        renewed=_names(change.renewed),
        dropped=_names(change.dropped),
        grace_seconds=change.grace_seconds,
        excluded=list(change.excluded),
        locked_out=[LockedOut(identity=name, lacks=what) for name, what in change.locked_out],
        unknown=change.unknown,
        options=list(change.options),
    )


def _names(names: tuple[str, ...]) -> list[str]:
    return [name or "rekey" for name in names]


def effects(change: PolicyChange) -> list[str]:
    """Say in words what happens to a group, the worst first; nothing: an empty list."""
    if change.ends:
        return [f"the group ends: {change.members} members are told to delete all its SAs"]
    if change.begins:
        return ["the group begins"]
    effects: list[str] = []
    if change.starts_over:
        why = "; ".join(change.starts_over)
        effects.append(f"all {change.members} members have to register again: {why}")
    if change.excluded:
        effects.append(f"{len(change.excluded)} members are excluded: {_some(change.excluded)}")
    if change.locked_out:
        first = change.locked_out[0]
        effects.append(
            f"{len(change.locked_out)} members can't follow, such as {first[0]}: {first[1]}"
        )
    renewed = (("renewed", change.renewed), ("new", change.created), ("deleted", change.dropped))
    told = [f"{what} {', '.join(_names(names))}" for what, names in renewed if names]
    if told:
        effects.append(f"rekey: {'; '.join(told)}")
        grace = _SECONDS.format(change.grace_seconds)
        effects.append(f"grace period: what is replaced is accepted for {grace} more")
    quiet = [option for option in change.options if not option.startswith(("data_sas.", "rekey."))]
    if quiet:
        effects.append(f"without any message: {', '.join(quiet)}")
    return effects


def _some(names: tuple[str, ...], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
