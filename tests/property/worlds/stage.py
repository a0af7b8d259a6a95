"""A whole world that is watched: one server, its members, a network, and all that must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gcks.datagrams import Transmit
from gcks.errors import DropReason, LocalError
from gcks.events import DatagramDropped, Event
from gcks.ike.retransmission import Retransmission
from gcks.journal import ExclusionLifted, ExclusionSaved, GroupRemoved, JournalEntry
from gcks.keyserver.commands import Command, Reload
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.member.ceiling import Ceiling
from gcks.member.change import MemberChange
from gcks.member.data_plane import Feature, InstallSa
from gcks.member.settings import Retry
from tests.property.worlds.air import Air
from tests.property.worlds.broken import hold
from tests.property.worlds.ledger import Ledger
from tests.property.worlds.memory import check_memory, check_timers
from tests.property.worlds.policies import (
    MOST_DTD_SECONDS,
    MOST_LIFETIME_SECONDS,
    NAMES,
    identity_of,
)
from tests.property.worlds.readers import Readers, Registrations
from tests.property.worlds.secrecy import Secrecy
from tests.property.worlds.watched import FAIR, Doom, WatchedNetwork, WatchedWorld
from tests.support.memory_store import replay
from tests.support.network import MemberNode, Weather
from tests.support.world import PSK, SERVER_SETTINGS

SETTLE_SECONDS: Final = MOST_LIFETIME_SECONDS + 60.0
"""After so much calm everybody is back, whatever was lost."""
STEADY_SECONDS: Final = 60.0
"""Then for so long not one packet may be unreadable."""
LIVENESS_SECONDS: Final = 20.0


@dataclass(frozen=True)
class MemberOptions:
    """What a member's operator has set."""

    sender_ids: int = 1
    announce_transforms: bool = True
    fragment_octets: int | None = 1200
    ike_sa_rekey_seconds: float = 14_400.0


@dataclass
class Player:
    """A member that runs; after a restart it is another."""

    name: str
    node: MemberNode
    groups: Mapping[str, bool]
    """Group -> whether as a sender."""
    announces: bool = True
    registrations: Registrations = field(default_factory=Registrations)
    left: bool = False

    @property
    def identity(self) -> str:
        return identity_of(self.name)


@dataclass(frozen=True)
class Setting:
    """What a world begins with."""

    seed: int
    policies: tuple[GroupPolicy, ...]
    members: Mapping[str, MemberOptions]
    ike_sa_rekey_seconds: float = 14_400.0


