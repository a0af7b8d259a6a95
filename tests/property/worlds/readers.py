"""Who must be able to read the group's traffic, and whether it can.

While nothing disturbs the network (`calm`), no packet is unreadable to a member that is
registered throughout; after disturbances everybody gets time to come back first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from gcks.errors import AuthorizationFailed
from gcks.events import (
    Event,
    GroupStartedOver,
    LeftGroup,
    PolicyRefused,
    RegisterAgain,
    Registered,
    RekeySent,
    Reregistering,
)
from gcks.group.counter_mode import uses_counter
from gcks.keyserver.groups.authorization import Role, authorize
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.member.data_plane import Direction, InstallSa
from tests.property.worlds.broken import hold
from tests.property.worlds.policies import MOST_LIFETIME_SECONDS

if TYPE_CHECKING:
    from tests.property.worlds.stage import Player, Stage

PACKET_SECONDS: Final = 0.5
FLIGHT_SECONDS: Final = 0.004
BACK_SECONDS: Final = 40.0
"""By then everybody is back after a group has started over."""
RACE_SECONDS: Final = 0.03
"""Longer than a response is under way."""
MISSED_SECONDS: Final = MOST_LIFETIME_SECONDS
"""By then who has missed a rekey, or the end of the group, is back."""
_NO_LONGER: Final = (
    RegisterAgain.ALL_KEYS_DELETED,
    RegisterAgain.EXCLUDED,
    RegisterAgain.IKE_SA_CLOSED,
)
"""Reasons to register again that take the keys at once."""
_MISSED: Final = (RegisterAgain.REKEY_LOST, RegisterAgain.SA_EXPIRING, RegisterAgain.EXCLUDED)
"""Reasons that a member whom every message reaches can't have."""


@dataclass
class Registrations:
    """Since when a member is registered to each group."""

    since: dict[str, float] = field(default_factory=dict)

    def take(self, event: Event, now: float) -> None:
        """Follow the member's events."""
        if isinstance(event, Registered):
            self.since.setdefault(event.group, now)
        elif isinstance(event, LeftGroup) or (
            isinstance(event, Reregistering) and event.reason in _NO_LONGER
        ):
            self.since.pop(event.group, None)


