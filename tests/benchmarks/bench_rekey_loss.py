"""Who still has the keys after a rekey, by loss of multicast and number of copies.

python tests/benchmarks/bench_rekey_loss.py [MEMBERS]

Engines of both roles in virtual time; each copy reaches each member or doesn't.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from gcks.events import Registered
from gcks.group.policy import LKH
from gcks.keyserver.commands import RekeyGroup
from tests.exchange.demo import World, group_policy, keys_of, state
from tests.exchange.network import Weather

LOSSES = (0.01, 0.05, 0.1, 0.2)
COPIES = (1, 2, 3, 4)
REKEYS = 5


def main() -> None:
    members = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print("  loss  copies  keyed after a rekey  expected  registered again  at last")
    for loss in LOSSES:
        for copies in COPIES:
            keyed, again, healthy = simulate(members, loss, copies)
            print(
                f"  {loss:>4.0%} {copies:>7} {keyed:>19.2%} {1 - loss**copies:>10.2%}"
                f" {again:>16.2f} {healthy:>8.1%}"
            )


def simulate(members: int, loss: float, copies: int) -> tuple[float, float, float]:
    """Return the share that follows a rekey, new registrations a rekey, and who is well at last."""
    policy = group_policy()
    assert policy.rekey is not None
    rekey = replace(policy.rekey, copies=copies)
    world = World(groups=(replace(policy, rekey=rekey, key_management=LKH),))
    nodes = [world.member(f"gm{number}", at=number * 0.01) for number in range(members)]
    world.run(60.0)
    network = world.network
    assert network.server is not None
    network.weather = Weather(multicast_loss=loss)
    followed = 0
    before = sum(len(node.all(Registered)) for node in nodes)
    for _ in range(REKEYS):
        outcome = world.server.command(RekeyGroup("keyid:demo"), network.now)
        network._server_did(network.server, outcome)
        world.run(network.now + 3.0)  # all copies, and before who lost it has registered again
        current = {(sa.spi, sa.keymat) for sa in world.server.groups["keyid:demo"].sas.data}
        followed += sum(current <= keys_of(node) for node in nodes)
        world.run(network.now + 60.0)
    again = sum(len(node.all(Registered)) for node in nodes) - before
    network.weather = Weather()
    world.run(network.now + 700.0)
    healthy = sum(state(node) == "registered" for node in nodes) / members
    return followed / (REKEYS * members), again / REKEYS, healthy


if __name__ == "__main__":
    main()
