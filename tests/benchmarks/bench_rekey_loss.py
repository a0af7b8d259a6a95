"""Who still has the keys after a rekey, by loss of multicast and number of copies.

python tests/benchmarks/bench_rekey_loss.py [MEMBERS]

Engines of both roles in virtual time; each copy reaches each member or doesn't.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gcks.events import Registered
from gcks.keyserver.commands import RekeyGroup
from gcks.keyserver.groups.policy import LKH
from tests.support.network import MemberNode, Weather
from tests.support.world import World, group_policy, keys_of

LOSSES = (0.01, 0.05, 0.1, 0.2)
COPIES = (1, 2, 3, 4)
REKEYS = 5


def main() -> None:
    members = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print("                                       |  without reminders |     with reminders")
    print("  loss  copies  keyed by them  expected |    later     again |    later     again")
    for loss in LOSSES:
        for copies in COPIES:
            keyed, later, again = simulate(members, loss, copies, reminders=False)
            _, reminded, afresh = simulate(members, loss, copies, reminders=True)
            print(
                f"  {loss:>4.0%} {copies:>7} {keyed:>14.2%} {1 - loss**copies:>9.2%} |"
                f" {later:>8.2%} {again:>9.2f} | {reminded:>8.2%} {afresh:>9.2f}"
            )
    print("later: keyed 45 s after the rekey; again: new registrations after a rekey")


def simulate(
    members: int, loss: float, copies: int, *, reminders: bool
) -> tuple[float, float, float]:
    """Return the share that follows a rekey at once, and soon; new registrations a rekey."""
    policy = group_policy()
    assert policy.rekey is not None
    rekey = replace(policy.rekey, copies=copies, reminders=reminders)
    world = World(groups=(replace(policy, rekey=rekey, key_management=LKH),))
    nodes = [world.member(f"gm{number}", at=number * 0.01) for number in range(members)]
    world.run(60.0)
    network = world.network
    network.weather = Weather(multicast_loss=loss)
    at_once = soon = 0
    before = sum(len(node.all(Registered)) for node in nodes)
    for _ in range(REKEYS):
        outcome = world.server.command(RekeyGroup("keyid:demo"), network.now)
        network.server_did(outcome)
        world.run(network.now + 3.0)  # all copies, and before who lost it has registered again
        at_once += keyed_members(world, nodes)
        world.run(network.now + 42.0)
        soon += keyed_members(world, nodes)
        world.run(network.now + 20.0)
    again = sum(len(node.all(Registered)) for node in nodes) - before
    return at_once / (REKEYS * members), soon / (REKEYS * members), again / REKEYS


def keyed_members(world: World, nodes: Sequence[MemberNode]) -> int:
    current = {(sa.spi, sa.keymat) for sa in world.server.groups["keyid:demo"].sas.data}
    return sum(current <= keys_of(node) for node in nodes)


if __name__ == "__main__":
    main()
