"""Half an hour of 500 members in less than a minute, with what the daemon makes of it.

Rekeys every few seconds, reloads, rotations, members that come and are shut out, a
program that follows the events and reads none, Prometheus; nothing grows.

What is left out to be quick: all 500 follow the rekeys for a minute, then most of them
are asleep, which the server can't tell, and `AWAKE` go on to the end.  From then on
memory is traced, which makes everything three times as slow, and Prometheus comes every
other second only.

Shows gcks/keyserver, gcks/daemon/metrics.py and gcks/daemon/control.
"""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any, Self

import pytest
from prometheus_client import generate_latest

from gcks.daemon.audit import AuditLog
from gcks.daemon.audit_chain import verify
from gcks.daemon.config.loaded import LogOptions
from gcks.daemon.control.event_lines import KEPT_OF_A_KIND, Wanted
from gcks.daemon.control.listener import MAX_WAITING_EVENTS, ControlSocket
from gcks.daemon.control.peers import Access, Gate
from gcks.daemon.logs import EventLog, configure
from gcks.daemon.metrics import ServerMetrics
from gcks.events import KINDS, Event, MemberRegistered
from gcks.member.status import GroupStatus
from tests.support.event_samples import sample
from tests.support.network import MemberNode, Weather
from tests.support.scene import TREE, Scene

MINUTES = 30
MEMBERS, AWAKE = 500, 25
REKEY_SECONDS, KEK_SECONDS, SCRAPE_SECONDS = 8, 120, 2
AS_OFTEN = 0.95
ROTATION_MINUTES, ALL_AWAKE, FLAT_FROM = 5, 1, 10
EXCLUSIONS = (4, 5, 6, 17, 24)
"""When, and who.  Then messages follow each other so closely that one can overtake the second
copy of the one before; who has lost the first copy gets what counts with the later message."""
GROWTH_OCTETS = 1 << 16
"""From `FLAT_FROM` to the end."""
MOST = (10, 20, 20, 5)
"""IKE SAs (of the excluded, who try again), replaced SAs, messages on their way, early renewals."""


class Seen(list[Event]):
    """Counts events instead of keeping them, and passes them on."""

    def __init__(self, tell: Callable[[Sequence[Event]], None] | None = None) -> None:
        super().__init__()
        self.count: Counter[type] = Counter()
        self._tell = tell

    def __iadd__(self, events: Sequence[Event]) -> Self:  # type: ignore[override]
        self.count.update(map(type, events))
        if self._tell is not None:
            self._tell(events)
        return self


class Edge:
    """What the daemon does with events, beside sending datagrams."""

    def __init__(self, scene: Scene, directory: Path) -> None:
        self._scene, self._audited = scene, directory / "audit.log"
        server = scene.world.server
        self._metrics = ServerMetrics(lambda: server.status(scene.now), lambda: server.groups)
        self._null = open(os.devnull, "w")  # noqa: SIM115
        self._log = EventLog(configure(LogOptions("json", "info"), self._null))
        self._audit = AuditLog(self._audited, scene.world.network.wall)
        self._control = ControlSocket(
            directory / "control.sock", Gate(Access()), bytes, _nothing, self.tell
        )
        self._open = ExitStack()
        self.deaf = self._open.enter_context(self._control.following(Wanted()))
        self._rotations = 0

    def fill(self) -> None:
        """Fill what holds the last events of each kind: from then on it must not grow."""
        for kind in KINDS:
            self._control.tell([sample(kind) for _ in range(KEPT_OF_A_KIND)])

    def tell(self, events: Sequence[Event]) -> None:
        self._metrics.count(events)
        self._log.write(events, self._scene.now)
        self._control.tell(events)
        self._audit.write(events, self._scene.now)

    def scrape(self) -> None:
        self.page = generate_latest(self._metrics.registry).decode()

    def rotate(self) -> None:
        self._rotations += 1
        self._audited.rename(self._audited.with_suffix(f".{self._rotations:03}"))
        self._audit.reopen()

    def close(self) -> list[Path]:
        """Return the audit logs."""
        self._open.close()
        self._audit.close()
        self._null.close()
        return [*sorted(self._audited.parent.glob("audit.[0-9]*")), self._audited]


def _nothing(*_: object) -> Any:
    raise NotImplementedError


def held(scene: Scene) -> tuple[int, ...]:
    """Count what a server keeps of the past."""
    group, engine = scene.group, scene.world.server
    return (
        len(engine.ike_sas),
        len(group.sas.replaced),
        len(group.outbox),
        len(group.state.steps),
    )


