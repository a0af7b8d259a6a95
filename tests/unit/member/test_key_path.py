"""The Working Key Path where appendix A doesn't look: reused IDs, cycles, floods."""

from __future__ import annotations

from random import Random

import pytest

from gcks.crypto.key_wrap import wrap
from gcks.errors import Discard, DropReason
from gcks.member import key_path
from gcks.member.key_path import KeyPath, OpenedSaKey, PathKey, open_sa_key
from gcks.wire.kd import WrappedKey

KWA = 3
GSK_W = b"\xee" * 32
KEYMAT = bytes(range(68))


def key(number: int) -> bytes:
    return bytes((number,)) * 32


def wrapped(key_id: int, kwk_id: int, content: bytes, around: bytes) -> WrappedKey:
    return WrappedKey(key_id, kwk_id, wrap(around, content))


def follow(
    sa_keys: list[WrappedKey], wrap_keys: list[WrappedKey], working: KeyPath = ()
) -> OpenedSaKey:
    return open_sa_key(
        sa_keys,
        wrap_keys,
        kwa=KWA,
        default_kwk=GSK_W,
        working=working,
        keymat_octets=len(KEYMAT),
    )


def test_a_reused_key_id_doesnt_hide_the_right_key() -> None:
    """Ruling 19: every candidate is tried, integrity decides."""
    working = (PathKey(1, key(1)), PathKey(7, key(7)))
    opened = follow(
        [wrapped(0, 1, KEYMAT, key(101))],
        [wrapped(1, 7, key(101), key(7)), wrapped(1, 7, key(99), key(7))],
        working,
    )
    assert opened.keymat == KEYMAT
    assert opened.path == (PathKey(1, key(101)), PathKey(7, key(7)))


def test_the_old_key_still_opens_what_the_old_key_closed() -> None:
    """Ruling 19, the other way round: the path isn't changed by keys that weren't used."""
    working = (PathKey(1, key(1)), PathKey(7, key(7)))
    opened = follow([wrapped(0, 1, KEYMAT, key(1))], [wrapped(1, 7, key(101), key(7))], working)
    assert opened.path == working


def test_keys_wrapped_in_a_circle_end() -> None:
    circle = [wrapped(1, 2, key(1), key(2)), wrapped(2, 1, key(2), key(1))]
    with pytest.raises(Discard) as caught:
        follow([wrapped(0, 1, KEYMAT, key(1))], circle)
    assert caught.value.reason is DropReason.NO_KEY_PATH


def test_a_key_that_wraps_itself_again_ends() -> None:
    working = (PathKey(1, key(1)),)
    opened = follow([wrapped(0, 1, KEYMAT, key(1))], [wrapped(1, 1, key(1), key(1))], working)
    assert opened.keymat == KEYMAT


