"""The members of a group, a million of them in some 80 MB: columns, and an index by identity.

One Python object each would cost four times as much.  A member has a slot, the
same in all columns; what few members have is kept in dictionaries.  Nothing that
happens often looks at all of them.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Container, Iterator, Set
from math import inf
from struct import Struct
from typing import Final, NamedTuple

from gcks.crypto.certificate_reading import REFERENCE_OCTETS
from gcks.journal import MemberSaved
from gcks.keyserver.groups.globs import Globs
from gcks.keyserver.groups.identity_index import IdentityIndex

NO_LEAF: Final = -1
"""Of members that are in no key tree."""
MAX_SHARED_SAGS: Final = 256
"""Groups know a handful of kinds of member; whoever varies its SAg shares nothing."""
MAX_EXPIRED: Final = 256
"""Certificates found to have expired at one time; some more, as blocks are looked at whole."""
_BLOCK: Final = 256
"""Slots whose first end of a certificate is known."""
MAX_LOOKED_AT: Final = 10_000
"""Slots, for one page of members."""
_OWN_SAG: Final = 0x7FFF
_NOBODY: Final = 0xFFFC
"""No kind: what the column of kinds has for a slot that isn't used."""
_REFERENCES: Final = Struct(f"{REFERENCE_OCTETS}s" * _BLOCK)
_BLOCK_OCTETS: Final = _BLOCK * REFERENCE_OCTETS

_NO_REFERENCE: Final = bytes(REFERENCE_OCTETS)

_REASSEMBLES: Final = 1
_INBAND: Final = 2

Kind = tuple[bytes, bool]
"""What a member announced in SAg, and whether it is a sender."""


class Member(NamedTuple):
    """What is kept of a registered GM."""

    address: str
    sender_ids: tuple[int, ...]
    sag: bytes
    registered_at: float
    """POSIX seconds."""
    reassembles: bool
    """Whether it negotiated IKE fragmentation (RFC 9838 section 2.4.1.2)."""
    certificate_ends: float
    """POSIX seconds; infinite without certificate, and once the end was noticed."""
    certificates: bytes
    """References of its certificates."""
    leaf: int
    """Its leaf in the key tree; -1: none."""
    sender: bool
    """Whether it registered as a sender."""
    inband: bool
    """Whether it is rekeyed over its IKE SA, and knows no Rekey SA."""


