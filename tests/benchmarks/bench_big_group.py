"""What holds up the server in a big group: the longest single step of each operation.

Everything runs on one loop: what takes long here delays every datagram.
CPU milliseconds.  python tests/benchmarks/bench_big_group.py [MEMBERS]
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from gcks.change import Change
from gcks.daemon.control import state
from gcks.daemon.control.requests import ShowRequest
from gcks.journal import MemberRemoved, MemberSaved
from gcks.keyserver.groups.certificate_end import EXPIRED, end_memberships
from gcks.keyserver.groups.departing import named
from gcks.keyserver.groups.exclusions import IDENTITY
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.groups import Groups
from gcks.keyserver.groups.policy import LKH, MemberRule
from gcks.keyserver.groups.policy_change import census
from gcks.keyserver.groups.taking_over import plan
from gcks.keyserver.listing import Listing
from tests.support.world import group_policy

MEMBERS = 1_000_000
GLOBS = 64
ENDS = 1e9
SECOND = 1.0
POLICY = replace(group_policy(), key_management=LKH, members=(MemberRule("fqdn:*"),))


def main() -> None:
    members = int(sys.argv[1]) if len(sys.argv) > 1 else MEMBERS
    groups = Groups(os.urandom, lambda: 0.0)
    groups.start({POLICY.name: POLICY}, (), 0.0, Change())
    group = groups.by_name[POLICY.name]
    print(f"{members:,} members\n  {'':52} CPU ms")
    row("a registration, the slowest", longest(applied(group), map(saved, range(members))))
    row("... all of them, on average", Clock.total / members)
    looked_at(group)
    certificates(groups, group)
    patterns(group)
    gone = [MemberRemoved(POLICY.name, name(number)) for number in range(members)]
    random.shuffle(gone)
    row("a removal, the slowest", longest(applied(group), gone))
    row("... all of them, on average", Clock.total / members)


def applied(group: Group) -> Callable[[Any], None]:
    """Return what takes an entry of the journal over, as every decision does."""
    return lambda entry: group.state.apply(entry, 0.0)


def name(number: int) -> str:
    return f"fqdn:member{number:07}.example.com"


def saved(number: int) -> MemberSaved:
    """Every member has a certificate; one expires each second."""
    host = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    own = number.to_bytes(16, "big")
    return MemberSaved(
        POLICY.name, name(number), host, (), b"", 1e9, certificate_ends=ENDS + number,
        certificates=own, leaf=-1,
    )  # fmt: skip


def looked_at(group: Group) -> None:
    listing = Listing({POLICY.name: group}, 0.0)
    engine = SimpleNamespace(listing=lambda now: listing)
    server: Any = SimpleNamespace(engine=engine, now=lambda: 0.0)
    row("show census", once(lambda: census(group.state.members)))
    for what, match in (("members", None), ("members", "fqdn:nobody*"), ("senders", None)):
        asked = ShowRequest(do="show", what=what, group=POLICY.name, match=match)
        said = f" --match {match}" if match else ""
        row(f"show {what}{said}, one page", once(lambda asked=asked: state.show(server, asked)))


def certificates(groups: Groups, group: Group) -> None:
    members = group.state.members
    row("one of all certificates expires", once(lambda: expire(groups, group, ENDS)))
    row("the next", once(lambda: expire(groups, group, ENDS + SECOND)))
    many = {number.to_bytes(16, "big") for number in range(1 << 40, (1 << 40) + 100_000)}
    row("a CRL that names 100,000 others", once(lambda: members.holders(many)))
    one = (12345).to_bytes(16, "big")
    row("a CRL that names one of them", once(lambda: members.holders({one})))
    at = ENDS + len(members) / 2
    row("half of all expire: one look", once(lambda: expire(groups, group, at)))


def expire(groups: Groups, group: Group, at: float) -> None:
    """Find whose certificates have expired, and tell it; they stay members."""
    with groups.deciding(group, 0.0, Change()) as decision:
        decision.wall = at
        end_memberships(decision, group.state.members.expired(at), EXPIRED)


def patterns(group: Group) -> None:
    added = replace(POLICY, members=(MemberRule("fqdn:a*"), *POLICY.members))
    row("plan: a rule is added", once(lambda: plan(group, added)))
    shut = replace(POLICY, excluded=("fqdn:member0000017*",))
    row("plan: a pattern is excluded", once(lambda: plan(group, shut)))
    for said, globs in (
        ("exclude, a pattern for nobody", ["fqdn:nobody*"]),
        ("exclude, a pattern for ten", ["fqdn:member000017*"]),
        ("exclude, a pattern with a common part", ["fqdn:*17*.org"]),
        (f"exclude, {GLOBS} patterns", [f"fqdn:nobody{one}*" for one in range(GLOBS)]),
    ):
        row(said, once(lambda globs=globs: named(group, IDENTITY, globs)))
    gone = [f"fqdn:gone{number}*" for number in range(GLOBS)]
    for entry in group.state.exclusions.new(IDENTITY, gone, 0.0, "me"):
        group.state.apply(entry, 0.0)
    row(f"{GLOBS} excluded patterns, the next registration", once(shut_out(group)))
    row("... and one more", once(shut_out(group)))


def shut_out(group: Group) -> Callable[[], bool]:
    return lambda: group.state.exclusions.names("fqdn:new.example.com")


class Clock:
    """Times single steps."""

    total = 0.0


def once(step: Callable[[], object]) -> float:
    began = time.process_time()
    step()
    return (time.process_time() - began) * 1e3


def longest(step: Callable[[Any], object], values: Iterable[Any]) -> float:
    """Return the longest step; each is taken once."""
    Clock.total, slowest = 0.0, -inf
    for value in values:
        began = time.process_time()
        step(value)
        taken = time.process_time() - began
        Clock.total += taken * 1e3
        slowest = max(slowest, taken)
    return slowest * 1e3


def row(said: str, milliseconds: float) -> None:
    print(f"  {said:52} {milliseconds:10.3f}", flush=True)


if __name__ == "__main__":
    main()