def status(node: MemberNode) -> GroupStatus:
    (group,) = node.engine.status(0.0).groups
    return group


class Soak:
    """A scene whose network keeps nothing of the past, and its edge."""

    def __init__(self, directory: Path) -> None:
        rekey = replace(TREE.rekey, renew_seconds=KEK_SECONDS)  # type: ignore[type-var]
        data = tuple(replace(sa, renew_seconds=REKEY_SECONDS) for sa in TREE.data_sas)
        self.scene = scene = Scene(replace(TREE, rekey=rekey, data_sas=data), members=MEMBERS)
        self.network = scene.world.network
        self.network.weather = Weather(multicast_loss=0.01)
        self.edge = Edge(scene, directory)
        assert self.network.server is not None
        self.events = self.network.server.events = Seen(self.edge.tell)
        self.members: list[Seen] = []
        self._watch()

    def _watch(self) -> None:
        for one in self.scene.members[len(self.members) :]:
            one.events = Seen()
            self.members.append(one.events)

    def join(self) -> None:
        scene = self.scene
        name = f"gm{MEMBERS + len(self.members)}"
        scene.members.append(scene.world.member(name, at=scene.now))
        self._watch()

    def put_to_sleep(self) -> None:
        """Let only some hear and do anything from now on."""
        for one in self.scene.members[AWAKE:]:
            one.timer, one.deaf = one.timer + 1, True
        self.scene.members[AWAKE:] = self.network.members[AWAKE:] = self.members[AWAKE:] = []

    def run(self, seconds: int) -> None:
        assert self.network.server is not None
        for _ in range(seconds // SCRAPE_SECONDS):
            self.scene.run(SCRAPE_SECONDS)
            self.edge.scrape()
        self.network.server.journal.clear()
        for one in self.scene.members:
            one.plane.history.clear()

    def check_followed(self, members: Sequence[MemberNode], seconds: float) -> int:
        """They followed the rekeys, nobody registered again; return how many messages got lost."""
        all_of_them = [status(one) for one in members]
        assert {(one.state, one.registrations) for one in all_of_them} == {("registered", 1)}
        assert min(one.rekeys for one in all_of_them) >= AS_OFTEN * seconds / REKEY_SECONDS
        return sum(one.rekeys_missed for one in all_of_them)

    def check(self, out: Sequence[int]) -> None:
        """Those in `out` know nothing, the others went on, and the edge has kept up."""
        scene = self.scene
        scene.check(out, undisturbed=False)
        stayed = [one for number, one in enumerate(scene.members) if number not in out]
        first, joined = stayed[: AWAKE - len(out)], stayed[AWAKE - len(out) :]
        assert self.check_followed(first, MINUTES * 60) <= len(out)  # see EXCLUSIONS
        assert self.check_followed(joined, 0) <= len(out)
        assert self.events.count[MemberRegistered] == len(joined)
        text = self.edge.page
        assert f'gcks_members{{group="keyid:demo"}} {MEMBERS + len(joined) - len(out)}.0' in text
        assert self.edge.deaf.waiting == MAX_WAITING_EVENTS
        files = self.edge.close()
        assert len(files) == 1 + MINUTES // ROTATION_MINUTES
        assert verify(files).problem == ""


def traced_octets() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def untraced() -> Iterator[None]:
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("untraced")
def test_half_an_hour(tmp_path: Path) -> None:
    soak = Soak(tmp_path)
    scene, edge = soak.scene, soak.edge
    memory: list[int] = []
    for minute in range(MINUTES):
        if minute == ALL_AWAKE:
            assert soak.check_followed(scene.members, ALL_AWAKE * 60) == 0
            soak.put_to_sleep()
            tracemalloc.start()
            edge.fill()
        if minute >= FLAT_FROM:
            memory.append(traced_octets())
        soak.run(40)
        if minute % ROTATION_MINUTES == 2:
            scene.reload(capacity=1000 + minute)  # drops nothing
            edge.rotate()
        if minute % 10 == 4:
            soak.join()
        if minute in EXCLUSIONS:
            scene.exclude(minute)
        soak.run(20)
        assert all(n <= most for n, most in zip(held(scene), MOST, strict=True)), minute
    memory.append(traced_octets())
    print("growth of memory by the minute", [one - memory[0] for one in memory])
    assert mean(memory[-5:]) - mean(memory[:5]) < GROWTH_OCTETS
    soak.network.weather = Weather()
    soak.run(60)
    soak.check(EXCLUSIONS)