class Membership:
    """All members of one group."""

    __slots__ = (
        "_chains", "_counts", "_ends", "_first_ends", "_flags", "_index", "_issuers", "_kinds",
        "_leaves", "_own_sags", "_references", "_registered", "_sag_numbers", "_sender_ids",
        "_shared", "_whole_only", "certificate_ends", "senders",
    )  # fmt: skip

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove everybody."""
        self._index = IdentityIndex()
        self._registered, self._ends = array("d"), array("d")
        self._first_ends = array("d")
        """For each block of slots, when its first certificate expires, or earlier."""
        self._leaves, self._kinds = array("i"), array("H")
        self._flags = bytearray()
        self._counts: Counter[int] = Counter()
        """How many members there are of each kind that is shared."""
        self._shared: list[bytes] = []
        self._sag_numbers: dict[bytes, int] = {}
        self._own_sags: dict[int, bytes] = {}
        self._sender_ids: dict[int, tuple[int, ...]] = {}
        self._references = bytearray()
        """Of each member's own certificate, up to the last slot that has any."""
        self._issuers: dict[int, bytes] = {}
        """References of those between it and the anchor."""
        self._chains: dict[bytes, bytes] = {}
        """What `_issuers` holds, once each."""
        self._whole_only = 0
        self.senders = 0
        """How many registered as senders."""
        self.certificate_ends = inf
        """When the first certificate of a member expires, or earlier."""

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, identity: str) -> bool:
        return self._index.find(identity) is not None

    def get(self, identity: str) -> Member | None:
        slot = self._index.find(identity)
        return self._member(slot) if slot is not None else None

    def _member(self, slot: int) -> Member:
        sag, sender = self._kind(slot)
        return Member(
            address=self._index.note(slot),
            sender_ids=self._sender_ids.get(slot, ()),
            sag=sag,
            registered_at=self._registered[slot],
            reassembles=bool(self._flags[slot] & _REASSEMBLES),
            certificate_ends=self._ends[slot],
            certificates=self._certificates(slot),
            leaf=self._leaves[slot],
            sender=sender,
            inband=bool(self._flags[slot] & _INBAND),
        )

    def _kind(self, slot: int) -> Kind:
        number, sender = divmod(self._kinds[slot], 2)
        return self._own_sags[slot] if number == _OWN_SAG else self._shared[number], sender == 1

    def items(self) -> Iterator[tuple[str, Member]]:
        """Yield every identity with what is kept of it."""
        index = self._index
        return ((index.identity(slot), self._member(slot)) for slot in index.slots())

    def page(
        self,
        start: int,
        count: int,
        wanted: re.Pattern[str] | None = None,
        *,
        senders: bool = False,
    ) -> tuple[list[tuple[str, Member]], int | None]:
        """Return up to `count` members from slot `start` on, and the slot to go on from.

        Perhaps none, where a long stretch has none whose identity is wanted.
        """
        index = self._index
        stop = min(start + MAX_LOOKED_AT, index.end)
        rows: list[tuple[str, Member]] = []
        for slot in index.slots(start, stop):
            if len(rows) == count:
                return rows, slot
            if senders and not self._kinds[slot] & 1:
                continue
            identity = index.identity(slot)
            if wanted is None or wanted.match(identity):
                rows.append((identity, self._member(slot)))
        return rows, stop if stop < index.end else None

    def kinds(self) -> dict[Kind, int]:
        """Count the members of each kind."""
        shared = {self._shared_kind(code): count for code, count in self._counts.items() if count}
        return shared | Counter(map(self._kind, self._own_sags))

    def _shared_kind(self, code: int) -> Kind:
        return self._shared[code // 2], code % 2 == 1

    def of_kinds(self, kinds: Container[Kind]) -> list[tuple[str, Kind]]:
        """Return the members of these kinds, each with its own."""
        codes = {code for code in self._counts if self._shared_kind(code) in kinds}
        slots = [slot for slot, code in enumerate(self._kinds) if code in codes]
        slots += [slot for slot in self._own_sags if self._kind(slot) in kinds]
        return [(self._index.identity(slot), self._kind(slot)) for slot in slots]

    def sender_addresses(self) -> Iterator[str]:
        """Yield where the senders registered from."""
        index = self._index
        return (index.note(slot) for slot in index.slots() if self._kinds[slot] & 1)

    def inband_identities(self) -> list[str]:
        """Return who is rekeyed over its IKE SA."""
        index = self._index
        return [index.identity(slot) for slot in index.slots() if self._flags[slot] & _INBAND]

    def identities(self) -> tuple[str, ...]:
        return tuple(self._index)

    def named(self, names: Globs) -> list[str]:
        """Return the members that names and patterns stand for, each once."""
        found = [name for name in names.names if name in self]
        more = self._index.matching(names) if names.globs else []
        return found + [one for one in more if one not in names.names]

    def unnamed(self, names: Globs) -> list[str]:
        """Return the members that no name and no pattern stands for."""
        return [one for one in self._index.others(names) if one not in names.names]

    def put(self, saved: MemberSaved) -> None:
        """Add a member, or replace its former registration."""
        self.remove(saved.identity)
        slot = self._index.add(saved.identity, saved.address)
        if slot == len(self._leaves):
            self._extend(slot)
        self._registered[slot], self._ends[slot] = saved.registered_at, saved.certificate_ends
        self._leaves[slot] = saved.leaf
        self._flags[slot] = saved.reassembles * _REASSEMBLES | saved.inband * _INBAND
        self._kinds[slot] = self._count(saved.sag, saved.sender, slot)
        if saved.sender_ids:
            self._sender_ids[slot] = saved.sender_ids
        if saved.certificates:
            self._keep_references(slot, saved.certificates)
        block = slot // _BLOCK
        self._first_ends[block] = min(self._first_ends[block], saved.certificate_ends)
        self.certificate_ends = min(self.certificate_ends, saved.certificate_ends)
        self._whole_only += not saved.reassembles
        self.senders += saved.sender

    def _extend(self, slot: int) -> None:
        self._registered.append(0.0)
        self._ends.append(inf)
        self._leaves.append(0)
        self._kinds.append(_NOBODY)
        self._flags.append(0)
        if not slot % _BLOCK:
            self._first_ends.append(inf)

    @property
    def all_reassemble(self) -> bool:
        """Tell whether every member takes fragments."""
        return not self._whole_only

    def _count(self, sag: bytes, sender: bool, slot: int) -> int:
        """Count a member with those of its kind; return the kind's code."""
        number = self._sag_numbers.get(sag)
        if number is None and len(self._shared) < MAX_SHARED_SAGS:
            number = self._sag_numbers[sag] = len(self._shared)
            self._shared.append(sag)
        if number is None:
            self._own_sags[slot] = sag
            return 2 * _OWN_SAG + sender
        self._counts[2 * number + sender] += 1
        return 2 * number + sender

    def remove(self, identity: str) -> bool:
        """Remove a member; tell whether it was one."""
        slot = self._index.remove(identity)
        if slot is None:
            return False
        code, self._kinds[slot] = self._kinds[slot], _NOBODY
        if self._own_sags.pop(slot, None) is None:
            self._counts[code] -= 1
        self._ends[slot] = inf
        self._whole_only -= not self._flags[slot] & _REASSEMBLES
        self.senders -= code % 2
        self._sender_ids.pop(slot, None)
        self._drop_references(slot)
        return True

    # --- certificates -------------------------------------------------------------------

    def expired(self, at: float) -> list[str]:
        """Return whose certificate has expired by POSIX time `at`.

        Of many only some: `certificate_ends` tells whether there are more, once these are
        noted as members without a certificate that ends, or as none.
        """
        if at < self.certificate_ends:
            return []
        ended: list[int] = []
        for block, first in enumerate(self._first_ends):
            if first <= at and len(ended) < MAX_EXPIRED:
                ended += self._expired(block, at)
        self.certificate_ends = min(self._first_ends, default=inf)
        return [self._index.identity(slot) for slot in ended]

    def _expired(self, block: int, at: float) -> list[int]:
        ends, first = self._ends, block * _BLOCK
        last = min(first + _BLOCK, len(ends))
        self._first_ends[block] = min(ends[first:last])
        return [slot for slot in range(first, last) if ends[slot] <= at]

    def holders(self, references: Set[bytes]) -> list[str]:
        """Return whose certificates are among those references."""
        return [self._index.identity(slot) for slot in self._holders(references)]

    def _holders(self, references: Set[bytes]) -> list[int]:
        found: list[int] = []
        for start in range(0, len(self._references), _BLOCK_OCTETS):
            held = _REFERENCES.unpack_from(self._references, start)
            if not references.isdisjoint(held):
                slots = enumerate(held, start // REFERENCE_OCTETS)
                found += [slot for slot, one in slots if one in references]
        named = {one for one in self._chains if not references.isdisjoint(_split(one))}
        if named:
            found += [slot for slot, chain in self._issuers.items() if chain in named]
        return sorted(set(found))

    def _certificates(self, slot: int) -> bytes:
        at = slot * REFERENCE_OCTETS
        own = bytes(self._references[at : at + REFERENCE_OCTETS])
        return b"" if own in (b"", _NO_REFERENCE) else own + self._issuers.get(slot, b"")

    def _keep_references(self, slot: int, certificates: bytes) -> None:
        own, issuers = certificates[:REFERENCE_OCTETS], certificates[REFERENCE_OCTETS:]
        at = slot * REFERENCE_OCTETS
        while len(self._references) <= at:
            self._references += bytes(_BLOCK_OCTETS)
        self._references[at : at + REFERENCE_OCTETS] = own
        if issuers:
            self._issuers[slot] = self._chains.setdefault(issuers, issuers)

    def _drop_references(self, slot: int) -> None:
        at = slot * REFERENCE_OCTETS
        if at < len(self._references):
            self._references[at : at + REFERENCE_OCTETS] = _NO_REFERENCE
        self._issuers.pop(slot, None)


def _split(references: bytes) -> Iterator[bytes]:
    for at in range(0, len(references), REFERENCE_OCTETS):
        yield references[at : at + REFERENCE_OCTETS]
