"""A network in virtual time between one key server and many members, all from one seed.

It delays, loses, reorders (by random delays) and doubles datagrams, translates
the addresses of members behind a NAT, delivers multicast to whoever joined,
and carries simulated group traffic, so that a test can tell whether a rekey
lost a packet.  The same seed gives the same run, except for what the key
exchange library draws by itself.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from typing import Protocol

from gcks.change import Change, Waiting
from gcks.datagrams import Endpoint, Path, Transmit
from gcks.errors import DropReason
from gcks.events import DatagramDropped, Event
from gcks.journal import JournalEntry
from gcks.member.change import MemberChange
from gcks.member.data_plane import (
    ActivateSa,
    DataPlaneCommand,
    Direction,
    InstallSa,
    JoinMulticast,
    LeaveMulticast,
    RemoveSa,
)
from gcks.member.engine import MemberEngine
from tests.support.needs import met

WALL_AT_ZERO = 1_800_000_000.0
"""POSIX time when the virtual clock says 0."""
MEETING_SECONDS = 0.3
"""How long it takes to make a key, or to read a group."""
MAX_STEPS = 2_000_000
"""A run that takes more is an endless loop."""


class ServerEngine(Protocol):
    """What the network needs of the key server."""

    def start(self, now: float) -> Change: ...

    def receive(self, datagram: bytes, path: Path, now: float) -> Change: ...

    def handle_timeout(self, now: float) -> Change: ...

    def resume(self, token: int, result: object, now: float) -> Change: ...


@dataclass
class Weather:
    """How bad the network is; changed between runs at will."""

    loss: float = 0.0
    duplication: float = 0.0
    least_delay: float = 0.002
    most_delay: float = 0.02
    multicast_loss: float | None = None
    """Where None, as `loss`."""


class SimulatedDataPlane:
    """Obeys commands as a kernel would, and complains of what makes no sense."""

    def __init__(self) -> None:
        self.installed: dict[tuple[int, bytes], InstallSa] = {}
        self.sending: set[tuple[int, bytes]] = set()
        self.joined: set[tuple[str, int]] = set()
        self.history: list[DataPlaneCommand] = []
        self._joins: Counter[tuple[str, int]] = Counter()

    def execute(self, commands: Sequence[DataPlaneCommand]) -> None:
        for command in commands:
            self.history.append(command)
            _EXECUTE[type(command)](self, command)

    def _install(self, command: InstallSa) -> None:
        key = (command.protocol, command.spi)
        assert key not in self.installed, f"{key} installed twice"
        self.installed[key] = command

    def _activate(self, command: ActivateSa) -> None:
        key = (command.protocol, command.spi)
        assert self.installed[key].direction is not Direction.IN
        self.sending -= {(command.protocol, spi) for spi in command.replaces}
        self.sending.add(key)

    def _remove(self, command: RemoveSa) -> None:
        key = (command.protocol, command.spi)
        del self.installed[key]
        self.sending.discard(key)

    def _join(self, command: JoinMulticast) -> None:
        self._joins[command.address, command.port] += 1
        self.joined = set(+self._joins)

    def _leave(self, command: LeaveMulticast) -> None:
        self._joins[command.address, command.port] -= 1
        assert self._joins[command.address, command.port] >= 0
        self.joined = set(+self._joins)


_EXECUTE: dict[type, Callable[[SimulatedDataPlane, object], None]] = {
    InstallSa: SimulatedDataPlane._install,
    ActivateSa: SimulatedDataPlane._activate,
    RemoveSa: SimulatedDataPlane._remove,
    JoinMulticast: SimulatedDataPlane._join,
    LeaveMulticast: SimulatedDataPlane._leave,
}  # type: ignore[dict-item]


@dataclass
class MemberNode:
    """A member, and what it did."""

    engine: MemberEngine
    host: str
    nat_host: str | None = None
    """The address that the outside sees, where the member is behind a NAT."""
    plane: SimulatedDataPlane = field(default_factory=SimulatedDataPlane)
    events: list[Event] = field(default_factory=list)
    deaf: bool = False
    """Loses everything that arrives."""
    timer: int = 0
    sent: int = 0

    def all(self, kind: type) -> list:  # type: ignore[type-arg]
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class ServerNode:
    """The key server, and what it did."""

    engine: ServerEngine
    host: str
    events: list[Event] = field(default_factory=list)
    journal: list[JournalEntry] = field(default_factory=list)
    timer: int = 0
    down: bool = False

    def all(self, kind: type) -> list:  # type: ignore[type-arg]
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class Traffic:
    """What became of simulated group packets."""

    sent: int = 0
    received: int = 0
    unreadable: int = 0
    """Arrived at a registered receiver that had no such SA, or another key."""
    unsendable: int = 0
    """A sender had no active SA."""


class Network:
    """Runs everything in order of virtual time."""

    def __init__(self, seed: int, weather: Weather | None = None) -> None:
        self.now = 0.0
        self.random = Random(seed)
        self.weather = weather or Weather()
        self.server: ServerNode | None = None
        self.members: list[MemberNode] = []
        self._behind: dict[str, list[MemberNode]] = {}
        """Members by the address that the outside sees."""
        self.traffic = Traffic()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._steps = 0

    # --- what the engines are given ---------------------------------------------------

    def entropy(self, octets: int) -> bytes:
        return self.random.randbytes(octets)

    def wall(self) -> float:
        return WALL_AT_ZERO + self.now

    def jitter(self, limit: float) -> float:
        return self.random.uniform(0, limit)

    # --- nodes ------------------------------------------------------------------------

    def add_server(self, engine: ServerEngine, host: str) -> ServerNode:
        """Put the key server, or its successor after a restart, on the network."""
        if self.server is not None:
            self.server.down = True
        node = ServerNode(engine, host)
        if self.server is not None:
            node.journal = self.server.journal
            node.events = self.server.events
        self.server = node
        self._server_did(node, engine.start(self.now))
        return node

    def add_member(
        self, engine: MemberEngine, host: str, *, nat_host: str | None = None, at: float = 0.0
    ) -> MemberNode:
        node = MemberNode(engine, host, nat_host)
        self.members.append(node)
        self._behind.setdefault(nat_host or host, []).append(node)
        self.at(at, lambda: self._member_did(node, engine.start(self.now)))
        return node

    # --- time ---------------------------------------------------------------------------

    def at(self, time: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (max(time, self.now), next(self._order), action))

    def run(self, until: float) -> None:
        """Let everything happen that happens up to that time."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, action = heapq.heappop(self._queue)
            self._steps += 1
            assert self._steps < MAX_STEPS, "the network doesn't come to rest"
            action()
        self.now = until

    def run_until(self, condition: Callable[[], bool], limit: float) -> bool:
        """Run until the condition holds; tell whether it did before the limit."""
        while not condition():
            if not self._queue or self._queue[0][0] > limit:
                return False
            self.run(self._queue[0][0])
        return True

    def _arm(self, node: MemberNode | ServerNode, time: float | None) -> None:
        node.timer += 1
        number = node.timer
        if time is None:
            return
        assert time > self.now - 3600, "a timer in the distant past"

        def fire() -> None:
            if node.timer != number:
                return
            if isinstance(node, MemberNode):
                self._member_did(node, node.engine.handle_timeout(self.now))
            elif not node.down:
                self._server_did(node, node.engine.handle_timeout(self.now))

        self.at(time, fire)

    # --- outcomes -------------------------------------------------------------------------

    def _member_did(self, node: MemberNode, outcome: MemberChange) -> None:
        node.events += outcome.events
        _no_internal_errors(outcome.events)
        node.plane.execute(outcome.data_plane)
        for transmit in outcome.transmits:
            node.sent += 1
            self._send(transmit, node.nat_host)
        self._arm(node, outcome.next_timeout)

    def _server_did(self, node: ServerNode, outcome: Change) -> None:
        node.events += outcome.events
        _no_internal_errors(outcome.events)
        node.journal += outcome.journal
        for transmit in outcome.transmits:
            self._send(transmit, None)
        for waiting in outcome.waits:
            self.at(self.now + MEETING_SECONDS, partial(self._meet, node, waiting))
        self._arm(node, outcome.next_timeout)
        if outcome.refusal is not None:
            raise outcome.refusal

    def _meet(self, node: ServerNode, waiting: Waiting) -> None:
        if not node.down:
            result = met(waiting.need, node.journal)
            self._server_did(node, node.engine.resume(waiting.token, result, self.now))

    def leave(self, node: MemberNode, *, insist: bool = False) -> None:
        self._member_did(node, node.engine.leave(self.now, "the test's wish", insist=insist))

    def member_did(self, node: MemberNode, outcome: MemberChange) -> None:
        """Take the outcome of a call that the test made to a member's engine."""
        self._member_did(node, outcome)

    def server_did(self, outcome: Change) -> None:
        """Take the outcome of a command that the test gave to the server's engine."""
        assert self.server is not None
        self._server_did(self.server, outcome)

    # --- datagrams --------------------------------------------------------------------------

    def _send(self, transmit: Transmit, nat_host: str | None) -> None:
        source = transmit.path.local
        if nat_host is not None:
            source = Endpoint(nat_host, source.port + 10_000)
        if transmit.multicast:
            for member in self.members:
                if tuple(transmit.path.remote) in member.plane.joined:
                    self._carry(transmit, source, member)
            return
        self._carry(transmit, source, None)

    def _carry(self, transmit: Transmit, source: Endpoint, receiver: MemberNode | None) -> None:
        loss = self.weather.loss
        if transmit.multicast and self.weather.multicast_loss is not None:
            loss = self.weather.multicast_loss
        copies = 1 + (self.random.random() < self.weather.duplication)
        for _ in range(copies):
            if self.random.random() < loss:
                continue
            delay = self.random.uniform(self.weather.least_delay, self.weather.most_delay)
            path = Path(transmit.path.remote, source, transmit.path.marker)
            self.at(
                self.now + delay, lambda path=path: self._arrive(transmit.octets, path, receiver)
            )

    def _arrive(self, octets: bytes, path: Path, receiver: MemberNode | None) -> None:
        server = self.server
        if server is not None and path.local.host == server.host:
            if not server.down:
                self._server_did(server, server.engine.receive(octets, path, self.now))
            return
        if receiver is not None:
            self._member_receives(receiver, octets, path)
            return
        for member in self._behind.get(path.local.host, ()):
            inside = path.local
            if member.nat_host is not None:
                inside = Endpoint(member.host, path.local.port - 10_000)
            self._member_receives(member, octets, path._replace(local=inside))

    def _member_receives(self, member: MemberNode, octets: bytes, path: Path) -> None:
        if not member.deaf:
            self._member_did(member, member.engine.receive(octets, path, self.now))

    # --- group traffic ------------------------------------------------------------------------

    def start_traffic(self, sender: MemberNode, every: float, until: float) -> None:
        """Send a packet of the group every so many seconds; the wire loses none of them."""

        def send() -> None:
            self._send_packet(sender)
            if self.now + every <= until:
                self.at(self.now + every, send)

        self.at(self.now, send)

    def _send_packet(self, sender: MemberNode) -> None:
        if not sender.plane.sending:
            self.traffic.unsendable += 1
            return
        for key in sender.plane.sending:
            sa = sender.plane.installed[key]
            self.traffic.sent += 1
            for member in self.members:
                if member is not sender:
                    delay = self.random.uniform(0.001, 0.02)
                    self.at(self.now + delay, lambda m=member, sa=sa: self._packet(m, sa))

    def _packet(self, member: MemberNode, sa: InstallSa) -> None:
        held = member.plane.installed.get((sa.protocol, sa.spi))
        readable = (
            held is not None
            and held.direction is not Direction.OUT
            and (held.key_e, held.key_a) == (sa.key_e, sa.key_a)
        )
        if readable:
            self.traffic.received += 1
        else:
            self.traffic.unreadable += 1


def _no_internal_errors(events: Sequence[Event]) -> None:
    for event in events:
        if isinstance(event, DatagramDropped):
            assert event.reason is not DropReason.INTERNAL_ERROR, event
