"""The members of a group, a million of them in some 80 MB: columns, and an index by identity.

One Python object each would cost four times as much.  A member has a slot, the
same in all columns; what few members have is kept in dictionaries.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Container, Iterator, Set
from itertools import islice
from math import inf
from typing import Final, NamedTuple

from gcks.crypto.certificate_reading import REFERENCE_OCTETS
from gcks.group.identity_index import IdentityIndex
from gcks.journal import MemberSaved

MAX_SHARED_SAGS: Final = 256
"""Groups know a handful of kinds of member; whoever varies its SAg shares nothing."""
_OWN_SAG: Final = 0xFFFF
_REASSEMBLES: Final = 1
_SENDER: Final = 2

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


class Membership:
    """All members of one group."""

    __slots__ = (
        "_certificates", "_ends", "_flags", "_index", "_leaves", "_own_sags", "_registered",
        "_sag_numbers", "_sags", "_sender_ids", "_shared", "_whole_only",
        "certificate_ends", "senders",
    )  # fmt: skip

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove everybody."""
        self._index = IdentityIndex()
        self._registered, self._ends = array("d"), array("d")
        self._leaves, self._sags = array("i"), array("H")
        self._flags = bytearray()
        self._shared: list[bytes] = []
        self._sag_numbers: dict[bytes, int] = {}
        self._own_sags: dict[int, bytes] = {}
        self._sender_ids: dict[int, tuple[int, ...]] = {}
        self._certificates: dict[int, bytes] = {}
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
        flags = self._flags[slot]
        return Member(
            self._index.note(slot),
            self._sender_ids.get(slot, ()),
            self._sag(slot),
            self._registered[slot],
            bool(flags & _REASSEMBLES),
            self._ends[slot],
            self._certificates.get(slot, b""),
            self._leaves[slot],
            bool(flags & _SENDER),
        )

    def _sag(self, slot: int) -> bytes:
        number = self._sags[slot]
        return self._own_sags[slot] if number == _OWN_SAG else self._shared[number]

    def items(self) -> Iterator[tuple[str, Member]]:
        """Yield every identity with what is kept of it."""
        return ((identity, self._member(slot)) for identity, slot in self._index.items())

    def page(self, start: int, count: int) -> tuple[list[tuple[str, Member]], int | None]:
        """Return up to `count` members from slot `start` on, and the slot to go on from."""
        slots = list(islice(self._index.slots(start), count + 1))
        more = slots[count] if len(slots) > count else None
        return [(self._index.identity(s), self._member(s)) for s in slots[:count]], more

    def kinds(self) -> dict[Kind, int]:
        """Count the members of each kind."""
        return Counter(map(self._kind, self._index.slots()))

    def of_kinds(self, kinds: Container[Kind]) -> list[tuple[str, Kind]]:
        """Return the members of these kinds, each with its own."""
        found = ((name, self._kind(slot)) for name, slot in self._index.items())
        return [one for one in found if one[1] in kinds]

    def _kind(self, slot: int) -> Kind:
        return self._sag(slot), bool(self._flags[slot] & _SENDER)

    def identities(self) -> tuple[str, ...]:
        return tuple(self._index)

    def put(self, saved: MemberSaved) -> None:
        """Add a member, or replace its former registration."""
        self.remove(saved.identity)
        slot = self._index.add(saved.identity, saved.address)
        if slot == len(self._leaves):
            self._extend()
        self._registered[slot], self._ends[slot] = saved.registered_at, saved.certificate_ends
        self._leaves[slot] = saved.leaf
        self._flags[slot] = _REASSEMBLES * saved.reassembles | _SENDER * saved.sender
        self._sags[slot] = self._share(saved.sag, slot)
        if saved.sender_ids:
            self._sender_ids[slot] = saved.sender_ids
        if saved.certificates:
            self._certificates[slot] = saved.certificates
        self.certificate_ends = min(self.certificate_ends, saved.certificate_ends)
        self._whole_only += not saved.reassembles
        self.senders += saved.sender

    def _extend(self) -> None:
        self._registered.append(0.0)
        self._ends.append(inf)
        self._leaves.append(0)
        self._sags.append(0)
        self._flags.append(0)

    @property
    def all_reassemble(self) -> bool:
        """Tell whether every member takes fragments."""
        return not self._whole_only

    def _share(self, sag: bytes, slot: int) -> int:
        number = self._sag_numbers.get(sag)
        if number is None and len(self._shared) < MAX_SHARED_SAGS:
            number = self._sag_numbers[sag] = len(self._shared)
            self._shared.append(sag)
        if number is None:
            self._own_sags[slot] = sag
        return _OWN_SAG if number is None else number

    def take_expired(self, at: float) -> list[str]:
        """Return whose certificate has expired by POSIX time `at`, each once."""
        if at < self.certificate_ends:
            return []
        ended = [(name, slot) for name, slot in self._index.items() if self._ends[slot] <= at]
        for _, slot in ended:
            self._ends[slot] = inf
        self.certificate_ends = min((self._ends[s] for _, s in self._index.items()), default=inf)
        return [name for name, _ in ended]

    def take_revoked(self, revoked: Set[bytes]) -> list[str]:
        """Return whose certificates are among those references, each once."""
        ended = self._holders(revoked)
        for slot in ended:
            del self._certificates[slot]
        return [self._index.identity(slot) for slot in ended]

    def holders(self, references: Set[bytes]) -> list[str]:
        """Return whose certificates are among those references."""
        return [self._index.identity(slot) for slot in self._holders(references)]

    def _holders(self, references: Set[bytes]) -> list[int]:
        return [
            slot
            for slot, held in sorted(self._certificates.items())
            if not references.isdisjoint(_references(held))
        ]

    def remove(self, identity: str) -> bool:
        """Remove a member; tell whether it was one."""
        slot = self._index.remove(identity)
        if slot is None:
            return False
        self._whole_only -= not self._flags[slot] & _REASSEMBLES
        self.senders -= bool(self._flags[slot] & _SENDER)
        for sparse in (self._own_sags, self._sender_ids, self._certificates):
            sparse.pop(slot, None)
        return True


def _references(certificates: bytes) -> Iterator[bytes]:
    for at in range(0, len(certificates), REFERENCE_OCTETS):
        yield certificates[at : at + REFERENCE_OCTETS]
