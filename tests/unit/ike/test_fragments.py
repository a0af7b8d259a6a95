"""Reassembly of fragments (RFC 7383 section 2.6), bounded in number, octets and time."""

from __future__ import annotations

import random

import pytest

from gcks.errors import Discard, DropReason
from gcks.ike.fragments import MAX_FRAGMENTS, MAX_SECONDS, Reassembly
from gcks.ike.protect import Fragment, Inner

FIRST = 41


def fragments(content: bytes, total: int) -> list[Fragment]:
    size = -(-len(content) // total)
    return [
        Fragment(n, total, Inner(FIRST if n == 1 else 0, 0, content[(n - 1) * size : n * size]))
        for n in range(1, total + 1)
    ]


def add(held: Reassembly, one: Fragment, message_id: int = 5, now: float = 0.0) -> Inner | None:
    return held.add(one, is_response=False, message_id=message_id, now=now)


@pytest.mark.parametrize("seed", range(5))
def test_any_order_gives_the_message_once(seed: int) -> None:
    """RFC 7383 section 2.6: the first fragment names the first payload."""
    content = random.Random(seed).randbytes(5000)
    parts = fragments(content, 7)
    random.Random(seed).shuffle(parts)
    held = Reassembly()
    given = [add(held, part) for part in parts]
    assert given[:-1] == [None] * 6
    assert given[-1] == Inner(FIRST, 0, content)
    assert held.octets == 0


def test_a_fragment_that_comes_twice_counts_once() -> None:
    held = Reassembly()
    one, two = fragments(b"abcdef", 2)
    assert add(held, one) is add(held, one) is None
    assert held.octets == 3
    assert add(held, two) == Inner(FIRST, 0, b"abcdef")


def test_more_fragments_replace_the_set_and_fewer_are_dropped() -> None:
    """RFC 7383 section 2.6: the sender has tried a smaller size meanwhile."""
    held = Reassembly()
    add(held, fragments(b"abcdef", 2)[0])
    three = fragments(b"abcdef", 3)
    assert add(held, three[0]) is None
    with pytest.raises(Discard) as dropped:
        add(held, fragments(b"abcdef", 2)[1])
    assert dropped.value.reason is DropReason.REPLAY
    assert add(held, three[1]) is None
    assert add(held, three[2]) == Inner(FIRST, 0, b"abcdef")


def test_another_message_replaces_what_is_held() -> None:
    held = Reassembly()
    add(held, fragments(b"abcdef", 2)[0], message_id=5)
    one, two = fragments(b"ghijkl", 2)
    assert add(held, one, message_id=6) is None
    assert add(held, two, message_id=6) == Inner(FIRST, 0, b"ghijkl")


def test_a_set_that_never_ends_is_forgotten() -> None:
    held = Reassembly()
    one, two = fragments(b"abcdef", 2)
    add(held, one)
    assert add(held, two, now=MAX_SECONDS + 1) is None
    assert held.octets == 3
    assert add(held, one, now=MAX_SECONDS + 2) == Inner(FIRST, 0, b"abcdef")


def test_too_many_fragments_are_refused_before_any_is_kept() -> None:
    held = Reassembly()
    with pytest.raises(Discard) as dropped:
        add(held, Fragment(1, MAX_FRAGMENTS + 1, Inner(FIRST, 0, b"a")))
    assert dropped.value.reason is DropReason.LIMIT
    assert held.octets == 0


def test_too_many_octets_empty_the_set() -> None:
    held = Reassembly(max_octets=100)
    parts = fragments(bytes(150), 3)
    add(held, parts[0])
    add(held, parts[1])
    with pytest.raises(Discard) as dropped:
        add(held, parts[2])
    assert dropped.value.reason is DropReason.LIMIT
    assert held.octets == 0
