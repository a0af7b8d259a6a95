"""A group takes over a changed policy; and what that will do, said before."""

from __future__ import annotations

from gcks.events import MembersLockedOut
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.departing import (
    Way,
    exclude,
    renew_without_departed,
    shut_out_departed,
    start_over,
    way_without,
)
from gcks.keyserver.groups.group import Group, names_of
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.policy_change import (
    PolicyChange,
    changed_options,
    left_outside,
    locked_out,
    start_over_reasons,
)
from gcks.keyserver.groups.sag import needs_of


def plan(group: Group, policy: GroupPolicy) -> PolicyChange:
    """Say what `take_over` will do; nothing changes."""
    members, current = group.state.members, group.sas.current
    reasons = start_over_reasons(group.policy, policy)
    outside = left_outside(members, group.policy, policy)
    if way_without(group, outside, policy) is Way.START_OVER:
        reasons = (*reasons, f"{len(outside)} excluded, and no key tree to do it with")
    lacking, unknown = locked_out(members, policy, needs_of(policy), needs_of(policy, inband=True))
    names = names_of(policy)
    outdated = [] if reasons else group.outdated(policy)
    return PolicyChange(
        group.name,
        len(members),
        starts_over=reasons,
        created=tuple(name for name in outdated if name not in current),
        renewed=tuple(name for name in outdated if name in current and name in names),
        dropped=tuple(name for name in outdated if name not in names),
        grace_seconds=group.overlap_seconds(policy) if outdated else 0.0,
        excluded=outside,
        locked_out=lacking,
        unknown=unknown,
        options=changed_options(group.policy, policy),
    )


def take_over(decision: Decision, policy: GroupPolicy) -> None:
    """Go on under a changed policy; what changed is rekeyed at once."""
    group, before = decision.group, decision.group.policy
    if start_over_reasons(before, policy):
        start_over(decision, policy)
        return
    outside = left_outside(decision.state.members, before, policy)
    asks_more = needs_of(policy) != group.needs
    group.use(policy)
    if asks_more:
        _tell_locked_out(decision)
    exclude(decision, outside)
    if (before.members, before.excluded) != (policy.members, policy.excluded):
        shut_out_departed(decision)
    outdated = group.outdated(policy)
    if outdated:
        renew_without_departed(decision, outdated)


def _tell_locked_out(decision: Decision) -> None:
    group = decision.group
    lacking, _ = locked_out(decision.state.members, group.policy, group.needs, group.needs_inband)
    if lacking:
        identity, cause = lacking[0]
        decision.tell(MembersLockedOut(group.name, len(lacking), identity, cause))
