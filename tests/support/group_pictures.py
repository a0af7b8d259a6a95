"""What a group's state holds, as plain values that can be compared."""

from __future__ import annotations

from math import inf
from typing import Any

from gcks.keyserver.groups.key_tree import KeyTree, NodeKey
from gcks.keyserver.groups.membership import NO_LEAF
from gcks.keyserver.groups.state import GroupState
from gcks.keyserver.groups.terms import tree_key_octets
from tests.support.memory_store import StoredGroup

DIGITS = 3
"""Of times: a moment in POSIX seconds has some seven."""


def picture(state: GroupState) -> dict[str, Any]:
    """Return all that a state holds; monotonic times as POSIX ones are left to SAs' own."""
    sas = state.sas
    tree = state.tree
    return {
        "terms": state.terms,
        "auth key": state.auth_key,
        "current": {name: (sa.spi, sa.keymat) for name, sa in sas.current.items()},
        "replaced": {sa.spi: sa.keymat for sa in sas.replaced},
        "next SPIs": sas.next_spis,
        "next Message IDs": state.next_message_ids,
        "next Sender-ID": state.next_sender_id,
        "messages": [(m.spi, m.message_id, m.datagrams) for m in state.rekeys],
        "members": {name: tuple(member) for name, member in state.members.items()},
        "paths": _paths(tree, (member.leaf for _, member in state.members.items())),
        "stale leaves": state.stale_leaves,
        "exclusions": {(entry.kind, entry.name): entry for entry in state.exclusions},
        "steps": set(state.steps),
    }


def _paths(tree: KeyTree | None, leaves: Any) -> dict[int, list[tuple[int, bytes]]] | None:
    if tree is None:
        return None
    return {leaf: tree.path(leaf) for leaf in leaves if leaf != NO_LEAF}


def model_picture(stored: StoredGroup) -> dict[str, Any]:
    """Return the same of the second model."""
    assert stored.terms is not None
    octets = tree_key_octets(stored.terms)
    tree = None
    if octets is not None:
        tree = KeyTree(octets, bytes)
        tree.put([NodeKey._make(node) for node in stored.tree])
    else:
        assert not stored.tree and not stored.stale_leaves
    names = {sa.name for sa in stored.sas if sa.retire_at == inf}
    current = {sa.name: (sa.spi, sa.keymat) for sa in stored.sas if sa.retire_at == inf}
    assert len(names) == sum(sa.retire_at == inf for sa in stored.sas)
    taken = {sa.spi for sa in stored.sas}
    return {
        "terms": stored.terms,
        "auth key": stored.auth_key,
        "current": current,
        "replaced": {sa.spi: sa.keymat for sa in stored.sas if sa.retire_at < inf},
        "next SPIs": {r.name: r.spi for r in stored.reserved_spis if r.spi not in taken},
        "next Message IDs": {r.spi: r.next_message_id for r in stored.next_message_ids},
        "next Sender-ID": stored.next_sender_id,
        "messages": [(m.spi, m.message_id, m.datagrams) for m in stored.rekeys],
        "members": {member.identity: tuple(_kept(member)) for member in stored.members},
        "paths": _paths(tree, (member.leaf for member in stored.members)),
        "stale leaves": set(stored.stale_leaves),
        "exclusions": {(entry.kind, entry.name): entry for entry in stored.exclusions},
        "steps": set(stored.steps),
    }


def _kept(member: Any) -> tuple[Any, ...]:
    return (
        member.address, member.sender_ids, member.sag, member.registered_at, member.reassembles,
        member.certificate_ends, member.certificates, member.leaf, member.sender, member.inband,
    )  # fmt: skip
