"""Who sits where in a group's key tree, and what one message changes (RFC 9838 section 3.2)."""

from __future__ import annotations

from typing import Final

from gcks.journal import StaleLeavesSaved, TreeNodesRemoved, TreeNodesSaved
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.key_tree import KeyTree, TreeChange
from gcks.keyserver.groups.state import GroupState

MAX_WRAPPED_KEYS: Final = 1000
"""In one message: some 52 octets each, of the 65,535 that an IKE payload has."""
MAX_STALE_LEAVES: Final = 256
"""Members that have left and still know their paths: more are not waited for."""


def seat(decision: Decision, tree: KeyTree, leaf: int) -> int:
    """Return the leaf of a member that registers, again or for the first time."""
    if tree.has(leaf):
        return leaf
    leaf, nodes = tree.leaf_for_newcomer()
    decision.record(TreeNodesSaved(decision.name, nodes))
    return leaf


def unseat(decision: Decision, leaf: int) -> None:
    """Take a member out of the tree; the keys above it go with the next change."""
    state = decision.state
    if state.tree is None or not state.tree.has(leaf):
        return
    decision.record(
        TreeNodesRemoved(decision.name, state.tree.nodes_without(leaf)),
        _stale_saved(state, state.stale_leaves | {leaf}),
    )


def change_tree(decision: Decision, tree: KeyTree) -> TreeChange:
    """Renew the keys above as many stale leaves as one message has room for."""
    stale = decision.state.stale_leaves
    batch = sorted(stale)[:MAX_WRAPPED_KEYS]
    while len(batch) > 1 and (cost := tree.cost(batch)) > MAX_WRAPPED_KEYS:
        batch = batch[: max(1, min(len(batch) - 1, len(batch) * MAX_WRAPPED_KEYS // cost))]
    change = tree.renewal(batch)
    decision.record(TreeNodesSaved(decision.name, change.saved))
    if batch:
        decision.record(_stale_saved(decision.state, stale - set(batch)))
    return change


def _stale_saved(state: GroupState, leaves: set[int]) -> StaleLeavesSaved:
    return StaleLeavesSaved(state.name, tuple(sorted(leaves)))
