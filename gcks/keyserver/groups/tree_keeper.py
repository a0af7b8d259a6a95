"""The key tree of one group, its journal, and whose paths are still to be renewed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from gcks.journal import JournalEntry, StaleLeavesSaved, TreeNodesRemoved, TreeNodesSaved
from gcks.keyserver.groups.key_tree import KeyTree, NodeKey, TreeChange

NO_LEAF: Final = -1
"""Of members that are in no tree."""
MAX_WRAPPED_KEYS: Final = 1000
"""In one message: some 52 octets each, of the 65,535 that an IKE payload has."""
MAX_STALE_LEAVES: Final = 256
"""Members that have left and still know their paths: more are not waited for."""


@dataclass(frozen=True, slots=True)
class MemberKeys:
    """What one member gets of the tree at registration (appendix A.2)."""

    path: tuple[tuple[int, bytes], ...] = field(repr=False)
    """Key ID and key, its own first; the last wraps the Rekey SA's SA_KEY."""


class TreeKeeper:
    """A `KeyTree` whose every change is journaled."""

    __slots__ = ("_group", "_unsettled", "stale", "tree")

    def __init__(self, group: str, key_octets: int, entropy: Callable[[int], bytes]) -> None:
        self._group = group
        self.tree = KeyTree(key_octets, entropy)
        self.stale: set[int] = set()
        """Leaves whose members are gone and still know the keys above them."""
        self._unsettled: set[int] = set()
        """Those whose members still know the Data-Security SAs: a killed server begins again."""

    @property
    def wants_change(self) -> bool:
        """Tell whether a message has something to change in the tree."""
        return bool(self.stale) or self.tree.lacks_keys

    def restore(self, nodes: Iterable[NodeKey], stale: Iterable[int]) -> None:
        """Go on with what was kept."""
        self.tree.restore(nodes)
        self.stale = set(stale)

    def clear(self) -> None:
        """Begin with an empty tree: nobody is a member any more, and no key is used again."""
        self.tree = self.tree.emptied()
        self.stale, self._unsettled = set(), set()

    def seat(self, leaf: int) -> tuple[int, list[JournalEntry]]:
        """Return the leaf of a member that registers, again or for the first time."""
        if self.tree.has(leaf):
            return leaf, []
        leaf, new = self.tree.join()
        return leaf, [TreeNodesSaved(self._group, new)]

    def keys_of(self, leaf: int) -> MemberKeys:
        """Return the keys from a leaf upwards."""
        return MemberKeys(tuple(self.tree.path(leaf)))

    def unseat(self, leaf: int) -> list[JournalEntry]:
        """Take a member out of the tree; the keys above it go with the next change."""
        if not self.tree.has(leaf):
            return []
        gone = self.tree.leave(leaf)
        self.stale.add(leaf)
        return [
            TreeNodesRemoved(self._group, tuple((one.height, one.number) for one in gone)),
            self._stale_saved(),
        ]

    def change(self) -> tuple[TreeChange, list[JournalEntry]]:
        """Renew the keys above as many stale leaves as one message has room for."""
        batch = sorted(self.stale)[:MAX_WRAPPED_KEYS]
        while len(batch) > 1 and (cost := self.tree.cost(batch)) > MAX_WRAPPED_KEYS:
            batch = batch[: max(1, min(len(batch) - 1, len(batch) * MAX_WRAPPED_KEYS // cost))]
        self.stale -= set(batch)
        self._unsettled |= set(batch)
        change = self.tree.renew(batch)
        return change, [TreeNodesSaved(self._group, change.saved)]

    def settled(self) -> list[JournalEntry]:
        """Note that the Data-Security SAs are renewed: nobody who is gone knows anything."""
        if not self._unsettled:
            return []
        self._unsettled.clear()
        return [self._stale_saved()]

    def _stale_saved(self) -> StaleLeavesSaved:
        return StaleLeavesSaved(self._group, tuple(sorted(self.stale | self._unsettled)))