class Readers:
    """Sends packets all the time, and judges who can read them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.calm = True
        self._calm_from: dict[str, float] = {}
        """Group -> when it counts again."""
        self._last_sent: dict[tuple[str, str, object], float] = {}
        """(Member, group, selectors) -> when."""
        self._last_rekey: dict[str, float] = {}
        self._roles: dict[tuple[str, str], Role | None] = {}
        """What was found out since the last change."""

    # --- what is expected -------------------------------------------------

    def disturbed(self) -> None:
        """Count nothing until `settled`."""
        self.calm = False

    @property
    def is_steady(self) -> bool:
        """Tell whether nobody needs time to come back."""
        return self.calm and all(at <= self._stage.now for at in self._calm_from.values())

    def settled(self) -> None:
        """Count everything from now on."""
        self.calm = True
        self._calm_from.clear()

    def pause(self, group: str, seconds: float = BACK_SECONDS) -> None:
        """Count nothing of a group until its members are back."""
        until = self._stage.now + seconds
        self._calm_from[group] = max(until, self._calm_from.get(group, -inf))

    def is_calm(self, group: str) -> bool:
        return self.calm and self._calm_from.get(group, -inf) <= self._stage.now

    def role(self, player: Player, group: str) -> Role | None:
        """Return what a running member may be in a group, None where it may not."""
        place = player.name, group
        if place not in self._roles:
            self._roles[place] = self._role(player, group)
        return self._roles[place]

    def roles_change(self) -> None:
        """Forget who may be what: a member, the policy or an exclusion is another."""
        self._roles.clear()

    def _role(self, player: Player, group: str) -> Role | None:
        policy = self._stage.policies.get(group)
        sender = player.groups.get(group)
        if policy is None or sender is None or player.left:
            return None
        if self._stage.excludes(group, player.identity) or not _can_follow(player, policy):
            return None
        try:
            return authorize(policy, player.identity, player.node.host, sender=sender)
        except AuthorizationFailed:
            return None

    # --- events -------------------------------------------------

    def server_event(self, event: Event) -> None:
        if isinstance(event, GroupStartedOver):
            self.pause(event.group)
        if isinstance(event, RekeySent) and not event.reminder:
            self._last_rekey[event.group] = self._stage.now

    def member_event(self, player: Player, event: Event) -> None:
        """Judge why a member registers again."""
        if isinstance(event, Registered):
            self._race(event.group)
        if isinstance(event, PolicyRefused):
            known = "issue14.15" in self._stage.known and "ESP and AH" in event.cause
            hold(known, "refusals", f"{player.identity}: {event.cause}")
        if isinstance(event, Reregistering) and event.reason in _MISSED:
            self._judge(player, event)

    def _judge(self, player: Player, event: Reregistering) -> None:
        if not self.is_calm(event.group) or self.role(player, event.group) is None:
            return
        if not self._stage.is_member(event.group, player.identity):
            return  # shut out a moment ago, and readmitted
        if not self._stage.policies[event.group].atd_seconds:
            return
        replaced = [sa for sa in self._stage.ledger.keymats.values() if sa.replaced_at < inf]
        told_late = any(sa.name and sa.spi.hex() in event.cause for sa in replaced)
        known = told_late and "issue14.15" in self._stage.known
        hold(known, "knocked out", f"{player.identity}: {event.reason.name} {event.cause}")

    def _race(self, group: str) -> None:
        """Who was still registering when a rekey went out has missed that copy of it."""
        if self._stage.now - self._last_rekey.get(group, -inf) > RACE_SECONDS:
            return
        self.pause(group, MISSED_SECONDS)

    def installed(self, player: Player, sa: InstallSa) -> None:
        """Section 2.4.1.4: nobody sends on a counter-mode SA without a Sender-ID."""
        transforms = [t for t in (sa.encr, sa.integ) if t is not None]
        if sa.direction is not Direction.IN and uses_counter(transforms):
            known = "issue14.1" in self._stage.known
            hold(
                sa.sender_ids or known,
                "sender-ids",
                f"{player.identity} sends on {_text(sa)} without",
            )

    # --- packets -------------------------------------------------

    def tick(self) -> None:
        """Let every member send a packet on each SA that it uses."""
        stage = self._stage
        for player in list(stage.players.values()):
            for sa in self._used(player):
                self._last_sent[player.name, sa.group, _selectors(sa)] = stage.now
                if self.is_calm(sa.group) and self._counts(player, sa):
                    arrive = partial(self._arrive, player, sa)
                    stage.network.at(stage.now + FLIGHT_SECONDS, arrive)
        stage.network.at(stage.now + PACKET_SECONDS, self.tick)

    def _used(self, player: Player) -> list[InstallSa]:
        """Return the SAs that a member sends on: of two for the same traffic the newer one.

        ESP and AH may be active at one time for the simulated data plane, not for a kernel.
        """
        plane, ledger = player.node.plane, self._stage.ledger
        active = [plane.installed[key] for key in plane.sending]
        active.sort(key=lambda sa: ledger.keymats[sa.spi].created_at)
        return list({(sa.group, *_selectors(sa)): sa for sa in active}.values())

    def _counts(self, player: Player, sa: InstallSa) -> bool:
        """Tell whether a sender is one, and the SA one of the policy."""
        role, policy = self.role(player, sa.group), self._stage.policies.get(sa.group)
        if role is None or policy is None or not policy.atd_seconds:
            return False
        if self._is_untold(player, sa.group):
            return False
        return (
            any(
                (one.source, one.destination, one.label) == _selectors(sa)
                for one in policy.data_sas
            )
            and sa.group in player.registrations.since
        )

    def _arrive(self, sender: Player, sa: InstallSa) -> None:
        stage = self._stage
        if not self.is_calm(sa.group) or stage.players.get(sender.name) is not sender:
            return
        if not self._counts(sender, sa):
            return
        for player in stage.players.values():
            if player is not sender and self._must_read(player, sa):
                held = player.node.plane.installed.get((sa.protocol, sa.spi))
                if held is None or not _readable(held, sa):
                    text = f"{player.identity} can't read {_text(sa)} of {sender.identity}"
                    hold(False, "unreadable", text)

    def _must_read(self, player: Player, sa: InstallSa) -> bool:
        role = self.role(player, sa.group)
        since = player.registrations.since.get(sa.group, inf)
        policy = self._stage.policies[sa.group]
        if role is None or not role.receives:
            return False
        if not self._stage.is_member(sa.group, player.identity):
            return False
        return since + _grace_seconds(policy, role) < self._stage.now

    # --- after calm -------------------------------------------------

    def check_all_are_back(self) -> None:
        """After calm every authorized member is registered, and sends where it may."""
        for player, group, role in self._expected():
            policy = self._stage.policies[group]
            full = len(self._stage.members(group)) >= policy.capacity
            if full or self._is_untold(player, group):
                continue
            text = f"{player.identity} in {group}"
            hold(group in player.registrations.since, "not back", f"{text} isn't registered")
            hold(self._stage.is_member(group, player.identity), "not back", f"{text}: no member")
            for sa in policy.data_sas:
                if sa.name in role.sends_on:
                    place = player.name, group, (sa.source, sa.destination, sa.label)
                    last = self._last_sent.get(place, -inf)
                    hold(last > self._stage.now - 2, "mute", f"{text} doesn't send on {sa.name}")

    def _is_untold(self, player: Player, group: str) -> bool:
        """Tell whether a member may not know that its group has started over."""
        known = "worlds.second-group" in self._stage.known and len(player.groups) > 1
        return known and not self._stage.is_member(group, player.identity)

    def _expected(self) -> Iterator[tuple[Player, str, Role]]:
        for player in self._stage.players.values():
            for group in player.groups:
                role = self.role(player, group)
                if role is not None and self.is_calm(group):
                    yield player, group, role


def _can_follow(player: Player, policy: GroupPolicy) -> bool:
    """Who announces nothing is let in where the group needs nothing special."""
    special = policy.aggfrag or policy.ipcomp is not None
    return player.announces or not (special and policy.evaluate_sag)


def _grace_seconds(policy: GroupPolicy, role: Role) -> float:
    """Return how long a newcomer needn't have a replaced SA that others still send on.

    It must not know the past, or would send on that SA itself.
    """
    fresh = policy.backward_access or role.is_sender
    return policy.atd_seconds + 2.0 if fresh else 0.0


def _readable(held: InstallSa, sent: InstallSa) -> bool:
    same = (held.key_e, held.key_a) == (sent.key_e, sent.key_a)
    return same and held.direction is not Direction.OUT


def _selectors(sa: InstallSa) -> tuple[object, ...]:
    return sa.source, sa.destination, sa.label


def _text(sa: InstallSa) -> str:
    return f"{sa.protocol} {sa.spi.hex()} to {sa.destination}"
