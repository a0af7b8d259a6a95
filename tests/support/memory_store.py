"""A second model of the journal, written without the product's: what is left of each group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

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


@dataclass(frozen=True)
class StoredGroup:
    """What is left of one group."""

    group: str
    sas: tuple[SaSaved, ...] = ()
    reserved_spis: tuple[SpisReserved, ...] = ()
    next_message_ids: tuple[MessageIdReserved, ...] = ()
    next_sender_id: int = 0
    rekeys: tuple[RekeyMessageSaved, ...] = ()
    auth_key: AuthKeySaved | None = None
    members: tuple[MemberSaved, ...] = ()
    terms: TermsSaved | None = None
    tree: tuple[tuple[int, int, int, bytes], ...] = ()
    stale_leaves: tuple[int, ...] = ()
    exclusions: tuple[ExclusionSaved, ...] = ()
    steps: dict[str, float] = field(default_factory=dict)


@dataclass
class _Group:
    sas: dict[tuple[int, bytes], SaSaved] = field(default_factory=dict)
    spis: dict[str, SpisReserved] = field(default_factory=dict)
    message_ids: dict[bytes, MessageIdReserved] = field(default_factory=dict)
    next_sender_id: int = 0
    rekeys: list[RekeyMessageSaved] = field(default_factory=list)
    auth_key: AuthKeySaved | None = None
    terms: TermsSaved | None = None
    members: dict[str, MemberSaved] = field(default_factory=dict)
    tree: dict[tuple[int, int], tuple[int, int, int, bytes]] = field(default_factory=dict)
    stale: tuple[int, ...] = ()
    exclusions: dict[tuple[str, str], ExclusionSaved] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)

    def apply(self, entry: JournalEntry) -> None:
        match entry:
            case SaSaved():
                self.sas[entry.protocol, entry.spi] = entry
            case SaDeleted():
                self.sas.pop((entry.protocol, entry.spi), None)
                self.message_ids.pop(entry.spi, None)
            case SpisReserved():
                self.spis[entry.name] = entry
            case MessageIdReserved():
                self.message_ids[entry.spi] = entry
            case SenderIdsReserved():
                self.next_sender_id = entry.next_sender_id
            case RekeyMessageSaved():
                self.rekeys = [
                    one
                    for one in self.rekeys
                    if one.datagrams and (one.spi, one.message_id) != (entry.spi, entry.message_id)
                ]
                self.rekeys.append(entry)
            case AuthKeySaved():
                self.auth_key = entry
            case TermsSaved():
                self.terms = entry
            case MemberSaved():
                self.members[entry.identity] = entry
            case MemberRemoved():
                self.members.pop(entry.identity, None)
            case MembersRemoved():
                self.members.clear()
                self.tree.clear()
                self.stale = ()
            case TreeNodesSaved():
                self.tree.update({(node[0], node[1]): node for node in entry.nodes})
            case TreeNodesRemoved():
                for place in entry.places:
                    self.tree.pop(place, None)
            case StaleLeavesSaved():
                self.stale = entry.leaves
            case ExclusionSaved():
                self.exclusions[entry.kind, entry.name] = entry
            case ExclusionLifted():
                self.exclusions.pop((entry.kind, entry.name), None)
            case StepPlanned():
                self.steps.pop(entry.step, None)
                if entry.at < inf:
                    self.steps[entry.step] = entry.at

    def stored(self, name: str) -> StoredGroup:
        return StoredGroup(
            name,
            tuple(self.sas.values()),
            tuple(self.spis.values()),
            tuple(self.message_ids.values()),
            self.next_sender_id,
            tuple(self.rekeys),
            self.auth_key,
            tuple(self.members.values()),
            self.terms,
            tuple(self.tree[place] for place in sorted(self.tree)),
            self.stale,
            tuple(self.exclusions[key] for key in sorted(self.exclusions)),
            dict(self.steps),
        )


def replay(journal: Iterable[JournalEntry]) -> tuple[StoredGroup, ...]:
    """Return what is left of the journal's groups."""
    groups: dict[str, _Group] = {}
    for entry in journal:
        if isinstance(entry, GroupRemoved):
            groups.pop(entry.group, None)
        else:
            groups.setdefault(entry.group, _Group()).apply(entry)
    return tuple(group.stored(name) for name, group in groups.items())
