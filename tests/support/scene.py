"""A group with many members in a world, and what an operator does to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gcks.events import Registered, Reregistering
from gcks.keyserver.commands import RekeyGroup, Reload
from gcks.keyserver.groups.departing import leave
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.key_tree import KeyTree
from gcks.keyserver.groups.policy import LKH, SIMPLE, GroupPolicy
from tests.support.world import PSK, World, group_policy, keys_of, state

TREE = replace(group_policy(), key_management=LKH)
SOON = 10.0
"""Longer than window, spread and ATD."""


class Scene:
    """A group with many members; a reload changes its policy."""

    def __init__(self, policy: GroupPolicy = TREE, members: int = 20, **options: object) -> None:
        self.policy = policy
        self.world = World(groups=(policy,), **options)  # type: ignore[arg-type]
        self.members = [self.world.member(f"gm{n}", at=n * 0.01) for n in range(members)]
        self.run(30.0)
        assert {state(one) for one in self.members} == {"registered"}

    @property
    def now(self) -> float:
        return self.world.network.now

    @property
    def group(self) -> Group:
        return self.world.server.groups["keyid:demo"]

    @property
    def tree(self) -> KeyTree:
        tree = self.group.state.tree
        assert tree is not None
        return tree

    def run(self, seconds: float) -> None:
        self.world.run(self.now + seconds)

    def reload(self, **changes: object) -> None:
        self.policy = replace(self.policy, **changes)  # type: ignore[arg-type]
        network = self.world.network
        self.world.groups = (self.policy,)
        command = Reload(self.world.settings, PSK, {self.policy.name: self.policy})
        network.server_did(self.world.server.command(command, self.now))

    def rekey(self) -> None:
        network = self.world.network
        outcome = self.world.server.command(RekeyGroup("keyid:demo"), self.now)
        network.server_did(outcome)

    def leave(self, number: int) -> None:
        """Let a member leave that will not hear what follows."""
        self.members[number].deaf = True
        self.world.decide(leave, f"fqdn:gm{number}.dev", "left")

    def exclude(self, *numbers: int) -> None:
        names = tuple(f"fqdn:gm{number}.dev" for number in numbers)
        self.reload(excluded=(*self.policy.excluded, *names))

    def events(self, kind: type) -> list:  # type: ignore[type-arg]
        assert self.world.network.server is not None
        return self.world.network.server.all(kind)

    @property
    def current(self) -> set[tuple[bytes, bytes]]:
        return {(sa.spi, sa.keymat) for sa in self.group.sas.data}

    def check(self, out: Sequence[int], *, undisturbed: bool = True) -> None:
        """Those in `out` have none of the current keys, all others have them."""
        rekey = self.group.sas.rekey
        for number, member in enumerate(self.members):
            holding = member.engine.groups[0].holding
            knows_rekey = (
                holding.current_rekey is not None and holding.current_rekey.spi == rekey.spi
            )
            if number in out:
                assert not self.current & keys_of(member), number
                assert not knows_rekey
            else:
                assert self.current <= keys_of(member), number
                assert knows_rekey
                assert state(member) == "registered"
                if undisturbed:
                    assert len(member.all(Registered)) == 1, "went on without registering again"
                    assert not member.all(Reregistering)


def scene_of(management: str = SIMPLE, members: int = 6, **changes: object) -> Scene:
    """Return a scene with this key management and these changes to its policy."""
    return Scene(replace(TREE, key_management=management, **changes), members=members)  # type: ignore[arg-type]
