"""Everybody registers again at once: with and without spread, with and without admission by cost.

python tests/benchmarks/bench_storm.py [MEMBERS ...]

Engines of both roles in virtual time; the server has one thread, to which a
registration costs 3 ms (or 30 on a slow one), and a socket buffer of 3,000 datagrams.
The group starts over (RFC 9838 section 2.4.3); seconds are from there on.  Without
spread a member waits up to 5 s.  Puzzles are off: their work would be done in real time.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[2]))

from gcks.errors import DropReason
from gcks.events import DatagramDropped, IkeSaClosed, Registered
from gcks.keyserver import load
from gcks.keyserver.commands import Exclude
from gcks.keyserver.groups.exclusions import IDENTITY
from gcks.member.delay import Delay
from tests.support import network
from tests.support.busy_engine import BusyEngine, ticking
from tests.support.network import ServerNode
from tests.support.world import SERVER_SETTINGS, World

CASES = ((1_000, 0.003), (10_000, 0.003), (2_000, 0.03))
"""Members, and what a registration costs the server."""
SENDERS = 20
JOIN_SECONDS = 0.01
"""From one first registration to the next: they are not the storm."""
WITHOUT_SPREAD_SECONDS = 5.0
PATIENCE_SECONDS = 1_800.0
NO_LIMIT = 1_000_000


@dataclass
class Storm:
    """What became of one."""

    times: list[float]
    """When receivers and senders were back, sorted."""
    senders: float
    timed_out: int
    dropped: int
    lost: int
    busy: float

    def share(self, share: float) -> float:
        return self.times[min(len(self.times) - 1, int(share * len(self.times)))]


class Stage:
    """A group of that size, which has registered."""

    def __init__(self, members: int, cost_seconds: float) -> None:
        settings = replace(SERVER_SETTINGS, puzzle_difficulty=0)
        self.world = World(settings=settings, meter=ticking(cost_seconds))
        self.engine = self.world.server
        names = [f"sender{n}" for n in range(SENDERS)]
        names += [f"gm{n}" for n in range(members - SENDERS)]
        self.nodes = [self.world.member(n, at=i * JOIN_SECONDS) for i, n in enumerate(names)]
        self.victims = [self.world.member(f"gm-out{n}") for n in range(4)]
        self.world.run(members * JOIN_SECONDS + 10.0)
        self.busy = BusyEngine(self.engine, cost_seconds)
        self.server.engine = self.busy

    @property
    def server(self) -> ServerNode:
        assert self.world.network.server is not None
        return self.world.network.server

    def storm(self, *, spread: bool, admission: bool) -> Storm:
        for node in self.nodes:
            (group,) = node.engine.groups
            if not spread:
                group.planner.delay = Delay(
                    WITHOUT_SPREAD_SECONDS, sender=group.terms.membership.sender
                )
        least = load.LEAST_BACKLOG if admission else NO_LIMIT
        with patch.object(load, "LEAST_BACKLOG", least):
            return self._storm()

    def _storm(self) -> Storm:
        net = self.world.network
        began, lost, busy = net.now, self.busy.lost, self.busy.busy_seconds
        self.server.events.clear()
        for node in self.nodes:
            node.events.clear()
        back: dict[int, float] = {}
        victim = str(self.victims.pop().engine.settings.identity)
        net.server_did(
            self.busy.command(Exclude("keyid:demo", IDENTITY, (victim,), "bench"), began)
        )
        while len(back) < len(self.nodes) and net.now < began + PATIENCE_SECONDS:
            net.run(net.now + 0.1)
            for number, node in enumerate(self.nodes):
                if number not in back and node.all(Registered):
                    back[number] = net.now - began
        net.run(net.now + 60.0)
        return Storm(
            sorted(back.values()),
            max(back.get(number, PATIENCE_SECONDS) for number in range(SENDERS)),
            sum(one.cause == "GSA_AUTH never came" for one in self.server.all(IkeSaClosed)),
            sum(one.reason is DropReason.LIMIT for one in self.server.all(DatagramDropped)),
            self.busy.lost - lost,
            self.busy.busy_seconds - busy,
        )


def main() -> None:
    network.MAX_STEPS = 10**9
    cases = tuple((int(size), 0.003) for size in sys.argv[1:]) or CASES
    print("  members  cost ms  spread  admission    50 %    99 %     all  senders"
          "  timed out  INITs dropped  lost in buffer  server s")  # fmt: skip
    for members, cost in cases:
        stage = Stage(members, cost)
        for spread in (True, False):
            for admission in (True, False):
                storm = stage.storm(spread=spread, admission=admission)
                row(members, cost, storm, spread, admission)


def row(members: int, cost: float, storm: Storm, spread: bool, admission: bool) -> None:
    missing = members - len(storm.times)
    print(
        f"  {members:>7} {cost * 1000:>8.0f}  {_word(spread):>6}  {_word(admission):>9}"
        f" {storm.share(0.5):>7.1f} {storm.share(0.99):>7.1f} {storm.share(1):>7.1f}"
        f" {storm.senders:>8.1f} {storm.timed_out:>10} {storm.dropped:>14} {storm.lost:>15}"
        f" {storm.busy:>9.1f}{f'  ({missing} never)' if missing else ''}",
        flush=True,
    )


def _word(used: bool) -> str:
    return "yes" if used else "no"


if __name__ == "__main__":
    main()
