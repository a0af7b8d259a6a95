"""Who could read what: each identity keeps all it was ever told, and hears all multicast."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry, KeyLogEntry
from gcks.journal import JournalEntry, MemberSaved
from tests.property.worlds.air import Air
from tests.property.worlds.broken import hold
from tests.property.worlds.ledger import GroupRecord, Ledger, SaLife, Stay


class Secrecy:
    """What every identity knows; `check` says whether it may."""

    def __init__(self, ledger: Ledger, air: Air, known: frozenset[str]) -> None:
        self._ledger, self._air, self._faults = ledger, air, known
        self._known: dict[str, set[bytes]] = {}

    def knows(self, identity: str) -> set[bytes]:
        """Return the keys that an identity knows: of SAs, and of key trees."""
        return self._known.setdefault(identity, set())

    def told(self, identity: str, keys: Iterable[KeyLogEntry]) -> None:
        """Note the keys of group SAs that a member has taken over."""
        for entry in keys:
            if isinstance(entry, GroupSaKeyLogEntry):
                keymat = entry.key_e + entry.key_a + entry.key_w
                sa = self._ledger.keymats.get(entry.spi)
                hold(sa and sa.keymat == keymat, "sent", f"SA {entry.spi.hex()} not in the journal")
                self.knows(identity).add(keymat)

    def seated(self, entries: Iterable[JournalEntry]) -> None:
        """Note the keys of the key tree that registrations tell."""
        for entry in entries:
            if isinstance(entry, MemberSaved) and entry.leaf >= 0:
                record = self._ledger.groups[entry.group]
                self.knows(entry.identity).update(self._ledger.path_of(record, entry.leaf))

    def check(self, identities: Iterable[str], now: float) -> None:
        """Hold what everybody knows against what everybody may know."""
        for identity in identities:
            self._overhear(self.knows(identity))
            for record in self._ledger.everything():
                self._check(record, identity, now)

    def _overhear(self, known: set[bytes]) -> None:
        """Open all multicast that the known keys open, and with what is in it the rest."""
        before = -1
        while before != len(known):
            before = len(known)
            for told in self._air.told:
                if told.over in known:
                    known.update(inside for around, inside in told.steps if around in known)

    def _check(self, record: GroupRecord, identity: str, now: float) -> None:
        stays = record.stays.get(identity, [])
        known = self.knows(identity)
        for sa in record.sas.values():
            if sa.keymat in known:
                text = f"{identity} knows {_text(sa)}"
                hold(stays, "strangers", f"{text} and never was a member")
                may = any(_covers(stay, sa) for stay in stays) or self._by_old_path(record, stays)
                hold(may, "secrecy", f"{text}; stays: {stays}")
        if not stays or stays[-1].ended_at == inf or not stays[-1].shut_out:
            return
        if now > stays[-1].reads_until and self._ledger.groups.get(record.name) is record:
            stale = [_text(sa) for sa in record.current() if sa.keymat in known]
            hold(not stale, "shut-out", f"{identity} can still read {stale}; {stays[-1]}")

    def _by_old_path(self, record: GroupRecord, stays: list[Stay]) -> bool:
        came_back = len(stays) > 1 and any(stay.shut_out for stay in stays[:-1])
        return "worlds.old-path" in self._faults and came_back and bool(record.nodes)


def _covers(stay: Stay, sa: SaLife) -> bool:
    """Tell whether somebody may know an SA because of that stay."""
    return sa.used_at >= stay.floor and sa.created_at <= stay.reads_until


def _text(sa: SaLife) -> str:
    name = sa.name or "the Rekey SA"
    return f"{sa.group} {name} {sa.spi.hex()[:8]} of {sa.created_at:.2f}"
