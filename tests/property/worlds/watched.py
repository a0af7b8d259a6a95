"""The network and the server of a watched world: all is shown, anything can break."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from math import inf
from typing import Final, Protocol

from gcks.change import Change
from gcks.datagrams import Transmit
from gcks.events import Event
from gcks.journal import JournalEntry
from gcks.keyserver.engine import Engine
from gcks.member.change import MemberChange
from tests.property.worlds.broken import hold
from tests.support.network import MemberNode, Network, ServerNode, Weather
from tests.support.world import SERVER_HOST, World

FAIR: Final = Weather(least_delay=0.01, most_delay=0.01)
"""Nothing is lost, nothing overtakes."""
MAX_SPINS: Final = 100
"""Calls of one engine in one moment."""


class Watcher(Protocol):
    """Who is shown what happens, before it has its effects."""

    def log(self, who: str, what: object) -> None: ...

    def server_committed(
        self, journal: Sequence[JournalEntry], events: Sequence[Event]
    ) -> None: ...

    def server_sends(self, transmits: Sequence[Transmit]) -> None: ...

    def member_did(self, node: MemberNode, outcome: MemberChange) -> None: ...

    def restart_server(self) -> None: ...


class Doom(Enum):
    """When the server falls, with its next decision."""

    BEFORE_COMMIT = "before it is committed"
    AFTER_COMMIT = "when it is committed, and nothing sent"


class WatchedNetwork(Network):
    """Shows everything to the stage; lets the server fall in the middle of a decision."""

    def __init__(self, seed: int, watcher: Watcher) -> None:
        super().__init__(seed, replace(FAIR))
        self._watcher = watcher
        self.doom: Doom | None = None
        self.down_seconds = 0.0
        self.fault_in: int | None = None
        """How many more times the server gets entropy before it gets an exception."""
        self.faults = 0
        self._spun_at, self._spins = -inf, 0

    def server_entropy(self, octets: int) -> bytes:
        if self.fault_in is not None:
            self.fault_in -= 1
            if self.fault_in < 0:
                self.fault_in = None
                self.faults += 1
                raise RuntimeError("a fault of the test's")
        return self.entropy(octets)

    def fall(self) -> None:
        """End the server; it comes back later."""
        assert self.server is not None
        self.doom, self.fault_in = None, None
        self.server.down = True
        self._watcher.log("server", f"FALLS, for {self.down_seconds} s")
        self.at(self.now + self.down_seconds, self._watcher.restart_server)

    def _server_did(self, node: ServerNode, outcome: Change) -> None:
        self._count_spins()
        decided = bool(outcome.journal or outcome.transmits)
        if decided and self.doom is Doom.BEFORE_COMMIT:
            self.fall()
            return
        self._watcher.server_committed(outcome.journal, outcome.events)
        node.events += outcome.events
        node.journal += outcome.journal
        if decided and self.doom is Doom.AFTER_COMMIT:
            self.fall()
            return
        self._watcher.server_sends(outcome.transmits)
        self._carry_out(node, outcome)

    def _member_did(self, node: MemberNode, outcome: MemberChange) -> None:
        self._watcher.member_did(node, outcome)
        super()._member_did(node, outcome)

    def _count_spins(self) -> None:
        self._spins = self._spins + 1 if self._spun_at == self.now else 0
        self._spun_at = self.now
        hold(self._spins < MAX_SPINS, "bounded", "the server doesn't come to rest")

    def remove_member(self, node: MemberNode) -> None:
        """Take a member off the network."""
        node.timer += 1
        node.deaf = True
        self.members.remove(node)
        self._behind[node.host].remove(node)


@dataclass
class WatchedWorld(World):
    """A world on the watched network."""

    watched: WatchedNetwork = field(kw_only=True)

    def __post_init__(self) -> None:
        self.network: WatchedNetwork = self.watched
        self._hosts = 0

    def place(self, number: int) -> None:
        """Give the next member that address: a member's is its own for ever."""
        self._hosts = number

    def start_server(self) -> None:
        network = self.network
        journal = network.server.journal if network.server is not None else []
        engine = Engine(
            self.settings,
            self.server_credentials,
            self.policies,
            list(journal),
            entropy=network.server_entropy,
            wall=network.wall,
            now=network.now,
            meter=self.meter,
        )
        network.add_server(engine, SERVER_HOST)
