"""Identities and a short note on each, found by hash, without an object for every one.

Open addressing over an array of slots; the texts stand one after the other in pages.
A dictionary of strings takes three times the memory.  No call does work for all
identities: a larger table is filled a few places at a time, and what removals leave
behind is given back page by page.

A record in a page is identity, 0xFF, note, 0xFE: octets that no UTF-8 text has.  A
removed one is 0xFD up to its end.  So a page can be split and searched as a whole.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import filterfalse
from typing import Any, Final

from gcks.keyserver.groups.globs import Globs

_EMPTY: Final = -1
_GONE: Final = -2
_MIN_TABLE: Final = 8
_MOVES: Final = 16
"""Places of the former table that a change takes over: done long before the new one is full."""
_FREE: Final = 0xFFFF_FFFF
_PAGE_BITS: Final = 16
_PAGE_OCTETS: Final = 1 << _PAGE_BITS
"""A text that doesn't fit has a page of its own."""
_KEY_END: Final = b"\xff"
_END: Final = b"\xfe"
_DEAD: Final = b"\xfd"
_TEXT: Final = "surrogateescape"
_KEY_END_TEXT, _END_TEXT, _DEAD_TEXT = (
    octet.decode(errors=_TEXT) for octet in (_KEY_END, _END, _DEAD)
)


