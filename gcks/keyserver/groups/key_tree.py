"""A logical key hierarchy: the keys that let a group go on without one of its members.

RFC 2627 section 5.4; RFC 9838 section 3.2 and appendix A.  Every member has a leaf
with a key of its own; every node above has a key that all members below it know;
the root is the Rekey SA's own keying material.  To shut members out, all keys on
their paths are made anew, each wrapped for the children that stay: about
d * log_d(n) - 1 wrapped keys for one member.

Degree 4: for one member it costs what a binary tree costs (39 keys of a million),
half as many keys go to a member that registers, the tree has a third as many inner
nodes, and for batches it is the best (Li, Yang, Gouda, Lam: Batch Rekeying for
Secure Group Communications, 2001).

Leaves are numbered by slots, and the lowest free one is taken, so that the tree is
as deep as the most slots that were in use need.  A node is known by its height
(leaves: 0) and its number among those; the tree grows at the top.  A node on top of
what was the whole tree has no key until the next change tells it to those below.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import Final, NamedTuple

from gcks.crypto.key_wrap import wrap
from gcks.wire.kd import WrappedKey

DEGREE: Final = 4
MAX_HEIGHT: Final = 12
"""16 million members."""
_MAX_KEY_ID: Final = 0xFFFF_FFFF
_NO_KEY: Final = 0
"""Key ID of a node without a key: zero is the SA key's (section 3.3)."""


class NodeKey(NamedTuple):
    """The key of one node, as it is kept."""

    height: int
    number: int
    key_id: int
    key: bytes


class Place(NamedTuple):
    height: int
    number: int


@dataclass(frozen=True, slots=True)
class TreeChange:
    """What a change of the membership sends, and what is to be kept of it."""

    wrap_keys: tuple[WrappedKey, ...]
    """New keys under those below them, from the leaves upwards."""
    tops: tuple[tuple[int, bytes], ...] = field(repr=False)
    """Key ID and key of the nodes below the root: they wrap the Rekey SA's SA_KEY."""
    saved: tuple[NodeKey, ...] = field(repr=False)


class _Level:
    """All nodes of one height."""

    __slots__ = ("children", "ids", "keys")

    def __init__(self) -> None:
        self.ids = array("I")
        self.keys = bytearray()
        self.children = bytearray()
        """How many there are below each node; 1 for a leaf that is taken."""

    def reach(self, number: int, key_octets: int) -> None:
        """Make room up to a node."""
        lacking = number + 1 - len(self.ids)
        if lacking > 0:
            self.ids.extend([_NO_KEY] * lacking)
            self.keys.extend(bytes(lacking * key_octets))
            self.children.extend(bytes(lacking))


