"""Identities and a short note on each, found by hash, without an object for every one.

Open addressing over an array of slots; the texts stand one after the other in one
octet string.  A dictionary of strings takes three times the memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

_EMPTY: Final = -1
_GONE: Final = -2
_MIN_TABLE: Final = 8
_LENGTH_OCTETS: Final = 2
"""Each, of identity and note, before the two."""
_HEAD: Final = 2 * _LENGTH_OCTETS
_FREE: Final = 0xFFFF_FFFF
_MIN_GARBAGE: Final = 1 << 16


class IdentityIndex:
    """Slots are small numbers, used again after a removal."""

    __slots__ = ("_count", "_filled", "_free", "_garbage", "_starts", "_table", "_texts")

    def __init__(self) -> None:
        self._table = array("i", [_EMPTY] * _MIN_TABLE)
        self._starts = array("I")
        """Where a slot's text begins."""
        self._texts = bytearray()
        self._free: list[int] = []
        self._count = self._filled = self._garbage = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return (self.identity(slot) for slot in self.slots())

    def items(self) -> Iterator[tuple[str, int]]:
        """Yield identity and slot."""
        return ((self.identity(slot), slot) for slot in self.slots())

    def slots(self, first: int = 0) -> Iterator[int]:
        """Yield the slots in use, from `first` on."""
        starts = self._starts
        return (slot for slot in range(first, len(starts)) if starts[slot] != _FREE)

    def find(self, identity: str) -> int | None:
        """Return an identity's slot."""
        at = self._place(identity.encode())
        return self._table[at] if self._table[at] >= 0 else None

    def identity(self, slot: int) -> str:
        return self._key(slot).decode()

    def note(self, slot: int) -> str:
        """Return what was added with the identity."""
        start, (key, note) = self._starts[slot], self._sizes(slot)
        begin = start + _HEAD + key
        return self._texts[begin : begin + note].decode()

    def add(self, identity: str, note: str) -> int:
        """Give an identity that isn't there a slot; the lowest new one is the number of slots."""
        if 3 * (self._filled + 1) > 2 * len(self._table):
            self._rebuild()
        key, text = identity.encode(), note.encode()
        at = self._place(key)
        slot = self._free.pop() if self._free else len(self._starts)
        if slot == len(self._starts):
            self._starts.append(0)
        self._starts[slot] = len(self._texts)
        self._texts += len(key).to_bytes(_LENGTH_OCTETS, "big")
        self._texts += len(text).to_bytes(_LENGTH_OCTETS, "big") + key + text
        self._table[at] = slot
        self._filled += 1
        self._count += 1
        return slot

    def remove(self, identity: str) -> int | None:
        """Take an identity out; return the slot that it had."""
        at = self._place(identity.encode())
        slot = self._table[at]
        if slot < 0:
            return None
        self._table[at] = _GONE
        self._garbage += _HEAD + sum(self._sizes(slot))
        self._starts[slot] = _FREE
        self._free.append(slot)
        self._count -= 1
        if self._garbage > max(_MIN_GARBAGE, len(self._texts) // 2):
            self._compact()
        return slot

    def _place(self, key: bytes) -> int:
        """Return where in the table a key is, or where it belongs."""
        table, mask = self._table, len(self._table) - 1
        at = hash(key) & mask
        while (slot := table[at]) != _EMPTY:
            if slot >= 0 and self._key(slot) == key:
                return at
            at = (at + 1) & mask
        return at

    def _sizes(self, slot: int) -> tuple[int, int]:
        start, texts = self._starts[slot], self._texts
        middle = start + _LENGTH_OCTETS
        key = int.from_bytes(texts[start:middle], "big")
        return key, int.from_bytes(texts[middle : middle + _LENGTH_OCTETS], "big")

    def _key(self, slot: int) -> bytes:
        start = self._starts[slot]
        size = int.from_bytes(self._texts[start : start + _LENGTH_OCTETS], "big")
        return bytes(self._texts[start + _HEAD : start + _HEAD + size])

    def _rebuild(self) -> None:
        """Make the table anew: larger, or without the traces of what was removed."""
        size = len(self._table)
        while 3 * (self._count + 1) > size:
            size *= 2
        self._table = array("i", [_EMPTY]) * size
        for slot in self.slots():
            self._table[self._place(self._key(slot))] = slot
        self._filled = self._count

    def _compact(self) -> None:
        """Close the gaps between the texts."""
        texts = bytearray()
        for slot in self.slots():
            start, size = self._starts[slot], _HEAD + sum(self._sizes(slot))
            self._starts[slot] = len(texts)
            texts += self._texts[start : start + size]
        self._texts, self._garbage = texts, 0
