"""Putting fragments of a protected message together again (RFC 7383 section 2.6).

Only authentic fragments come here.  One message at a time: with window size 1
there is no second one.
"""

from __future__ import annotations

from typing import Final

from gcks.errors import Discard, DropReason
from gcks.ike.protect import Fragment, Inner, join_fragments

MAX_FRAGMENTS: Final = 256
"""A message of 65,535 octets in the smallest fragments that are sensible."""
MAX_OCTETS: Final = 65_535
MAX_SECONDS: Final = 30.0
"""A set that is older begins anew with the next fragment."""


class Reassembly:
    """The fragments of the message that is coming in."""

    __slots__ = ("_began", "_fragments", "_key", "_max_octets", "_octets")

    def __init__(self, max_octets: int = MAX_OCTETS) -> None:
        self._max_octets = max_octets
        self._fragments: dict[int, Fragment] = {}
        self._key: tuple[bool, int, int] = (False, 0, 0)
        self._octets = 0
        self._began = 0.0

    @property
    def octets(self) -> int:
        """Return how many octets are held."""
        return self._octets

    def add(
        self, fragment: Fragment, *, is_response: bool, message_id: int, now: float
    ) -> Inner | None:
        """Take one authentic fragment; return the whole once all are there.

        RFC 7383 section 2.6.  A larger Total Fragments replaces the set, a smaller one
        is dropped: the sender has tried smaller fragments meanwhile.  Raises `Discard`:
        one of a set that was replaced, more than `MAX_FRAGMENTS`, or more octets than
        one message may have.
        """
        if fragment.total > MAX_FRAGMENTS:
            raise Discard(DropReason.LIMIT, f"a message in {fragment.total} fragments")
        key = (is_response, message_id, fragment.total)
        if key != self._key or now - self._began > MAX_SECONDS:
            self._check_newer(key, now)
            self._restart(key, now)
        if fragment.number in self._fragments:
            return None
        self._octets += len(fragment.inner.octets)
        if self._octets > self._max_octets:
            self.clear()
            raise Discard(DropReason.LIMIT, "the fragments of one message are too large")
        self._fragments[fragment.number] = fragment
        if len(self._fragments) < fragment.total:
            return None
        whole = join_fragments([self._fragments[n] for n in range(1, fragment.total + 1)])
        self.clear()
        return whole

    def _check_newer(self, key: tuple[bool, int, int], now: float) -> None:
        same_message = key[:2] == self._key[:2] and bool(self._fragments)
        if same_message and key[2] < self._key[2] and now - self._began <= MAX_SECONDS:
            raise Discard(DropReason.REPLAY, "a fragment of a set that was replaced")

    def _restart(self, key: tuple[bool, int, int], now: float) -> None:
        self.clear()
        self._key, self._began = key, now

    def clear(self) -> None:
        """Forget what is held."""
        self._fragments.clear()
        self._octets = 0
