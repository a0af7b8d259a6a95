"""The state of one group: plain data that only journal entries change.

`GroupState.apply` is the only mutation.  A decision records what it decides as
entries, which are applied at once; loading a store, a restart and a second key server
that follows the journal apply the same entries by the same function.  So the memory
can't hold anything that the journal doesn't.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any, Final

from gcks.journal import (
    AuthKeySaved,
    ExclusionLifted,
    ExclusionSaved,
    GroupRemoved,
    JournalEntry,
    MemberRemoved,
    MemberSaved,
    MembersRemoved,
    MessageIdReserved,
    RekeyMessageSaved,
    SaDeleted,
    SaSaved,
    SenderIdsReserved,
    SpisReserved,
    StaleLeavesSaved,
    StepPlanned,
    TermsSaved,
    TreeNodesRemoved,
    TreeNodesSaved,
)
from gcks.keyserver.groups.exclusions import Exclusions
from gcks.keyserver.groups.key_tree import KeyTree, NodeKey, Place
from gcks.keyserver.groups.membership import Membership
from gcks.keyserver.groups.sa_set import SaSet
from gcks.keyserver.groups.spi import SpiPool
from gcks.keyserver.groups.terms import tree_key_octets

Entropy = Callable[[int], bytes]


class GroupState:
    """What the journal says of one group.  Read it freely; change it by `apply` alone."""

    __slots__ = (
        "_entropy", "_spis", "auth_key", "auth_key_made_at", "exclusions", "members", "name",
        "next_message_ids", "next_sender_id", "rekeys", "revision", "sas", "stale_leaves", "steps",
        "terms", "tree",
    )  # fmt: skip

    def __init__(self, name: str, spis: SpiPool, entropy: Entropy) -> None:
        """`spis` is told which SPIs are taken; `entropy` is for keys of the tree to come."""
        self.name, self._spis, self._entropy = name, spis, entropy
        self.revision = 0
        """Another one when SAs have changed: what was made of them is out of date."""
        self.members = Membership()
        self.exclusions = Exclusions(name)
        """Whom the operator has shut out."""
        self._clear()

    def _clear(self) -> None:
        self.revision += 1
        self.terms: TermsSaved | None = None
        self.auth_key: AuthKeySaved | None = None
        self.auth_key_made_at = inf
        """Monotonic seconds."""
        self.sas = SaSet()
        self.next_message_ids: dict[bytes, int] = {}
        """By the SPIs of Rekey SAs."""
        self.next_sender_id = 0
        self.rekeys: list[RekeyMessageSaved] = []
        """Messages whose copies may not all be out, and the newest one, the oldest first."""
        self.tree: KeyTree | None = None
        self.stale_leaves: set[int] = set()
        """Leaves whose members are gone, and above which the keys are not changed yet."""
        self.steps: dict[str, float] = {}
        """What is planned (`steps`), and when: monotonic seconds."""

    def apply(self, entry: JournalEntry, shift: float) -> None:
        """Change the state as an entry says; `shift` makes monotonic seconds of POSIX ones."""
        _APPLY[type(entry)](self, entry, shift)

    @property
    def next_message_id(self) -> int:
        """The Message ID of the next GSA_REKEY; 0 without a Rekey SA."""
        rekey = self.sas.rekey
        return self.next_message_ids.get(rekey.spi, 0) if rekey is not None else 0

    @property
    def wants_tree_change(self) -> bool:
        """Tell whether a message has something to change in the key tree."""
        return self.tree is not None and (bool(self.stale_leaves) or self.tree.lacks_keys)

    # --- entries ------------------------------------------------------------------------

    def _group_removed(self, _: GroupRemoved, __: float) -> None:
        for spi in self.sas.spis:
            self._spis.release(spi)
        self.members.clear()
        self.exclusions.clear()
        self._clear()

    def _terms_saved(self, entry: TermsSaved, _: float) -> None:
        before, self.terms = self.terms, entry
        octets = tree_key_octets(entry)
        if before is None or octets != tree_key_octets(before):
            self.tree = KeyTree(octets, self._entropy) if octets is not None else None

    def _auth_key_saved(self, entry: AuthKeySaved, shift: float) -> None:
        self.auth_key, self.auth_key_made_at = entry, entry.made_at + shift

    def _sa_saved(self, entry: SaSaved, shift: float) -> None:
        self.revision += 1
        self._spis.claim(entry.spi)
        self.sas.saved(entry, shift)

    def _sa_deleted(self, entry: SaDeleted, _: float) -> None:
        self.revision += 1
        self._spis.release(entry.spi)
        self.sas.deleted(entry)
        self.next_message_ids.pop(entry.spi, None)

    def _spis_reserved(self, entry: SpisReserved, _: float) -> None:
        self.revision += 1
        self._spis.claim(entry.spi)
        self.sas.reserved(entry)

    def _message_id_reserved(self, entry: MessageIdReserved, _: float) -> None:
        self.next_message_ids[entry.spi] = entry.next_message_id

    def _sender_ids_reserved(self, entry: SenderIdsReserved, _: float) -> None:
        self.next_sender_id = entry.next_sender_id

    def _rekey_message_saved(self, entry: RekeyMessageSaved, _: float) -> None:
        """What is out before it is forgotten, and an earlier record of the same message."""
        same = entry.spi, entry.message_id
        kept = [m for m in self.rekeys if m.datagrams and (m.spi, m.message_id) != same]
        self.rekeys = [*kept, entry]

    def _member_saved(self, entry: MemberSaved, _: float) -> None:
        self.members.put(entry)

    def _member_removed(self, entry: MemberRemoved, _: float) -> None:
        self.members.remove(entry.identity)

    def _members_removed(self, _: MembersRemoved, __: float) -> None:
        self.members.clear()
        self.stale_leaves = set()
        if self.tree is not None:
            self.tree = self.tree.emptied()

    def _tree_nodes_saved(self, entry: TreeNodesSaved, _: float) -> None:
        if self.tree is not None:
            self.tree.put([NodeKey._make(node) for node in entry.nodes])

    def _tree_nodes_removed(self, entry: TreeNodesRemoved, _: float) -> None:
        if self.tree is not None:
            self.tree.remove(map(Place._make, entry.places))

    def _stale_leaves_saved(self, entry: StaleLeavesSaved, _: float) -> None:
        self.stale_leaves = set(entry.leaves)

    def _exclusion_saved(self, entry: ExclusionSaved, _: float) -> None:
        self.exclusions.put(entry)

    def _exclusion_lifted(self, entry: ExclusionLifted, _: float) -> None:
        self.exclusions.remove(entry)

    def _step_planned(self, entry: StepPlanned, shift: float) -> None:
        if entry.at < inf:
            self.steps[entry.step] = entry.at + shift
        else:
            self.steps.pop(entry.step, None)


_APPLY: Final[Mapping[type, Callable[[GroupState, Any, float], None]]] = {
    AuthKeySaved: GroupState._auth_key_saved,
    ExclusionLifted: GroupState._exclusion_lifted,
    ExclusionSaved: GroupState._exclusion_saved,
    GroupRemoved: GroupState._group_removed,
    MemberRemoved: GroupState._member_removed,
    MemberSaved: GroupState._member_saved,
    MembersRemoved: GroupState._members_removed,
    MessageIdReserved: GroupState._message_id_reserved,
    RekeyMessageSaved: GroupState._rekey_message_saved,
    SaDeleted: GroupState._sa_deleted,
    SaSaved: GroupState._sa_saved,
    SenderIdsReserved: GroupState._sender_ids_reserved,
    SpisReserved: GroupState._spis_reserved,
    StaleLeavesSaved: GroupState._stale_leaves_saved,
    StepPlanned: GroupState._step_planned,
    TermsSaved: GroupState._terms_saved,
    TreeNodesRemoved: GroupState._tree_nodes_removed,
    TreeNodesSaved: GroupState._tree_nodes_saved,
}


def fold(
    entries: Iterable[JournalEntry], shift: float, spis: SpiPool, entropy: Entropy
) -> dict[str, GroupState]:
    """Return the states that entries leave behind, by the names of groups.

    A group that was removed, and didn't begin again, is none of them.
    """
    states: dict[str, GroupState] = {}
    for entry in entries:
        state = states.get(entry.group)
        if state is None:
            state = states[entry.group] = GroupState(entry.group, spis, entropy)
        state.apply(entry, shift)
        if type(entry) is GroupRemoved:
            del states[entry.group]
    return states