class IdentityIndex:
    """Slots are small numbers, used again after a removal."""

    __slots__ = (
        "_count", "_filled", "_former", "_free", "_free_pages", "_garbage", "_moved", "_page",
        "_pages", "_starts", "_table",
    )  # fmt: skip

    def __init__(self) -> None:
        self._table = array("i", [_EMPTY] * _MIN_TABLE)
        self._former = array("i")
        """The table before, as long as it isn't taken over."""
        self._moved = 0
        """How many of its places are."""
        self._starts = array("I")
        """Where a slot's text begins: page and offset."""
        self._pages = [bytearray()]
        self._garbage = array("I", [0])
        """Octets of removed texts in each page."""
        self._free_pages: list[int] = []
        self._page = 0
        """The page that is written."""
        self._free = array("i")
        self._count = self._filled = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        texts = (text for page in self._pages for text in _texts(page))
        return (_identity(text) for text in texts if text and text[0] != _DEAD_TEXT)

    def slots(self, first: int = 0, last: int | None = None) -> Iterator[int]:
        """Yield the slots in use, from `first` on, before `last`."""
        starts = self._starts
        stop = len(starts) if last is None else min(last, len(starts))
        return (slot for slot in range(first, stop) if starts[slot] != _FREE)

    @property
    def end(self) -> int:
        """The first number above all slots."""
        return len(self._starts)

    def find(self, identity: str) -> int | None:
        """Return an identity's slot."""
        table, at = self._lookup(identity.encode() + _KEY_END)
        return table[at] if table[at] >= 0 else None

    def identity(self, slot: int) -> str:
        page, start = self._where(slot)
        return page[start : page.index(_KEY_END, start)].decode()

    def note(self, slot: int) -> str:
        """Return what was added with the identity."""
        page, start = self._where(slot)
        start = page.index(_KEY_END, start) + 1
        return page[start : page.index(_END, start)].decode()

    def matching(self, globs: Globs) -> list[str]:
        """Return the identities that one of the patterns fits."""
        pattern = re.compile(f"(?=[^{_DEAD_TEXT}])(?:{globs.begins(_KEY_END_TEXT)})", re.DOTALL)
        pages = [page for page in self._pages if globs.may_be_in(page)]
        return _chosen(filter, pattern, pages)

    def others(self, globs: Globs) -> list[str]:
        """Return the identities that none of the patterns fits."""
        expression = f"(?:{globs.begins(_KEY_END_TEXT)})|{_DEAD_TEXT}|\\Z"
        return _chosen(filterfalse, re.compile(expression, re.DOTALL), self._pages)

    def add(self, identity: str, note: str) -> int:
        """Give an identity that isn't there a slot; the lowest new one is the number of slots."""
        if 3 * (self._filled + 1) > 2 * len(self._table):
            self._begin_table()
        self._move_some()
        key = identity.encode() + _KEY_END
        slot = self._free.pop() if self._free else len(self._starts)
        if slot == len(self._starts):
            self._starts.append(_FREE)
        self._enter(key, slot)
        self._starts[slot] = self._write(key + note.encode() + _END)
        self._count += 1
        return slot

    def remove(self, identity: str) -> int | None:
        """Take an identity out; return the slot that it had."""
        self._move_some()
        table, at = self._lookup(identity.encode() + _KEY_END)
        slot = table[at]
        if slot < 0:
            return None
        table[at] = _GONE
        self._erase(self._starts[slot])
        self._starts[slot] = _FREE
        self._free.append(slot)
        self._count -= 1
        return slot

    # --- tables -------------------------------------------------------------------------

    def _lookup(self, key: bytes) -> tuple[array[int], int]:
        """Return where a key is, or where the table has an empty place for it."""
        at = self._place(self._table, key)
        if self._table[at] == _EMPTY and self._former:
            former = self._place(self._former, key)
            if self._former[former] >= 0:
                return self._former, former
        return self._table, at

    def _place(self, table: array[int], key: bytes) -> int:
        pages, starts, mask = self._pages, self._starts, len(table) - 1
        at = hash(key) & mask
        while (slot := table[at]) != _EMPTY:
            if slot >= 0:
                start = starts[slot]
                if pages[start >> _PAGE_BITS].startswith(key, start & _PAGE_OCTETS - 1):
                    return at
            at = (at + 1) & mask
        return at

    def _enter(self, key: bytes, slot: int) -> None:
        """Put the slot of a key that isn't there into the table."""
        table, mask = self._table, len(self._table) - 1
        at = hash(key) & mask
        while table[at] != _EMPTY:
            at = (at + 1) & mask
        table[at] = slot
        self._filled += 1

    def _begin_table(self) -> None:
        """Begin a table that is larger, or without the traces of what was removed."""
        size = len(self._table)
        while 3 * (self._count + 1) > size:
            size *= 2
        self._former, self._moved = self._table, 0
        self._table, self._filled = array("i", [_EMPTY]) * size, 0

    def _move_some(self) -> None:
        """Take over some places of the former table."""
        former, first = self._former, self._moved
        if not former:
            return
        self._moved = min(first + _MOVES, len(former))
        for at in range(first, self._moved):
            slot = former[at]
            if slot >= 0:
                self._enter(self._key(slot), slot)
                former[at] = _GONE
        if self._moved == len(former):
            self._former = array("i")

    # --- texts --------------------------------------------------------------------------

    def _where(self, slot: int) -> tuple[bytearray, int]:
        start = self._starts[slot]
        return self._pages[start >> _PAGE_BITS], start & _PAGE_OCTETS - 1

    def _key(self, slot: int) -> bytes:
        page, start = self._where(slot)
        return bytes(page[start : page.index(_KEY_END, start) + 1])

    def _write(self, record: bytes) -> int:
        """Store a record; return where."""
        page = self._pages[self._page]
        if page and len(page) + len(record) > _PAGE_OCTETS:
            page = self._turn_page()
        start = self._page << _PAGE_BITS | len(page)
        page += record
        return start

    def _turn_page(self) -> bytearray:
        full = self._pages[self._page]
        self._pages[self._page] = bytearray(full)  # without the room to grow
        if self._free_pages:
            self._page = self._free_pages.pop()
        else:
            self._page = len(self._pages)
            self._pages.append(bytearray())
            self._garbage.append(0)
        return self._pages[self._page]

    def _erase(self, start: int) -> None:
        """Forget a record; what is left in a page that is mostly garbage goes elsewhere."""
        number, begin = start >> _PAGE_BITS, start & _PAGE_OCTETS - 1
        page = self._pages[number]
        end = page.index(_END, begin)
        page[begin:end] = _DEAD * (end - begin)
        self._garbage[number] += end + 1 - begin
        if 2 * self._garbage[number] > len(page) and number != self._page:
            self._clear_page(number)

    def _clear_page(self, number: int) -> None:
        for record in bytes(self._pages[number]).split(_END):
            if record and not record.startswith(_DEAD):
                key = record[: record.index(_KEY_END) + 1]
                table, at = self._lookup(key)
                self._starts[table[at]] = self._write(record + _END)
        self._pages[number], self._garbage[number] = bytearray(), 0
        self._free_pages.append(number)


def _texts(page: bytearray) -> list[str]:
    """Split a page into its records; the last is empty."""
    return page.decode(errors=_TEXT).split(_END_TEXT)


def _identity(text: str) -> str:
    return text.partition(_KEY_END_TEXT)[0]


def _chosen(
    choose: Callable[..., Iterable[str]], pattern: re.Pattern[str], pages: Iterable[bytearray]
) -> list[str]:
    """Return the identities of records that `filter` or `filterfalse` chooses."""
    match: Callable[[str], Any] = pattern.match
    return [_identity(text) for page in pages for text in choose(match, _texts(page))]
