"""Playing a scenario; where it breaks, the least one that still does, told as a story."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from gcks.events import Event
from gcks.keyserver.groups.policy import GroupPolicy
from tests.property.worlds.broken import BrokenError
from tests.property.worlds.policies import is_allowed
from tests.property.worlds.stage import MemberOptions, Stage
from tests.property.worlds.steps import Calm, Reloaded, Scenario, Step, without
from tests.support.world import group_policy

LAST_LINES: Final = 120
"""Of a story; what was before is seldom the cause."""


@dataclass
class Failure:
    """A scenario that breaks something."""

    scenario: Scenario
    text: str
    stage: Stage
    error: Exception

    @property
    def kind(self) -> str:
        """What is broken, without names and numbers: what a smaller scenario must break, too."""
        return _PARTICULAR.sub("#", self.text)[:100]

    def __str__(self) -> str:
        return "\n".join(_told(self))


_PARTICULAR: Final = re.compile(r"fqdn:\w+\.dev|keyid:\w+|[0-9a-f]{8,}|[0-9.]+|\b[abc]\b")


def play(scenario: Scenario, known: frozenset[str]) -> Failure | None:
    """Carry a scenario out; return what it breaks."""
    stage: Stage | None = None
    try:
        stage = Stage(scenario.setting, known)
        for step in scenario.steps:
            stage.log("", step)
            step.perform(stage)
            stage.check()
    except Exception as error:
        if stage is None:
            raise
        text = str(error) if isinstance(error, BrokenError) else f"{type(error).__name__}: {error}"
        return Failure(scenario, text, stage, error)
    return None


def shrink(failure: Failure, known: frozenset[str], seconds: float) -> Failure:
    """Leave out what isn't needed to break the same rule, as long as there is time."""
    until = time.monotonic() + seconds
    least, going = failure, True
    while going:
        going = False
        for smaller in _smaller(least.scenario):
            if time.monotonic() > until:
                return least
            again = play(smaller, known)
            if again is not None and again.kind == failure.kind:
                least, going = again, True
                break
    return least


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Yield scenarios with less in them, the boldest first."""
    steps, size = scenario.steps, len(scenario.steps)
    chunk = max(1, size // 2)
    while chunk:
        for at in range(0, size, chunk):
            yield without(scenario, steps[:at] + steps[at + chunk :])
        chunk //= 2
    if steps and steps[-1] != Calm():
        yield without(scenario, steps[:-1])
    yield from _plainer_policies(scenario)
    setting = scenario.setting
    for name, options in setting.members.items():
        if options != MemberOptions():
            members = {**setting.members, name: MemberOptions()}
            yield replace(scenario, setting=replace(setting, members=members))


def _plainer_policies(scenario: Scenario) -> Iterator[Scenario]:
    setting = scenario.setting
    for at, policy in enumerate(setting.policies):
        for plainer in _plainer(policy):
            policies = (*setting.policies[:at], plainer, *setting.policies[at + 1 :])
            yield replace(scenario, setting=replace(setting, policies=policies))
    for place, step in enumerate(scenario.steps):
        if isinstance(step, Reloaded):
            for at, policy in enumerate(step.policies):
                for plainer in _plainer(policy):
                    policies = (*step.policies[:at], plainer, *step.policies[at + 1 :])
                    changed: Step = Reloaded(policies)
                    yield without(
                        scenario,
                        (*scenario.steps[:place], changed, *scenario.steps[place + 1 :]),
                    )


_PLAIN: Final = replace(group_policy(), capacity=1_000_000)
_PLAIN_SA: Final = _PLAIN.data_sas[0]
_KEPT: Final = ("id", "name", "source", "destination", "data_sas", "rekey", "sender")


def _plainer(policy: GroupPolicy) -> Iterator[GroupPolicy]:
    """Yield the policy with one thing as it is in the plainest group."""
    if len(policy.data_sas) > 1:
        yield replace(policy, data_sas=policy.data_sas[:1])
    for changed in _one_plain_field(policy, _PLAIN):
        if is_allowed(changed):
            yield changed
    for at, sa in enumerate(policy.data_sas):
        plain = replace(_PLAIN_SA, lifetime_seconds=200)
        for changed_sa in _one_plain_field(sa, plain):
            sas = (*policy.data_sas[:at], changed_sa, *policy.data_sas[at + 1 :])
            if is_allowed(replace(policy, data_sas=sas)):
                yield replace(policy, data_sas=sas)
    if policy.rekey is not None and _PLAIN.rekey is not None:
        for changed_rekey in _one_plain_field(policy.rekey, _PLAIN.rekey):
            if is_allowed(replace(policy, rekey=changed_rekey)):
                yield replace(policy, rekey=changed_rekey)


def _one_plain_field(record: Any, plain: Any) -> Iterator[Any]:
    for name in _changed(record, plain):
        yield replace(record, **{name: getattr(plain, name)})


def _changed(record: Any, plain: Any) -> list[str]:
    """Name the fields that aren't as usual."""
    names = [field.name for field in fields(record) if field.init and field.name not in _KEPT]
    return [name for name in names if getattr(record, name) != getattr(plain, name)]


# --- telling ------------------------------------------------------------------------------------


def _told(failure: Failure) -> Iterator[str]:
    setting = failure.scenario.setting
    yield f"seed {setting.seed} breaks {failure.text}"
    yield f"known faults that are let pass: {', '.join(sorted(failure.stage.known)) or 'none'}"
    for policy in setting.policies:
        yield from _policy_lines(policy)
    if setting.ike_sa_rekey_seconds < 14_400:
        yield f"  the server rekeys IKE SAs after {setting.ike_sa_rekey_seconds} s"
    for name, options in setting.members.items():
        if options != MemberOptions():
            yield f"  {name}: {_differences(options, MemberOptions())}"
    lines = [line for at, who, what in failure.stage.story for line in _line(at, who, what)]
    if len(lines) > LAST_LINES:
        yield f"... {len(lines) - LAST_LINES} lines before"
    yield from lines[-LAST_LINES:]
    yield f"{failure.stage.now:9.3f}  BROKEN: {failure.text}"


def _policy_lines(policy: GroupPolicy) -> Iterator[str]:
    yield f"  {policy.name}: {_differences(policy, _PLAIN)}"
    for sa in policy.data_sas:
        yield f"    {sa.name}: {sa.protocol} to {sa.destination} {_differences(sa, _PLAIN_SA)}"
    if policy.rekey is None:
        yield "    no Rekey SA"
    elif _PLAIN.rekey is not None:
        yield f"    rekey: {_differences(policy.rekey, _PLAIN.rekey)}"


def _differences(record: object, plain: object) -> str:
    told = [f"{name}={getattr(record, name)}" for name in _changed(record, plain)]
    return ", ".join(told) or "as usual"


def _line(at: float, who: str, what: object) -> Iterator[str]:
    if isinstance(what, Reloaded):
        yield f"{at:9.3f}  ==> Reloaded"
        for policy in what.policies:
            yield from (f"          {line}" for line in _policy_lines(policy))
    elif not who:
        yield f"{at:9.3f}  ==> {what}"
    elif isinstance(what, Event):
        yield f"{at:9.3f}  {who:8} {_event(what)}"
    else:
        yield f"{at:9.3f}  {who:8} {what}"


def _event(event: Event) -> str:
    values = {one.name: getattr(event, one.name) for one in fields(event)}
    told = [f"{name}={value}" for name, value in values.items() if value not in ("", (), None)]
    return f"{event.name} {' '.join(told)}"[:180]
