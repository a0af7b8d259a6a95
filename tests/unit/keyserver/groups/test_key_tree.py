"""The key tree against members that follow it by RFC 9838 section 3.3."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, log
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcks.crypto.key_wrap import wrap
from gcks.errors import Discard
from gcks.iana import Kwa
from gcks.keyserver.groups import key_tree
from gcks.keyserver.groups.key_tree import DEGREE, KeyTree, NodeKey, Place, TreeChange
from gcks.member.key_path import KeyPath, OpenedSaKey, open_sa_key
from gcks.wire.kd import WrappedKey

KEY_OCTETS, KEYMAT_OCTETS = 32, 68
KWA = Kwa.KW_5649_256


@dataclass
class Follower:
    """A simulated GM: its Working Key Path, and everything it has ever seen."""

    path: KeyPath
    everything: dict[int, set[bytes]] = field(default_factory=dict)


class Site:
    """A tree, its members, and those that were shut out; `disk` is what a store would hold."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.tree = KeyTree(KEY_OCTETS, self.random.randbytes)
        self.members: dict[int, Follower] = {}
        self.out: list[Follower] = []
        self.disk: dict[tuple[int, int], NodeKey] = {}

    def join(self) -> int:
        slot, new = self.tree.leaf_for_newcomer()
        self.keep(new)
        assert slot not in self.members
        gsk_w = self.random.randbytes(32)
        path = self.tree.path(slot)
        below = [(0, gsk_w), *path]
        wraps = [
            WrappedKey(key_id, kwk_id, wrap(kwk, key))
            for (kwk_id, kwk), (key_id, key) in zip(below, path, strict=False)
        ]
        top_id, top = path[-1]
        sa_key = WrappedKey(0, top_id, wrap(top, bytes(KEYMAT_OCTETS)))
        opened = open_sa_key(
            [sa_key], wraps, kwa=KWA, default_kwk=gsk_w, working=(), keymat_octets=KEYMAT_OCTETS
        )
        self.members[slot] = Follower(opened.path)
        return slot

    def exclude(self, *slots: int) -> TreeChange:
        """Shut members out in one message; the others follow it."""
        for slot in slots:
            places = self.tree.nodes_without(slot)
            self.tree.remove(places)
            for place in places:
                self.disk.pop(tuple(place), None)
            self.out.append(self.members.pop(slot))
        change = self.tree.renewal(slots)
        self.keep(change.saved)
        self.follow(change)
        return change

    def renew(self) -> TreeChange:
        """Give nodes that the tree has grown over their keys."""
        change = self.tree.renewal()
        self.keep(change.saved)
        self.follow(change)
        return change

    def keep(self, nodes: tuple[NodeKey, ...]) -> None:
        self.tree.put(nodes)
        for node in nodes:
            self.disk[node.height, node.number] = node

    def follow(self, change: TreeChange) -> None:
        keymat, gsk_w = self.random.randbytes(KEYMAT_OCTETS), self.random.randbytes(32)
        sa_keys = [WrappedKey(0, key_id, wrap(key, keymat)) for key_id, key in change.tops]
        for follower in self.members.values():
            opened = read(sa_keys, change.wrap_keys, follower, gsk_w)
            assert opened.keymat == keymat
            follower.path = opened.path
        for follower in self.out:
            with pytest.raises(Discard):
                read(sa_keys, change.wrap_keys, follower, gsk_w)

    def check(self) -> None:
        """The shape, and the disk, are as they should be."""
        tree, slots = self.tree, sorted(self.members)
        assert len(tree) == len(slots)
        most = max(slots, default=0) + 1
        assert tree.height == max(1, ceil(log(most, DEGREE) - 1e-9))
        for slot in slots:
            path = tree.path(slot)
            assert path[0][0] == self.members[slot].path[-1].key_id
            assert len({key_id for key_id, _ in path}) == len(path) <= tree.height
        for many in (False, True):
            again = self.restored(many=many)
            assert again.height == tree.height and len(again) == len(tree)
            assert [again.path(slot) for slot in slots] == [tree.path(slot) for slot in slots]
            assert again.tops() == tree.tops()
            assert again.leaf_for_newcomer()[0] == tree.leaf_for_newcomer()[0]

    def restored(self, *, many: bool) -> KeyTree:
        """Fold what the disk holds, node by node or all at once."""
        again = KeyTree(KEY_OCTETS, self.random.randbytes)
        nodes = sorted(self.disk.values())
        padding = nodes[:1] * key_tree._MANY
        for some in [[*padding, *nodes]] if many else [[node] for node in nodes]:
            again.put(some)
        return again


