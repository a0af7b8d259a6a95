"""What the journal has said of every group, with the times: what the other checks go by.

Nothing in here looks into an engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from gcks.events import Event, MemberLeft
from gcks.group.counter_mode import uses_counter
from gcks.journal import (
    GroupRemoved,
    JournalEntry,
    MemberRemoved,
    MemberSaved,
    MembersRemoved,
    MessageIdReserved,
    SaDeleted,
    SaSaved,
    TreeNodesRemoved,
    TreeNodesSaved,
)
from gcks.keyserver.groups.departing import EXCLUDED
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.wire.gsa import GsaPolicy, decode_gsa_policy
from tests.property.worlds.broken import hold
from tests.property.worlds.policies import MOST_SPREAD_SECONDS, MOST_WINDOW_SECONDS

SHUT_OUT_SECONDS: Final = MOST_WINDOW_SECONDS + MOST_SPREAD_SECONDS + 2.0
"""By then the keys of who was shut out are replaced, if the server is there."""
DEGREE: Final = 4
"""Of the key tree."""


@dataclass
class SaLife:
    """One SA from its creation to its end."""

    group: str
    name: str
    spi: bytes
    keymat: bytes = field(repr=False)
    policy: GsaPolicy
    created_at: float
    used_at: float = inf
    """When the first member could use it."""
    replaced_at: float = inf
    over_at: float = inf


@dataclass
class Stay:
    """One time that somebody was a member."""

    begun_at: float
    floor: float
    """No key that others used before may become known by it."""
    ended_at: float = inf
    reads_until: float = inf
    """No key that is made later may become known."""
    shut_out: bool = False
    """Whether its keys have to be taken away."""


@dataclass
class GroupRecord:
    """One group since it was begun."""

    name: str
    sas: dict[bytes, SaLife] = field(default_factory=dict)
    stays: dict[str, list[Stay]] = field(default_factory=dict)
    nodes: dict[tuple[int, int], bytes] = field(default_factory=dict, repr=False)
    """The newest key of each node of the key tree."""
    numbered: dict[tuple[bytes, int], str] = field(default_factory=dict)
    """(SPI, Sender-ID) -> the registration that has it."""

    def current(self) -> list[SaLife]:
        return [sa for sa in self.sas.values() if sa.replaced_at == inf]

    def live(self) -> list[SaLife]:
        return [sa for sa in self.sas.values() if sa.over_at == inf]

    def members(self) -> list[str]:
        return [name for name, stays in self.stays.items() if stays[-1].ended_at == inf]


class Ledger:
    """Follows the journal; `policies` are those that are configured now."""

    def __init__(self, known: frozenset[str]) -> None:
        self._known = known
        self.groups: dict[str, GroupRecord] = {}
        self.past: list[GroupRecord] = []
        """Groups that were removed."""
        self.reserved: dict[bytes, int] = {}
        """Rekey SA -> first Message ID that isn't reserved."""
        self.keymats: dict[bytes, SaLife] = {}
        """All SAs that ever were, by SPI."""
        self.tree_keys: dict[bytes, str] = {}
        """All keys of key trees that ever were, and whose."""

    def everything(self) -> Iterator[GroupRecord]:
        """Yield all groups that are or were."""
        yield from self.past
        yield from self.groups.values()

    def is_removed(self, spi: bytes) -> bool:
        """Tell whether an SA was of a group that is forgotten."""
        return any(spi in record.sas for record in self.past)

    def take(
        self,
        entries: Iterable[JournalEntry],
        events: Iterable[Event],
        policies: Mapping[str, GroupPolicy],
        now: float,
    ) -> None:
        """Go on with one commit."""
        causes = {(e.group, e.identity): e.cause for e in events if isinstance(e, MemberLeft)}
        for entry in entries:
            record = self.groups.setdefault(entry.group, GroupRecord(entry.group))
            policy = policies.get(entry.group)
            match entry:
                case SaSaved():
                    self._sa_saved(record, entry, now)
                case SaDeleted():
                    self._sa_deleted(record, entry.spi, now)
                case MessageIdReserved():
                    self.reserved[entry.spi] = entry.next_message_id
                case MemberSaved():
                    self._member_saved(record, entry, policy, now)
                case MemberRemoved():
                    cause = causes.get((entry.group, entry.identity), "")
                    self._member_removed(record, entry.identity, cause, policy, now)
                case MembersRemoved():
                    self._all_removed(record, now)
                case TreeNodesSaved():
                    for height, number, _, key in entry.nodes:
                        record.nodes[height, number] = key
                        self.tree_keys[key] = entry.group
                case TreeNodesRemoved():
                    for place in entry.places:
                        record.nodes.pop(place, None)
                case GroupRemoved():
                    self._group_removed(record, now)

    def server_is_back(self, now: float) -> None:
        """Give a server that was away the time it needs to shut out who is to be."""
        for record in self.groups.values():
            for stays in record.stays.values():
                for stay in stays:
                    if stay.shut_out:
                        stay.reads_until = now + SHUT_OUT_SECONDS

    def path_of(self, record: GroupRecord, leaf: int) -> list[bytes]:
        """Return the keys that a member with this leaf is told."""
        heights = {height for height, _ in record.nodes}
        places = [(height, leaf // DEGREE**height) for height in sorted(heights)]
        return [record.nodes[place] for place in places if place in record.nodes]

    def _sa_saved(self, record: GroupRecord, entry: SaSaved, now: float) -> None:
        known = record.sas.get(entry.spi)
        if known is None or known.over_at < inf:
            life = SaLife(
                group=entry.group,
                name=entry.name,
                spi=entry.spi,
                keymat=entry.keymat,
                policy=decode_gsa_policy(entry.policy),
                created_at=now,
                used_at=now if record.members() else inf,
            )
            self.keymats[entry.spi] = record.sas[entry.spi] = life
            return
        hold(known.keymat == entry.keymat, "journal", f"{known} changes its keys")
        if entry.retire_at < inf and known.replaced_at == inf:
            known.replaced_at = now

    def _sa_deleted(self, record: GroupRecord, spi: bytes, now: float) -> None:
        life = record.sas.get(spi)
        if life is not None:
            life.over_at, life.replaced_at = now, min(life.replaced_at, now)

    def _member_saved(
        self, record: GroupRecord, entry: MemberSaved, policy: GroupPolicy | None, now: float
    ) -> None:
        floor = self._floor(record, policy, now)
        stays = record.stays.setdefault(entry.identity, [])
        if not stays or stays[-1].ended_at < inf:
            stays.append(Stay(now, floor))
        stays[-1].floor = min(stays[-1].floor, floor)
        for sa in record.live():
            sa.used_at = min(sa.used_at, now)
        self._number(record, entry, now)

    def _floor(self, record: GroupRecord, policy: GroupPolicy | None, now: float) -> float:
        if policy is None or not policy.backward_access:
            return -inf
        return now - policy.exclusion_window_seconds - 0.01

    def _number(self, record: GroupRecord, entry: MemberSaved, now: float) -> None:
        """Section 2.5.1: no Sender-ID is given twice under one key."""
        who = f"{entry.identity} at {now}"
        counting = [sa for sa in record.live() if uses_counter(sa.policy.transforms)]
        for sa in counting:
            for number in entry.sender_ids:
                first = record.numbered.setdefault((sa.spi, number), who)
                hold(first == who, "sender-ids", f"{number} of {sa.name} to {first} and {who}")

    def _member_removed(
        self,
        record: GroupRecord,
        identity: str,
        cause: str,
        policy: GroupPolicy | None,
        now: float,
    ) -> None:
        stays = record.stays.get(identity)
        if not stays or stays[-1].ended_at < inf:
            return
        stay = stays[-1]
        stay.ended_at = now
        if cause == EXCLUDED or (policy is not None and policy.forward_access):
            stay.shut_out, stay.reads_until = True, now + SHUT_OUT_SECONDS

    def _all_removed(self, record: GroupRecord, now: float) -> None:
        """The group starts over: nobody knows anything that is made from now on."""
        record.nodes.clear()
        for stays in record.stays.values():
            for stay in stays:
                stay.ended_at, stay.reads_until = (
                    min(stay.ended_at, now),
                    min(stay.reads_until, now),
                )
                stay.shut_out = True

    def _group_removed(self, record: GroupRecord, now: float) -> None:
        self._all_removed(record, now)
        del self.groups[record.name]
        self.past.append(record)
