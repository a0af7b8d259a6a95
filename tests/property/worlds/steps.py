"""What happens in a world, as plain data: drawn from a seed, carried out, left out to shrink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from gcks.keyserver.commands import Exclude, Readmit, RekeyGroup
from gcks.keyserver.groups.policy import GroupPolicy
from tests.property.worlds.policies import (
    IDS_PER_SENDER,
    NAMES,
    RECEIVERS,
    SENDERS,
    draw_change,
    draw_policy,
    identity_of,
)
from tests.property.worlds.stage import MemberOptions, Setting, Stage
from tests.property.worlds.watched import Doom
from tests.support.network import Weather

GROUPS = ("demo", "other")
NUMBERS = {"demo": 8, "other": 9}
WAITS = (0.0, 0.0, 0.005, 0.3, 1.5, 4.0, 10.0, 30.0, 70.0)


class Step(Protocol):
    """One thing that happens."""

    def perform(self, stage: Stage) -> None: ...


@dataclass(frozen=True)
class Wait:
    seconds: float

    def perform(self, stage: Stage) -> None:
        stage.run(self.seconds)


@dataclass(frozen=True)
class Join:
    """A member starts, or starts again."""

    name: str
    groups: tuple[str, ...]
    sender: bool

    def perform(self, stage: Stage) -> None:
        stage.join(self.name, {f"keyid:{group}": self.sender for group in self.groups})


@dataclass(frozen=True)
class Stop:
    """A member ends without a word."""

    name: str

    def perform(self, stage: Stage) -> None:
        stage.stop(self.name)


@dataclass(frozen=True)
class Leave:
    name: str
    insist: bool

    def perform(self, stage: Stage) -> None:
        stage.leave(self.name, insist=self.insist)


@dataclass(frozen=True)
class Rekey:
    group: str

    def perform(self, stage: Stage) -> None:
        stage.command(RekeyGroup(f"keyid:{self.group}"))


@dataclass(frozen=True)
class Reloaded:
    """The configuration is another from now on."""

    policies: tuple[GroupPolicy, ...]

    def perform(self, stage: Stage) -> None:
        stage.reload(self.policies)


@dataclass(frozen=True)
class Excluded:
    group: str
    names: tuple[str, ...]
    immediate: bool

    def perform(self, stage: Stage) -> None:
        names = tuple(map(identity_of, self.names))
        order = Exclude(f"keyid:{self.group}", "identity", names, "op", self.immediate)
        stage.command(order)


@dataclass(frozen=True)
class Readmitted:
    group: str
    name: str

    def perform(self, stage: Stage) -> None:
        stage.command(Readmit(f"keyid:{self.group}", "identity", (identity_of(self.name),), "op"))


@dataclass(frozen=True)
class Crash:
    down_seconds: float
    doom: Doom | None

    def perform(self, stage: Stage) -> None:
        stage.crash(self.down_seconds, self.doom)


@dataclass(frozen=True)
class Fault:
    """A decision of the server breaks down when it draws entropy for the n-th time."""

    draws: int

    def perform(self, stage: Stage) -> None:
        stage.fault(self.draws)


@dataclass(frozen=True)
class Storm:
    """The network is bad from now on."""

    loss: float
    multicast_loss: float
    duplication: float
    most_delay: float

    def perform(self, stage: Stage) -> None:
        stage.weather(
            Weather(
                loss=self.loss,
                multicast_loss=self.multicast_loss,
                duplication=self.duplication,
                most_delay=self.most_delay,
            )
        )


@dataclass(frozen=True)
class Calm:
    """The network is good again; everybody comes back, and reads."""

    def perform(self, stage: Stage) -> None:
        stage.calm()


@dataclass(frozen=True)
class Scenario:
    """A world and its fate."""

    setting: Setting
    steps: tuple[Step, ...]


# --- drawing ---------------------------------------------------------------------------------


class Author:
    """Draws one scenario."""

    def __init__(self, seed: int, known: frozenset[str]) -> None:
        self._random, self._seed, self._known = Random(seed), seed, known

    def scenario(self) -> Scenario:
        """Return a world and its steps, the last of them calm."""
        random = self._random
        self._groups = GROUPS if random.random() < 0.2 else GROUPS[:1]
        self._policies = {group: self._policy(group) for group in self._groups}
        members = {name: self._member_options() for name in NAMES}
        policies = tuple(self._policies.values())
        ike = random.choice((14_400.0, 14_400.0, 50.0))
        setting = Setting(self._seed, policies, members, ike)
        self._rough = random.random() < 0.5
        steps: list[Step] = []
        for name in random.sample(NAMES, random.choice((3, 4, 5, 6))):
            steps += [self._join(name), *self._wait()]
        for _ in range(random.choice((4, 6, 8, 12))):
            steps += [*self._step(), *self._wait()]
        return Scenario(setting, (*steps, Calm()))

    def _policy(self, group: str) -> GroupPolicy:
        return draw_policy(self._random, group, NUMBERS[group])

    def _changed(self, group: str) -> GroupPolicy:
        return draw_change(self._random, self._policies[group], NUMBERS[group])

    def _member_options(self) -> MemberOptions:
        random = self._random
        return MemberOptions(
            sender_ids=random.randint(1, IDS_PER_SENDER),
            announce_transforms=random.random() < 0.8,
            fragment_octets=random.choice((1200, 1200, 1200, None)),
            ike_sa_rekey_seconds=random.choice((14_400.0, 14_400.0, 60.0)),
        )

    def _wait(self) -> list[Step]:
        seconds = self._random.choice(WAITS)
        return [Wait(seconds)] if seconds else []

    def _join(self, name: str) -> Step:
        groups = GROUPS if len(self._groups) > 1 and self._random.random() < 0.6 else GROUPS[:1]
        steadfast = self._random.random() < 0.9
        sender = name in SENDERS and steadfast
        return Join(name, groups, sender)

    def _step(self) -> list[Step]:
        random = self._random
        kinds = [
            self._joins, self._joins, self._leaves, self._stops, self._rekeys,
            self._reloads, self._reloads, self._excludes, self._readmits, self._churns,
        ]  # fmt: skip
        if self._rough:
            kinds += [self._crashes, self._crashes, self._storms, self._storms, self._calms]
            kinds += [self._faults] if random.random() < 0.3 else []
        return random.choice(kinds)()

    def _joins(self) -> list[Step]:
        return [self._join(self._random.choice(NAMES))]

    def _churns(self) -> list[Step]:
        """Senders start again and again: each time takes Sender-IDs."""
        names = self._random.choices(SENDERS, k=4)
        return [step for name in names for step in (self._join(name), *self._wait())]

    def _leaves(self) -> list[Step]:
        return [Leave(self._random.choice(NAMES[:-1]), self._random.random() < 0.8)]

    def _stops(self) -> list[Step]:
        return [Stop(self._random.choice(NAMES))]

    def _rekeys(self) -> list[Step]:
        return [Rekey(self._random.choice(self._groups))]

    def _reloads(self) -> list[Step]:
        random = self._random
        group = random.choice(self._groups)
        if len(self._groups) > 1 and random.random() < 0.3:
            kept = [policy for name, policy in self._policies.items() if name != group]
            again = tuple(self._policies.values())
            before = [Rekey(group)] if random.random() < 0.5 else []
            return [*before, Reloaded(tuple(kept)), *self._wait(), Reloaded(again)]
        self._policies[group] = self._changed(group)
        late = [Wait(0.3), *self._joins()] if random.random() < 0.4 else []
        return [Reloaded(tuple(self._policies.values())), *late]

    def _excludes(self) -> list[Step]:
        random = self._random
        names = random.sample((*SENDERS, *RECEIVERS), random.choice((1, 1, 2)))
        return [Excluded(random.choice(self._groups), tuple(names), random.random() < 0.3)]

    def _readmits(self) -> list[Step]:
        return [
            Readmitted(self._random.choice(self._groups), name)
            for name in self._random.sample((*SENDERS, *RECEIVERS), 4)
        ]

    def _crashes(self) -> list[Step]:
        random = self._random
        doom = random.choice((None, *Doom))
        return [Crash(random.choice((0.0, 1.0, 40.0)), doom)]

    def _storms(self) -> list[Step]:
        random = self._random
        loss = random.choice((0.0, 0.1, 0.4))
        return [
            Storm(
                loss=loss,
                multicast_loss=random.choice((loss, 0.5, 1.0)),
                duplication=random.choice((0.0, 0.3)),
                most_delay=random.choice((0.02, 0.5)),
            )
        ]

    def _calms(self) -> list[Step]:
        return [Calm()]

    def _faults(self) -> list[Step]:
        random = self._random
        cause = random.choice((self._joins, self._rekeys, self._reloads, self._excludes))
        return [Fault(random.randint(0, 6)), *cause()]


def without(scenario: Scenario, steps: Sequence[Step]) -> Scenario:
    """Return the scenario with other steps."""
    return replace(scenario, steps=tuple(steps))
