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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count, pairwise
from typing import Final, NamedTuple

from gcks.crypto.key_wrap import wrap
from gcks.wire.kd import WrappedKey

DEGREE: Final = 4
_MAX_KEY_ID: Final = 0xFFFF_FFFF
_NO_KEY: Final = 0
"""Key ID of a node without a key: zero is the SA key's (section 3.3)."""
_MANY: Final = 256
"""Leaves at one time, as a store gives them back: members are counted all together."""


class NodeKey(NamedTuple):
    """The key of one node, as it is kept."""

    height: int
    number: int
    key_id: int
    key: bytes

    def __repr__(self) -> str:
        return f"NodeKey({self.height}, {self.number}, {self.key_id})"


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
    """The tree of one group; `key_octets` is the size of the Key Wrap Algorithm's key.

    What is to change is planned first (`leaf_for_newcomer`, `renewal`, `nodes_without`) and
    changes nothing; `put` and `remove` carry it out, from the journal entries that say so.
    """

    __slots__ = (
        "_counted", "_entropy", "_free", "_levels", "_members", "_next_key_id", "_used",
        "key_octets",
    )  # fmt: skip

    def __init__(self, key_octets: int, entropy: Callable[[int], bytes]) -> None:
        self.key_octets, self._entropy = key_octets, entropy
        self._levels = [_Level()]
        self._free: list[int] = []
        """Free slots, the lowest first; also some that were taken meanwhile."""
        self._used = 0
        """Slots below this one are taken or in `_free`."""
        self._next_key_id = 1
        self._members = 0
        self._counted = True
        """Whether the counts of children, `_free`, `_used` and `_members` are up to date."""

    def __len__(self) -> int:
        self._count()
        return self._members

    @property
    def height(self) -> int:
        """How many keys a path has at most."""
        self._count()
        return len(self._levels)

    @property
    def lacks_keys(self) -> bool:
        """Tell whether the tree has grown over nodes that don't share a key yet."""
        self._count()
        inner = self._levels[1:]
        return any(
            level.children and level.children[0] and level.ids[0] == _NO_KEY for level in inner
        )

    def path(self, slot: int) -> list[tuple[int, bytes]]:
        """Return the keys of a member, its own first: Key ID and key."""
        self._count()
        places = (Place(0, slot), *self._climb(slot))
        return [self._node(place) for place in places if self._id(place) != _NO_KEY]

    def has(self, slot: int) -> bool:
        """Tell whether the slot is taken."""
        self._count()
        children = self._levels[0].children
        return 0 <= slot < len(children) and bool(children[slot])

    # --- plans ------------------------------------------------------------------------

    def leaf_for_newcomer(self) -> tuple[int, tuple[NodeKey, ...]]:
        """Return the slot that a newcomer takes, and the keys that are new with it."""
        self._count()
        free = self._free
        while free and (free[0] >= self._used or self.has(free[0])):
            heappop(free)
        slot = free[0] if free else self._used
        fresh = self._fresh_keys()
        places = (Place(0, slot), *self._empty_above(slot))
        return slot, tuple(fresh(place) for place in places)

    def _empty_above(self, slot: int) -> Iterator[Place]:
        """Yield the nodes above a free slot that nobody is below yet, lowest first.

        A node on top of what was the whole tree isn't among them.
        """
        height, number = 1, slot // DEGREE
        while height < len(self._levels) or DEGREE**height <= slot:
            on_top_of_all = height >= len(self._levels) and number == 0
            if on_top_of_all or self._is_there(Place(height, number)):
                return
            yield Place(height, number)
            height, number = height + 1, number // DEGREE

    def nodes_without(self, slot: int) -> tuple[Place, ...]:
        """Return the nodes that go with the member of a slot.

        It still knows the keys of its path: `renewal` shuts it out.
        """
        self._count()
        gone = [Place(0, slot)]
        for place in self._climb(slot):
            if self._levels[place.height].children[place.number] > 1:
                break
            gone.append(place)
        return (*gone, *self._tops_without(set(gone)))

    def _tops_without(self, gone: set[Place]) -> Iterator[Place]:
        """Yield the nodes at the top that hold one node only when those are gone."""
        for height in range(self.height - 1, 0, -1):
            level = self._levels[height]
            others = enumerate(level.children[1:], 1)
            if any(count and Place(height, number) not in gone for number, count in others):
                return
            if level.ids[0] != _NO_KEY and Place(height, 0) not in gone:
                yield Place(height, 0)

    def cost(self, slots: Iterable[int]) -> int:
        """Return at most how many keys `renewal` would wrap for these."""
        return DEGREE * (1 + len(self._stale(slots)))

    def renewal(self, slots: Iterable[int] = ()) -> TreeChange:
        """Make new keys for all nodes on the paths of these slots that are still there.

        Nodes that have had no key get one: the tree has grown over them.
        """
        self._count()
        fresh = self._fresh_keys()
        new = {place: fresh(place) for place in self._stale(slots)}

        def node(place: Place) -> tuple[int, bytes]:
            renewed = new.get(place)
            return (renewed.key_id, renewed.key) if renewed is not None else self._node(place)

        wraps = [
            WrappedKey(saved.key_id, *_wrapped(node(child), saved.key))
            for place, saved in new.items()
            for child in self._below(place)
        ]
        tops = self._readable(Place(len(self._levels), 0), node)
        return TreeChange(tuple(wraps), tuple(tops), tuple(new.values()))

    def tops(self) -> tuple[tuple[int, bytes], ...]:
        """Return what the Rekey SA's keying material is wrapped under, so that all can read it."""
        self._count()
        return tuple(self._readable(Place(len(self._levels), 0), self._node))

    def _readable(
        self, place: Place, node: Callable[[Place], tuple[int, bytes]]
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the keys below a node; those below where a node has none."""
        for child in self._below(place):
            key_id, key = node(child)
            if key_id == _NO_KEY:
                yield from self._readable(child, node)
            else:
                yield key_id, key

    def _stale(self, slots: Iterable[int]) -> list[Place]:
        """Return the inner nodes above these slots, and those without a key, lowest first."""
        numbers = {slot // DEGREE for slot in slots}
        places: list[Place] = []
        for height in range(1, self.height):
            level = self._levels[height]
            if level.children and level.children[0] and level.ids[0] == _NO_KEY:
                numbers.add(0)
            there = (n for n in sorted(numbers) if n < len(level.children) and level.children[n])
            places += [Place(height, number) for number in there]
            numbers = {number // DEGREE for number in numbers}
        return places

    def _fresh_keys(self) -> Callable[[Place], NodeKey]:
        """Return what makes fresh keys, under Key IDs that were not used for long."""
        key_ids = count(self._next_key_id)

        def fresh(place: Place) -> NodeKey:
            key_id = (next(key_ids) - 1) % _MAX_KEY_ID + 1
            return NodeKey(place.height, place.number, key_id, self._entropy(self.key_octets))

        return fresh

    # --- changes ----------------------------------------------------------------------

    def put(self, nodes: Sequence[NodeKey]) -> None:
        """Give nodes their keys; a leaf that wasn't there is a new member's.

        Many leaves at a time are counted when somebody asks.
        """
        if sum(not node.height for node in nodes) > _MANY:
            self._counted = False
        else:
            self._count()
        for node in nodes:
            if self._counted and not node.height and not self.has(node.number):
                self._seat(node.number)
            self._write(node)

    def remove(self, places: Iterable[Place]) -> None:
        """Take members' leaves away, and the nodes above that nobody is below any more."""
        self._count()
        for place in places:
            if not place.height and self.has(place.number):
                self._unseat(place.number)

    def emptied(self) -> KeyTree:
        """Return an empty tree whose Key IDs go on from this one's."""
        tree = KeyTree(self.key_octets, self._entropy)
        tree._next_key_id = self._next_key_id
        return tree

    def _seat(self, slot: int) -> None:
        if self._free and self._free[0] == slot:
            heappop(self._free)
        for free in range(self._used, slot):
            heappush(self._free, free)
        self._used = max(self._used, slot + 1)
        while slot >= DEGREE ** len(self._levels):
            self._grow()
        self._levels[0].reach(slot, self.key_octets)
        self._levels[0].children[slot] = 1
        self._members += 1
        for place in self._climb(slot):
            level = self._levels[place.height]
            level.reach(place.number, self.key_octets)
            level.children[place.number] += 1
            if level.children[place.number] > 1:
                break

    def _unseat(self, slot: int) -> None:
        self._drop(Place(0, slot))
        self._members -= 1
        for place in self._climb(slot):
            level = self._levels[place.height]
            level.children[place.number] -= 1
            if level.children[place.number]:
                break
            self._drop(place)
        heappush(self._free, slot)
        self._shrink()

    def _write(self, node: NodeKey) -> None:
        while node.height >= len(self._levels):
            self._levels.append(_Level())
        level, at = self._levels[node.height], node.number * self.key_octets
        level.reach(node.number, self.key_octets)
        level.ids[node.number] = node.key_id
        level.keys[at : at + self.key_octets] = node.key
        self._next_key_id = max(self._next_key_id, node.key_id % _MAX_KEY_ID + 1)

    # --- counts -------------------------------------------------------------------------

    def _count(self) -> None:
        """Count from the leaves upwards what `put` has left to be counted."""
        if self._counted:
            return
        self._counted = True
        leaves = self._levels[0]
        leaves.children = bytearray(1 if key_id else 0 for key_id in leaves.ids)
        self._used, self._members = len(leaves.ids), sum(leaves.children)
        while self._used > DEGREE ** len(self._levels):
            self._levels.append(_Level())
        self._free = [slot for slot in range(self._used) if not leaves.children[slot]]
        for below, level in pairwise(self._levels):
            level.reach((len(below.ids) - 1) // DEGREE, self.key_octets)
            level.children = bytearray(len(level.ids))
            for number, children in enumerate(below.children):
                level.children[number // DEGREE] += bool(children)
        self._shrink()

    # --- nodes --------------------------------------------------------------------------

    def _climb(self, slot: int) -> Iterator[Place]:
        number = slot
        for height in range(1, len(self._levels)):
            number //= DEGREE
            yield Place(height, number)

    def _is_there(self, place: Place) -> bool:
        if place.height >= len(self._levels):
            return False
        children = self._levels[place.height].children
        return place.number < len(children) and bool(children[place.number])

    def _below(self, place: Place) -> Iterator[Place]:
        """Yield the children of a node that are there."""
        children = self._levels[place.height - 1].children
        first = place.number * DEGREE
        for number in range(first, min(first + DEGREE, len(children))):
            if children[number]:
                yield Place(place.height - 1, number)

    def _id(self, place: Place) -> int:
        return self._levels[place.height].ids[place.number]

    def _node(self, place: Place) -> tuple[int, bytes]:
        """Return a node's Key ID and key."""
        level, at = self._levels[place.height], place.number * self.key_octets
        return level.ids[place.number], bytes(level.keys[at : at + self.key_octets])

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

    def _shrink(self) -> None:
        """Take levels off the top that hold one node only."""
        height = len(self._levels)
        while len(self._levels) > 1 and not any(self._levels[-1].children[1:]):
            self._levels.pop()
        limit = DEGREE ** len(self._levels)
        if len(self._levels) < height or self._used > limit:
            self._used = min(self._used, limit)
            self._free = [slot for slot in self._free if slot < self._used]
            heapify(self._free)


def _wrapped(kwk: tuple[int, bytes], key: bytes) -> tuple[int, bytes]:
    """Return the KWK ID and the key wrapped under that key."""
    key_id, wrapping = kwk
    return key_id, wrap(wrapping, key)