class Stage:
    """Everything, and the steps that can be taken."""

    def __init__(self, setting: Setting, known: frozenset[str]) -> None:
        self.setting, self.known = setting, known
        self.policies = {policy.name: policy for policy in setting.policies}
        """What is configured now."""
        self.story: list[tuple[float, str, object]] = []
        """Time, who, and what: an event or a text."""
        self.players: dict[str, Player] = {}
        self.ledger = Ledger(known)
        self.air = Air(self.ledger)
        self.secrecy = Secrecy(self.ledger, self.air, known)
        self.readers = Readers(self)
        self.network = WatchedNetwork(setting.seed, self)
        self._exclusions: set[tuple[str, str]] = set()
        """Group and identity."""
        self._by_node: dict[int, Player] = {}
        settings = replace(
            SERVER_SETTINGS,
            liveness_seconds=LIVENESS_SECONDS,
            ike_sa_rekey_seconds=setting.ike_sa_rekey_seconds,
        )
        self.world = WatchedWorld(groups=setting.policies, settings=settings, watched=self.network)
        self.world.start_server()
        self.network.at(0.25, self.readers.tick)

    # --- looking -------------------------------------------------

    @property
    def now(self) -> float:
        return self.network.now

    @property
    def is_up(self) -> bool:
        return self.network.server is not None and not self.network.server.down

    def members(self, group: str) -> list[str]:
        """Return the members by the journal."""
        record = self.ledger.groups.get(group)
        return record.members() if record is not None else []

    def is_member(self, group: str, identity: str) -> bool:
        return identity in self.members(group)

    def excludes(self, group: str, identity: str) -> bool:
        """Tell whether an operator's order stands against it."""
        return (group, identity) in self._exclusions

    def log(self, who: str, what: object) -> None:
        self.story.append((self.now, who, what))

    # --- what the network shows -------------------------------------------------

    def server_committed(self, journal: Sequence[JournalEntry], events: Sequence[Event]) -> None:
        """Follow a commit."""
        for event in events:
            self.log("server", event)
            self._no_internal_error(event)
            self.readers.server_event(event)
        self.ledger.take(journal, events, self.policies, self.now)
        self.secrecy.seated(journal)
        for entry in journal:
            self._note_exclusion(entry)

    def _note_exclusion(self, entry: JournalEntry) -> None:
        if isinstance(entry, ExclusionSaved):
            self._exclusions.add((entry.group, entry.name))
            self.readers.roles_change()
        elif isinstance(entry, ExclusionLifted):
            self._exclusions.discard((entry.group, entry.name))
            self.readers.roles_change()
        elif isinstance(entry, GroupRemoved):
            self._exclusions = {place for place in self._exclusions if place[0] != entry.group}
            self.readers.roles_change()

    def _no_internal_error(self, event: Event) -> None:
        if isinstance(event, DatagramDropped) and event.reason is DropReason.INTERNAL_ERROR:
            hold(self.network.faults, "internal error", event.detail)

    def server_sends(self, transmits: Sequence[Transmit]) -> None:
        """Hold what leaves against what was committed."""
        self.air.take(transmits)

    def member_did(self, node: MemberNode, outcome: MemberChange) -> None:
        """Follow a member."""
        player = self._by_node.get(id(node))
        if player is None:
            return
        self.secrecy.told(player.identity, outcome.keys)
        for event in outcome.events:
            self.log(player.name, event)
            self.readers.member_event(player, event)
            player.registrations.take(event, self.now)
        for command in outcome.data_plane:
            if isinstance(command, InstallSa):
                self.readers.installed(player, command)

    # --- what can be done -------------------------------------------------

    def join(self, name: str, groups: Mapping[str, bool]) -> None:
        """Start a member, or start it again without a word to the server."""
        self.stop(name)
        options = self.setting.members.get(name, MemberOptions())
        self.world.place(NAMES.index(name))
        node = self.world.member(
            name,
            groups=[group.removeprefix("keyid:") for group in groups],
            at=self.now,
            sender=any(groups.values()),
            sender_ids=options.sender_ids,
            announce_transforms=options.announce_transforms,
            fragment_octets=options.fragment_octets,
            ike_sa_rekey_seconds=options.ike_sa_rekey_seconds,
            liveness_seconds=LIVENESS_SECONDS,
            retransmission=Retransmission(1.0, 1.5, 5),
            retry=Retry(first_seconds=2.0, max_seconds=15.0),
            ceiling=Ceiling(features=frozenset(Feature), allow_implicit_authentication=True),
        )
        player = Player(name, node, dict(groups), options.announce_transforms)
        self.players[name] = player
        self.readers.roles_change()
        self._by_node[id(node)] = player

    def stop(self, name: str) -> None:
        """End a member without a word to anybody."""
        player = self.players.pop(name, None)
        if player is not None:
            self.network.remove_member(player.node)

    def leave(self, name: str, *, insist: bool) -> None:
        player = self.players.get(name)
        if player is not None and not player.left:
            player.left = True
            self.readers.roles_change()
            self.network.leave(player.node, insist=insist)

    def command(self, command: Command) -> None:
        """Give the server an operator's command, where it is there."""
        if not self.is_up:
            return
        try:
            self.network.server_did(self.world.server.command(command, self.now))
        except LocalError as error:
            if "internal error" in str(error):
                hold(self.network.faults, "internal error", "in a command")
            self.log("server", f"refuses: {error}")

    def reload(self, policies: Sequence[GroupPolicy]) -> None:
        """Change the configuration; a server that is down takes it when it starts."""
        before = self.policies
        self.world.groups = tuple(policies)
        self.policies = {policy.name: policy for policy in policies}
        self.readers.roles_change()
        for policy in policies:
            old = before.get(policy.name)
            if old is None or _disturbs(old, policy):
                self.readers.pause(policy.name)
        self.command(Reload(self.world.settings, PSK, self.policies))

    def crash(self, down_seconds: float, doom: Doom | None) -> None:
        """Let the server fall: now, or with its next decision."""
        self.readers.disturbed()
        self.network.down_seconds, self.network.doom = down_seconds, doom
        if self.is_up and doom is None:
            self.network.fall()

    def restart_server(self) -> None:
        self.log("server", "STARTS")
        self.network.faults, self.network.fault_in = 0, None
        self.ledger.server_is_back(self.now)
        self.world.start_server()

    def fault(self, draws: int) -> None:
        """Have one of the server's next decisions break down in its middle."""
        self.readers.disturbed()
        self.network.fault_in = draws

    def weather(self, weather: Weather) -> None:
        self.readers.disturbed()
        self.network.weather = weather

    def calm(self) -> None:
        """Let everybody come back, and go on for a while without a loss."""
        self.network.weather = replace(FAIR)
        self.network.doom = self.network.fault_in = None
        for player in self.players.values():
            player.node.deaf = False
        self.network.run(self.now + (STEADY_SECONDS if self.readers.is_steady else SETTLE_SECONDS))
        self.check()
        self.readers.settled()
        self.network.run(self.now + STEADY_SECONDS)
        self.readers.check_all_are_back()
        self.check_what_is_over()

    def run(self, seconds: float) -> None:
        self.network.run(self.now + seconds)

    # --- what must hold -------------------------------------------------

    def check(self) -> None:
        """Hold after a step what holds always."""
        self.network.run(self.now)  # what is due at once
        server = self.network.server
        if server is not None and not server.down and not self.network.doom:
            stored = {group.group: group for group in replay(server.journal)}
            engine = self.world.server
            check_memory(engine.groups, engine.waiting_groups, stored)
            check_timers(self.world.server.groups, self.now)
            self.secrecy.check(map(identity_of, NAMES), self.now)
            self._check_members()

    def _check_members(self) -> None:
        """Whom no rule names is no member."""
        for group, policy in self.policies.items():
            if group in self.world.server.waiting_groups:
                continue  # for the key that its policy asks for
            for identity in self.members(group):
                text = f"{identity} is one of {group}, and no rule names it"
                hold(policy.rule_for(identity) is not None, "members", text)
                hold(not self.excludes(group, identity), "members", f"{text}: excluded")

    def check_what_is_over(self) -> None:
        """No member has an SA that is over and that nothing there will end."""
        for player in self.players.values():
            for sa in player.node.plane.installed.values():
                life = self.ledger.keymats[sa.spi]
                if sa.lifetime_seconds is None and "issue14.14" in self.known:
                    continue
                age = self.now - life.over_at
                most = MOST_DTD_SECONDS + 5 if sa.lifetime_seconds is None else sa.lifetime_seconds
                text = f"{player.identity} keeps {sa.spi.hex()}, over since {life.over_at:.1f}"
                hold(age <= most, "over", text)


def _disturbs(old: GroupPolicy, new: GroupPolicy) -> bool:
    """Tell whether a reload may cost packets: the delays change under way."""
    delays = (old.atd_seconds, old.dtd_seconds) != (new.atd_seconds, new.dtd_seconds)
    return delays or old.inband_senders != new.inband_senders