def read(
    sa_keys: list[WrappedKey], wraps: tuple[WrappedKey, ...], follower: Follower, gsk_w: bytes
) -> OpenedSaKey:
    """Section 3.3; the GSK_w of the Rekey SA wraps nothing in such a message."""
    return open_sa_key(
        sa_keys, wraps, kwa=KWA, default_kwk=gsk_w, working=follower.path,
        keymat_octets=KEYMAT_OCTETS,
    )  # fmt: skip


def grown(members: int, seed: int = 1) -> Site:
    site = Site(seed)
    for _ in range(members):
        site.join()
    site.renew()
    return site


@pytest.mark.parametrize("members", [1, 2, 3, 4, 5, 16, 17, 64, 65, 200])
def test_one_exclusion_costs_what_theory_says(members: int) -> None:
    """d * log_d(n) - 1 wrapped keys for a full tree, never more than for the next full one."""
    site = grown(members)
    change = site.exclude(site.random.choice(sorted(site.members)))
    height = max(1, ceil(log(members, DEGREE) - 1e-9))
    count = len(change.wrap_keys) + len(change.tops)
    assert count <= DEGREE * height - 1
    if members == DEGREE**height and members > 1:
        assert count == DEGREE * height - 1


@pytest.mark.parametrize("batch", [1, 2, 5, 16, 40])
def test_a_batch_costs_no_more_than_the_published_bound(batch: int) -> None:
    """d(k - 1)/(d - 1) + d k log_d(n / k) - k: every level that k paths share is renewed once."""
    members = 256
    site = grown(members)
    change = site.exclude(*site.random.sample(sorted(site.members), batch))
    levels = log(members / batch, DEGREE)
    bound = DEGREE * ((batch - 1) / (DEGREE - 1) + batch * levels) - batch
    assert len(change.wrap_keys) + len(change.tops) <= bound


def test_cost_is_known_before() -> None:
    site = grown(100)
    slots = site.random.sample(sorted(site.members), 9)
    at_most = site.tree.cost(slots)
    change = site.exclude(*slots)
    assert len(change.wrap_keys) + len(change.tops) <= at_most


@pytest.mark.parametrize("seed", range(30))
def test_survivors_follow_and_nobody_else_whatever_happens(seed: int) -> None:
    """RFC 9838 section 3.2.1: who was shut out reads nothing more, with all that it ever knew."""
    site = Site(seed)
    random = site.random
    for _ in range(60):
        deed = random.random()
        if deed < 0.55 or not site.members:
            for _ in range(random.choice((1, 1, 3, 9))):
                site.join()
        elif deed < 0.9:
            count = min(len(site.members), random.choice((1, 1, 2, 6)))
            site.exclude(*random.sample(sorted(site.members), count))
        else:
            site.renew()
        site.check()


@given(st.lists(st.integers(0, 9), max_size=80), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_order_of_joins_and_exclusions(deeds: list[int], seed: int) -> None:
    site = Site(seed)
    for deed in deeds:
        if deed < 6 or not site.members:
            site.join()
        else:
            site.exclude(sorted(site.members)[deed % len(site.members)])
    site.check()


def test_a_tree_that_has_grown_needs_no_message_to_each() -> None:
    """The node over the old tree gets its key with the next change, by four wraps."""
    site = Site(3)
    for _ in range(17):
        site.join()
    change = site.renew()
    assert [node[:2] for node in change.saved] == [(1, 0), (2, 0)]
    assert len(change.wrap_keys) == 8
    assert len(change.tops) == 2
    assert site.tree.renewal().saved == ()


def test_slots_are_taken_from_below_and_levels_go_when_empty() -> None:
    site = grown(17)
    site.exclude(16)
    assert site.tree.height == 2
    site.exclude(3, 1)
    assert [site.join() for _ in range(3)] == [1, 3, 16]


def test_leaving_takes_leaf_and_empty_nodes_away() -> None:
    site = grown(9)
    assert site.tree.nodes_without(8) == (Place(0, 8), Place(1, 2))
    assert site.tree.has(8)
    site.exclude(8)
    assert not site.tree.has(8) and site.tree.has(7) and not site.tree.has(-1)


def test_nobody_is_left() -> None:
    site = grown(5)
    change = site.exclude(*sorted(site.members))
    assert (change.wrap_keys, change.tops) == ((), ())
    assert site.tree.height == 1
    site.join()
    site.check()