class KeyTree:
    """The tree of one group; `key_octets` is the size of the Key Wrap Algorithm's key."""

    __slots__ = ("_entropy", "_free", "_levels", "_next_key_id", "_used", "key_octets", "members")

    def __init__(self, key_octets: int, entropy: Callable[[int], bytes]) -> None:
        self.key_octets, self._entropy = key_octets, entropy
        self._levels = [_Level()]
        self._free: list[int] = []
        self._used = 0
        """Slots below this one are taken or in `_free`."""
        self._next_key_id = 1
        self.members = 0

    def __len__(self) -> int:
        return self.members

    @property
    def height(self) -> int:
        """How many keys a path has at most."""
        return len(self._levels)

    @property
    def lacks_keys(self) -> bool:
        """Tell whether the tree has grown over nodes that don't share a key yet."""
        inner = self._levels[1:]
        return any(one.children and one.children[0] and one.ids[0] == _NO_KEY for one in inner)

    # --- members ----------------------------------------------------------------------

    def join(self) -> tuple[int, tuple[NodeKey, ...]]:
        """Give a member a leaf; return its slot and the keys that are new."""
        slot = heappop(self._free) if self._free else self._used
        self._used = max(self._used, slot + 1)
        while slot >= DEGREE**self.height:
            self._grow()
        new = [self._renew(Place(0, slot))]
        self.members += 1
        for place in self._climb(slot):
            level = self._levels[place.height]
            level.reach(place.number, self.key_octets)
            level.children[place.number] += 1
            if level.children[place.number] > 1:
                break
            new.append(self._renew(place))
        self._levels[0].children[slot] = 1
        return slot, tuple(new)

    def path(self, slot: int) -> list[tuple[int, bytes]]:
        """Return the keys of a member, its own first: Key ID and key."""
        places = (Place(0, slot), *self._climb(slot))
        return [(self._id(one), self._key(one)) for one in places if self._id(one) != _NO_KEY]

    def has(self, slot: int) -> bool:
        """Tell whether the slot is taken."""
        children = self._levels[0].children
        return 0 <= slot < len(children) and bool(children[slot])

    # --- changes ----------------------------------------------------------------------

    def leave(self, slot: int) -> tuple[Place, ...]:
        """Take a member's leaf away; return the nodes that go with it.

        It still knows the keys of its path: `renew` shuts it out.
        """
        gone = [Place(0, slot)]
        self._drop(gone[0])
        self.members -= 1
        for place in self._climb(slot):
            level = self._levels[place.height]
            level.children[place.number] -= 1
            if level.children[place.number]:
                break
            self._drop(place)
            gone.append(place)
        heappush(self._free, slot)
        return (*gone, *self._shrink())

    def cost(self, slots: Iterable[int]) -> int:
        """Return at most how many keys `renew` would wrap for these."""
        return DEGREE * (1 + len(self._stale(slots)))

    def renew(self, slots: Iterable[int] = ()) -> TreeChange:
        """Make new keys for all nodes on the paths of these slots that are still there.

        Nodes that have had no key get one: the tree has grown over them.
        """
        stale = self._stale(slots)
        saved = [self._renew(place) for place in stale]
        wraps = [
            WrappedKey(self._id(place), self._id(child), wrap(self._key(child), self._key(place)))
            for place in stale
            for child in self._below(place)
        ]
        return TreeChange(tuple(wraps), self.tops(), tuple(saved))

    def tops(self) -> tuple[tuple[int, bytes], ...]:
        """Return what the Rekey SA's keying material is wrapped under, so that all can read it."""
        return tuple(self._readable(Place(self.height, 0)))

    def _readable(self, place: Place) -> Iterator[tuple[int, bytes]]:
        """Yield the keys below a node; those below where a node has none."""
        for child in self._below(place):
            if self._id(child) == _NO_KEY:
                yield from self._readable(child)
            else:
                yield self._id(child), self._key(child)

    def _stale(self, slots: Iterable[int]) -> list[Place]:
        """Return the inner nodes above these slots, and those without a key, lowest first."""
        numbers = {slot // DEGREE for slot in slots}
        found: list[Place] = []
        for height in range(1, self.height):
            level = self._levels[height]
            if level.children and level.children[0] and level.ids[0] == _NO_KEY:
                numbers.add(0)
            there = (n for n in sorted(numbers) if n < len(level.children) and level.children[n])
            found += [Place(height, number) for number in there]
            numbers = {number // DEGREE for number in numbers}
        return found

    # --- going on after a restart --------------------------------------------------------

    def restore(self, nodes: Iterable[NodeKey]) -> None:
        """Put kept keys back; before anybody joins."""
        for height, number, key_id, key in nodes:
            while height >= self.height:
                self._levels.append(_Level())
            level = self._levels[height]
            level.reach(number, self.key_octets)
            level.ids[number] = key_id
            level.keys[number * self.key_octets : (number + 1) * self.key_octets] = key
            self._next_key_id = max(self._next_key_id, key_id % _MAX_KEY_ID + 1)
        leaves = self._levels[0]
        leaves.children = bytearray(1 if key_id else 0 for key_id in leaves.ids)
        self._used = len(leaves.ids)
        self.members = sum(leaves.children)
        while self._used > DEGREE**self.height:
            self._levels.append(_Level())
        self._free = [slot for slot in range(self._used) if not leaves.children[slot]]
        heapify(self._free)
        for below, level in pairwise(self._levels):
            level.reach((len(below.ids) - 1) // DEGREE, self.key_octets)
            level.children = bytearray(len(level.ids))
            for number, count in enumerate(below.children):
                level.children[number // DEGREE] += bool(count)
        self._shrink()

    def emptied(self) -> KeyTree:
        """Return an empty tree whose Key IDs go on from this one's."""
        tree = KeyTree(self.key_octets, self._entropy)
        tree._next_key_id = self._next_key_id
        return tree

    # --- nodes --------------------------------------------------------------------------

    def _climb(self, slot: int) -> Iterator[Place]:
        number = slot
        for height in range(1, self.height):
            number //= DEGREE
            yield Place(height, number)

    def _below(self, place: Place) -> Iterator[Place]:
        """Yield the children of a node that are there."""
        children = self._levels[place.height - 1].children
        first = place.number * DEGREE
        for number in range(first, min(first + DEGREE, len(children))):
            if children[number]:
                yield Place(place.height - 1, number)

    def _id(self, place: Place) -> int:
        return self._levels[place.height].ids[place.number]

    def _key(self, place: Place) -> bytes:
        at = place.number * self.key_octets
        return bytes(self._levels[place.height].keys[at : at + self.key_octets])

    def _renew(self, place: Place) -> NodeKey:
        """Give a node a fresh key under a Key ID that was not used for long."""
        level, key = self._levels[place.height], self._entropy(self.key_octets)
        level.reach(place.number, self.key_octets)
        key_id = self._next_key_id
        self._next_key_id = key_id % _MAX_KEY_ID + 1
        level.ids[place.number] = key_id
        at = place.number * self.key_octets
        level.keys[at : at + self.key_octets] = key
        return NodeKey(place.height, place.number, key_id, key)

    def _drop(self, place: Place) -> None:
        level, at = self._levels[place.height], place.number * self.key_octets
        level.ids[place.number] = _NO_KEY
        level.children[place.number] = 0
        level.keys[at : at + self.key_octets] = bytes(self.key_octets)

    # --- shape --------------------------------------------------------------------------

    def _grow(self) -> None:
        """Put a level on top; what was the whole tree is one node in it, as yet without key."""
        before = sum(map(bool, self._levels[-1].children))
        self._levels.append(_Level())
        top = self._levels[-1]
        top.reach(0, self.key_octets)
        top.children[0] = before

    def _shrink(self) -> list[Place]:
        """Take levels off the top that hold one node only."""
        gone: list[Place] = []
        while self.height > 1 and not any(self._levels[-1].children[1:]):
            level = self._levels.pop()
            if level.ids[0] != _NO_KEY:
                gone.append(Place(self.height, 0))
        limit = DEGREE**self.height
        if gone or self._used > limit:
            self._used = min(self._used, limit)
            self._free = [slot for slot in self._free if slot < self._used]
            heapify(self._free)
        return gone
