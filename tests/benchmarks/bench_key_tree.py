"""Exclusion with a key tree: what it sends and what it costs, for groups of 100 to a million.

python tests/benchmarks/bench_key_tree.py [MEMBERS ...]
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import count
from math import ceil, log, log2
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gcks.change import Change
from gcks.crypto.signature import SigningKey
from gcks.group.key_download import keymat_octets, rekey_keys, tree_key_download
from gcks.group.rekey_message import Signer, build_rekey, envelope, rekey_cipher
from gcks.iana import ProtocolId
from gcks.journal import MemberSaved
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.groups import Groups
from gcks.keyserver.groups.key_tree import DEGREE, KeyTree, TreeChange
from gcks.keyserver.groups.membership import NO_LEAF
from gcks.keyserver.groups.policy import LKH
from gcks.keyserver.groups.sa_set import rekey_gsa_policy
from gcks.keyserver.groups.tree import change_tree, seat, unseat
from gcks.wire.gsa import GroupSecurityAssociation
from tests.support.world import group_policy

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
BATCHES = (1, 8, 64, 512)
FRAGMENT_OCTETS = 1200
KEY_OCTETS = 32
RUNS = 5


def main() -> None:
    sizes = tuple(map(int, sys.argv[1:])) or SIZES
    print("  members   out  wrapped keys   d log_d n - 1   bound  messages   octets"
          "  fragments  CPU ms   log2 n")  # fmt: skip
    for members in sizes:
        stage = Stage()
        memory, join_us = stage.grow(members)
        for batch in BATCHES:
            if batch <= members // 2:
                row(stage, members, batch)
        print(f"  {members:>7}  join {join_us:.1f} us, {memory / members:.0f} octets a member,"
              f" {memory / 1e6:.0f} MB in all\n")  # fmt: skip


class Stage:
    """A group with a key tree; each step is a decision, whose journal nobody keeps."""

    def __init__(self) -> None:
        policy = replace(group_policy(), key_management=LKH)
        self.groups = Groups(os.urandom, lambda: 0.0)
        self.groups.start({policy.name: policy}, (), 0.0, Change())
        self.group: Group = self.groups.by_name[policy.name]

    @property
    def tree(self) -> KeyTree:
        assert self.group.state.tree is not None
        return self.group.state.tree

    def grow(self, members: int) -> tuple[int, float]:
        """Let members join; return the octets they take, and the time for a join."""
        before, began = resident(), time.process_time()
        for _ in range(members):
            self.join()
        join_us = (time.process_time() - began) / members * 1e6
        for number in range(members):
            self.group.state.apply(_member(number), 0.0)
        list(self.shut_out([]))
        return resident() - before, join_us

    def join(self) -> None:
        with self._deciding() as decision:
            seat(decision, self.tree, NO_LEAF)

    def shut_out(self, slots: Sequence[int]) -> Iterator[TreeChange]:
        """Take members out, and renew in as many messages as that takes."""
        with self._deciding() as decision:
            for slot in slots:
                unseat(decision, slot)
        while self.group.state.wants_tree_change:
            with self._deciding() as decision:
                change = change_tree(decision, self.tree)
            yield change

    def _deciding(self) -> AbstractContextManager[Decision]:
        return self.groups.deciding(self.group, 0.0, Change())


def _member(leaf: int) -> MemberSaved:
    host = f"10.{leaf >> 16 & 255}.{leaf >> 8 & 255}.{leaf & 255}"
    return MemberSaved(
        group="keyid:demo",
        identity=f"fqdn:gm{leaf:07}.example.org",
        address=host,
        sender_ids=(),
        sag=b"",
        registered_at=1.8e9,
        reassembles=True,
        leaf=leaf,
    )


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def row(stage: Stage, members: int, batch: int) -> None:
    """Shut out `batch` random members some times, and put others in their place."""
    wrapped, octets, fragments, messages, spent = 0, 0, 0, 0, 0.0
    for _ in range(RUNS):
        known = [slot for slot in sample_slots(members, batch) if stage.tree.has(slot)]
        slots = random.sample(known, batch)
        began = time.process_time()
        for change in stage.shut_out(slots):
            wrapped += len(change.wrap_keys) + len(change.tops)
            sent = message(change)
            octets += sum(map(len, sent))
            fragments += len(sent)
            messages += 1
        spent += time.process_time() - began
        for _ in slots:
            stage.join()
    plain = DEGREE * log(members, DEGREE) - 1
    levels = ceil(log(members, DEGREE)) - log(batch, DEGREE)
    bound = ceil(DEGREE * ((batch - 1) / (DEGREE - 1) + batch * levels) - batch)
    print(
        f"  {members:>7} {batch:>5} {wrapped / RUNS:>13.1f} {plain:>15.1f} {bound:>7}"
        f" {messages / RUNS:>9.1f} {octets / RUNS:>8.0f} {fragments / RUNS:>10.1f}"
        f" {spent / RUNS * 1e3:>7.2f} {log2(members):>8.1f}"
    )


def sample_slots(members: int, batch: int) -> list[int]:
    return random.sample(range(members), min(members, 4 * batch + 8))


_POLICY = group_policy().rekey
assert _POLICY is not None
_GSA = rekey_gsa_policy(_POLICY, bytes(range(16)))
_KEYMAT = os.urandom(keymat_octets(_GSA.transforms))
_KEY = SigningKey.generate("ed25519")
_SIGNER = Signer(_KEY, _KEY.algorithm())


def message(change: TreeChange) -> tuple[bytes, ...]:
    """Build and sign the GSA_REKEY, in fragments."""
    keys = rekey_keys(_KEYMAT, _GSA)
    kd = tree_key_download(ProtocolId.GIKE_UPDATE, _GSA.spi, _KEYMAT, change.tops, change.wrap_keys)
    cipher = rekey_cipher(_GSA.transforms, keys)
    ivs = (number.to_bytes(cipher.iv_octets, "big") for number in count())
    payloads = (GroupSecurityAssociation((_GSA,), None), kd)
    return build_rekey(cipher, ivs, envelope(_GSA.spi, 0), payloads, _SIGNER, FRAGMENT_OCTETS)


if __name__ == "__main__":
    main()