def test_a_flood_of_reused_key_ids_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work per message is bounded, whatever the key server sends."""
    monkeypatch.setattr(key_path, "MAX_UNWRAPS", 50)
    flood = [wrapped(1, 0, key(n), GSK_W) for n in range(1, 20)]
    flood += [wrapped(2, 1, key(200), key(201)) for _ in range(20)]
    with pytest.raises(Discard) as caught:
        follow([wrapped(0, 2, KEYMAT, key(200))], flood)
    assert caught.value.reason is DropReason.LIMIT


def test_a_wrap_key_of_the_wrong_size_is_no_key() -> None:
    """Ruling 4: the unwrapped key has the size of the Key Wrap Algorithm."""
    with pytest.raises(Discard):
        follow([wrapped(0, 1, KEYMAT, key(1)[:16])], [wrapped(1, 0, key(1)[:16], GSK_W)])


def test_keying_material_of_the_wrong_size_is_refused() -> None:
    """RFC 9838 section 4.5.2.1: the size MUST be equal to what the SA needs."""
    with pytest.raises(Discard):
        follow([wrapped(0, 0, KEYMAT[:-1], GSK_W)], [])


def test_key_id_zero_is_never_an_intermediate_key() -> None:
    """RFC 9838 section 4.5.3.1: the Key ID of a WRAP_KEY MUST NOT be zero."""
    with pytest.raises(Discard):
        follow([wrapped(0, 0, KEYMAT, key(5))], [wrapped(0, 0, key(5), GSK_W)])


def test_the_first_sa_key_with_a_path_is_used() -> None:
    """RFC 9838 section 3.3: SA_KEYs are processed one by one."""
    opened = follow(
        [wrapped(0, 8, KEYMAT, key(8)), wrapped(0, 0, KEYMAT, GSK_W)], [], (PathKey(3, key(3)),)
    )
    assert opened.path == (PathKey(3, key(3)),)


def test_repr_shows_no_key() -> None:
    assert "key=" not in repr(PathKey(1, key(1)))


def test_a_path_that_grows_without_end_is_cut_off() -> None:
    """A hostile key server can't fill the member's memory rekey by rekey."""
    working: KeyPath = (PathKey(1, key(1)),)
    with pytest.raises(Discard) as caught:
        for number in range(2, 200):
            on_top = wrapped(number, number - 1, key(number), key(number - 1))
            working = follow([wrapped(0, number, KEYMAT, key(number))], [on_top], working).path
    assert caught.value.reason is DropReason.LIMIT
    assert len(working) == key_path.MAX_PATH_KEYS


class Tree:
    """A binary key tree as the GCKS of appendix A keeps it: heap order, 1 is the root's child."""

    def __init__(self, random: Random, leaves: int) -> None:
        self.random = random
        self.leaves = leaves
        self.keys = {node: random.randbytes(32) for node in range(2, 2 * leaves)}
        self.ids = {node: node for node in self.keys}
        self.members = set(range(leaves, 2 * leaves))
        self._next_id = 2 * leaves

    def branch(self, leaf: int) -> list[int]:
        """Return the nodes from below the root down to the leaf."""
        nodes = []
        while leaf > 1:
            nodes.append(leaf)
            leaf //= 2
        return nodes[::-1]

    def path(self, leaf: int) -> KeyPath:
        return tuple(PathKey(self.ids[n], self.keys[n]) for n in self.branch(leaf))

    def exclude(self, leaf: int) -> tuple[bytes, list[WrappedKey], list[WrappedKey]]:
        """Replace the keys above the leaf; wrap them under what the survivors hold."""
        self.members.discard(leaf)
        changed = [node for node in self.branch(leaf) if node != leaf]
        for node in changed:
            self.keys[node] = self.random.randbytes(32)
            self.ids[node] = self._next_id
            self._next_id += 1
        wraps = [
            wrapped(self.ids[node], self.ids[child], self.keys[node], self.keys[child])
            for node in changed
            for child in (2 * node, 2 * node + 1)
            if child < self.leaves or child in self.members
        ]
        self.random.shuffle(wraps)
        keymat = self.random.randbytes(len(KEYMAT))
        sa_keys = [wrapped(0, self.ids[n], keymat, self.keys[n]) for n in (2, 3)]
        return keymat, sa_keys, wraps


@pytest.mark.parametrize("seed", range(10))
def test_survivors_follow_a_tree_and_the_excluded_never_do(seed: int) -> None:
    """RFC 9838 section 3.3, appendix A: exclusions one after the other, in random order."""
    random = Random(seed)
    tree = Tree(random, 16)
    paths = {leaf: tree.path(leaf) for leaf in tree.members}
    for leaf in random.sample(sorted(tree.members), 12):
        keymat, sa_keys, wraps = tree.exclude(leaf)
        for member, path in paths.items():
            if member in tree.members:
                opened = follow(sa_keys, wraps, path)
                assert opened.keymat == keymat
                paths[member] = opened.path
                assert opened.path == tree.path(member)
            else:
                with pytest.raises(Discard):
                    follow(sa_keys, wraps, path)
