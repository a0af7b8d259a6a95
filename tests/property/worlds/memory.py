"""What a group has in memory beside what its journal says: the one place that looks inside.

Where a group becomes plain data that only journal entries change, this becomes one comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from gcks.journal import StoredGroup
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.key_tree import KeyTree, NodeKey
from gcks.keyserver.groups.restoring import terms_of
from gcks.keyserver.groups.sa_set import REKEY
from tests.property.worlds.broken import hold

View = dict[str, object]


def check_memory(
    groups: Mapping[str, Group], stored: Mapping[str, StoredGroup], now: float
) -> None:
    """Hold every group against its journal."""
    hold(set(groups) == set(stored), "memory", f"groups: {set(groups)} and {set(stored)}")
    for name, group in groups.items():
        memory, journal = _remembered(group), _folded(group, stored[name])
        for what, value in memory.items():
            if value != journal[what]:
                hold(False, "memory", f"{name} {what}: {_difference(value, journal[what])}")
        _check_plans(group, stored[name])


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


def _remembered(group: Group) -> View:
    tree, signer = group._tree, group._signer
    live = [*group.sas.current.values(), *group.sas.replaced]
    return {
        "sas": {sa.spi: sa.saved(group.name) for sa in live},
        "next SPIs": dict(group.sas.next_spis),
        "next Message ID": group.next_message_id if REKEY in group.sas.current else 0,
        "next Sender-ID": group.sender_ids.next,
        "members": {
            name: (
                one.address, one.sender_ids, one.sag, one.registered_at, one.reassembles,
                one.certificate_ends, one.certificates, one.leaf, one.sender,
            )
            for name, one in group.members.items()
        },
        "tree": tree and {
            name: list(tree.tree.path(one.leaf))
            for name, one in group.members.items()
            if one.leaf >= 0
        },
        "stale leaves": set() if tree is None else tree.stale | tree._unsettled,
        "exclusions": {(one.kind, one.name): one for one in group.exclusions},
        "terms": terms_of(group.policy),
        "auth key": signer and (signer.key.to_pkcs8(), group._auth_key_made_at),
    }  # fmt: skip


def _folded(group: Group, stored: StoredGroup) -> View:
    rekey = next((sa.spi for sa in stored.sas if sa.name == REKEY and not sa.retired), b"")
    saved = stored.auth_key if group._signer is not None else None
    return {
        "sas": {sa.spi: sa for sa in stored.sas},
        "next SPIs": {one.name: one.spi for one in stored.reserved_spis},
        "next Message ID": next(
            (one.next_message_id for one in stored.next_message_ids if one.spi == rekey), 0
        ),
        "next Sender-ID": stored.next_sender_id,
        "members": {
            one.identity: (
                one.address, one.sender_ids, one.sag, one.registered_at, one.reassembles,
                one.certificate_ends, one.certificates, one.leaf, one.sender,
            )
            for one in stored.members
        },
        "tree": _folded_tree(group, stored),
        "stale leaves": set(stored.stale_leaves),
        "exclusions": {(one.kind, one.name): one for one in stored.exclusions},
        "terms": stored.terms,
        "auth key": saved and (saved.private_key, saved.made_at),
    }  # fmt: skip


def _folded_tree(group: Group, stored: StoredGroup) -> object:
    if group._tree is None:
        hold(not stored.tree, "memory", f"{group.name}: a key tree that only the journal has")
        return None
    tree = KeyTree(group._tree.tree.key_octets, bytes)
    tree.restore(map(NodeKey._make, stored.tree))
    return {one.identity: list(tree.path(one.leaf)) for one in stored.members if one.leaf >= 0}


def _check_plans(group: Group, stored: StoredGroup) -> None:
    """What is to be done because somebody is gone survives a restart."""
    planned = group._renew_data_at < inf
    known = stored.renewal_due or bool(stored.stale_leaves)
    hold(known or not planned, "memory", f"{group.name}: only memory knows of a renewal")
    hold(planned or not stored.renewal_due, "memory", f"{group.name}: a renewal is forgotten")
    grown = group._tree is not None and group._tree.tree.lacks_keys
    hold(
        group._shut_out_at == inf or stored.stale_leaves or grown,
        "memory",
        f"{group.name}: only memory knows who is to be shut out",
    )
