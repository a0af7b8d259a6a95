"""What a data plane has to do where a group's holding takes the place of another.

There is no other source of its commands: what is held and what is installed can't drift
apart.  The order is that of make before break: first new SAs, then sending on them, then
the removals.
"""

from __future__ import annotations

from collections.abc import Iterator

from gcks.member.data_plane import (
    ActivateSa,
    DataPlaneCommand,
    JoinMulticast,
    LeaveMulticast,
    RemoveSa,
)
from gcks.member.held_sas import DataSa
from gcks.member.holding import Holding
from gcks.member.opening import SaKey

_Address = tuple[str, int, str | None]


def commands_between(group: str, before: Holding, after: Holding) -> Iterator[DataPlaneCommand]:
    """Yield what leads from one holding to the other."""
    if before is after:
        return
    old = {sa.key: sa for sa in before.data_sas}
    new = {sa.key: sa for sa in after.data_sas}
    yield from _installs(group, old, new)
    yield from _activations(group, old, new)
    yield from (RemoveSa(group, *key) for key in old if key not in new)
    yield from _memberships(group, before, after)


def _installs(
    group: str, old: dict[SaKey, DataSa], new: dict[SaKey, DataSa]
) -> Iterator[DataPlaneCommand]:
    for key, sa in new.items():
        if key not in old:
            yield sa.install
        elif old[key].install != sa.install:
            yield RemoveSa(group, *key)
            yield sa.install


def _activations(
    group: str, old: dict[SaKey, DataSa], new: dict[SaKey, DataSa]
) -> Iterator[DataPlaneCommand]:
    """Begin to send on SAs, and say which ones they take over from: each of those once."""
    stopped = [sa for key, sa in old.items() if sa.active and not (key in new and new[key].active)]
    for key, sa in new.items():
        if not sa.active or (key in old and old[key].active and old[key].install == sa.install):
            continue
        replaced = [
            other
            for other in stopped
            if other.selectors == sa.selectors
            and other.install.protocol == sa.install.protocol
            and other.key != key
        ]
        stopped = [other for other in stopped if other not in replaced]
        yield ActivateSa(group, *key, replaces=tuple(other.install.spi for other in replaced))


def _memberships(group: str, before: Holding, after: Holding) -> Iterator[DataPlaneCommand]:
    """Join and leave the multicast groups that rekeys are sent to: several SAs may share one."""
    old, new = _joins(before), _joins(after)
    yield from (join for address, join in new.items() if address not in old)
    for host, port, interface in old:
        if (host, port, interface) not in new:
            yield LeaveMulticast(group, host, port, interface)


def _joins(holding: Holding) -> dict[_Address, JoinMulticast]:
    return {(sa.join.address, sa.join.port, sa.join.interface): sa.join for sa in holding.rekey_sas}
