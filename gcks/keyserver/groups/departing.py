"""Who is no longer a member, and how the others go on without (RFC 9838 sections 2.4.3, 3.2.1).

With a key tree one message makes new keys for everybody else; it changes nothing
but the Rekey SA.  A second one, under the new Rekey SA, brings new Data-Security
SAs: the first could still be read by those it shuts out.  Without a tree they know
the key that wraps all others: the group starts over, and everybody registers again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final

from gcks.events import GroupEnded, GroupStartedOver, MemberLeft
from gcks.journal import (
    GroupRemoved,
    MemberRemoved,
    MembersRemoved,
    SenderIdsReserved,
)
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.exclusions import CERTIFICATE
from gcks.keyserver.groups.globs import Globs
from gcks.keyserver.groups.group import Group, names_of
from gcks.keyserver.groups.key_tree import TreeChange
from gcks.keyserver.groups.membership import NO_LEAF
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.rekeying import delete_everything
from gcks.keyserver.groups.renewing import (
    make_auth_key,
    renew,
    replace_sas,
    send_due,
    tell_created,
    tell_members,
)
from gcks.keyserver.groups.sa_set import REKEY
from gcks.keyserver.groups.steps import RENEW_DATA, SHUT_OUT
from gcks.keyserver.groups.terms import terms_of
from gcks.keyserver.groups.tree import MAX_STALE_LEAVES, change_tree, unseat

EXCLUDED: Final = "excluded"
MAX_EXCLUDED: Final = 4096
"""At one time: more take longer, message after message, than all need to register again."""

LEAVING_HINTS: Final = {
    "NO_PROPOSAL_CHOSEN": "it refuses the group's policy and its own log says what of it: raise "
    "its ceiling, or change the group",
    "AUTHENTICATION_FAILED": "it doesn't accept this server's certificate, key or identity; its "
    "own log says why",
}
"""What to do about members that leave, by the notification that they leave with."""


class Way(Enum):
    """How a group goes on without members that it has excluded."""

    AS_IT_IS = "nothing"
    NEW_DATA_SAS = "new Data-Security SAs"
    """They were rekeyed in-band, and never knew the Rekey SA."""
    TREE = "the key tree"
    START_OVER = "everybody registers again"


# --- who goes -----------------------------------------------------------------------------


def leave(decision: Decision, identity: str, cause: str) -> None:
    """Remove a GM that says it leaves (section 2.3.2).

    It still knows its keys: it is shut out at once only where the policy says
    so, else with the next change of the tree.
    """
    if identity not in decision.state.members:
        return
    _remove(decision, identity, cause)
    group, stale = decision.group, len(decision.state.stale_leaves)
    if stale and (group.policy.forward_access or stale >= MAX_STALE_LEAVES):
        plan_shutting_out(decision)
    elif group.policy.forward_access:
        soon = decision.now + group.policy.exclusion_window_seconds
        decision.plan_by(RENEW_DATA, soon)


def order_exclusion(
    decision: Decision,
    kind: str,
    names: Iterable[str],
    by: str,
    *,
    about: str = "",
    immediate: bool = False,
    members: Sequence[str] | None = None,
) -> None:
    """Shut out whom the operator names, members or not, until the exclusion is lifted.

    `kind`, `names` and `about` as in `ExclusionSaved`; `members` is what `named` says of
    them, where that is known.  Raises `LocalError`, and then nothing has changed.
    """
    names = tuple(names)
    decision.record(*decision.state.exclusions.new(kind, names, decision.wall, by, about))
    exclude(decision, named(decision.group, kind, names) if members is None else members)
    shut_out_departed(decision)
    if immediate and SHUT_OUT in decision.state.steps:
        decision.plan(SHUT_OUT, decision.now)


def shut_out_departed(decision: Decision) -> None:
    """Shut out who has left and knows its path: it may be meant by an exclusion, too."""
    if decision.state.stale_leaves:
        plan_shutting_out(decision)


def lift_exclusion(decision: Decision, kind: str, names: Iterable[str]) -> None:
    """Let them register again.  Raises `LocalError` for what isn't excluded."""
    decision.record(*decision.state.exclusions.lifted(kind, names))


def named(group: Group, kind: str, names: Sequence[str]) -> list[str]:
    """Return the members that the names of an exclusion stand for."""
    members = group.state.members
    if kind == CERTIFICATE:
        return members.holders({bytes.fromhex(name) for name in names})
    return members.named(Globs(names))


def exclude(decision: Decision, identities: Iterable[str], cause: str = EXCLUDED) -> None:
    """Shut members out: they read nothing that is sent after the group has changed its keys.

    At once but with a tree, whose stale leaves and planned change are in the journal.
    """
    excluded = [name for name in dict.fromkeys(identities) if name in decision.state.members]
    way = way_without(decision.group, excluded, decision.group.policy)
    for identity in excluded:
        _remove(decision, identity, cause)
    decision.change.parted += ((decision.name, identity) for identity in excluded)
    if way is Way.START_OVER:
        start_over(decision)
    elif way is Way.NEW_DATA_SAS:
        data = [name for name in names_of(decision.group.policy) if name != REKEY]
        renew_without_departed(decision, data)
    elif way is Way.TREE:
        plan_shutting_out(decision)


def way_without(group: Group, identities: Sequence[str], policy: GroupPolicy) -> Way:
    """Tell how a group goes on when these members are excluded under that policy.

    Who is rekeyed in-band may know the Rekey SA of its time before, until the tree is
    changed: its old leaf is stale until then.
    """
    if not identities:
        return Way.AS_IT_IS
    leaves = sum(not group.is_inband(identity, policy) for identity in identities)
    stale = len(group.state.stale_leaves)  # of these, too, where they were in the tree before
    if not leaves and not stale:
        return Way.NEW_DATA_SAS
    if group.state.tree is None or stale + leaves > MAX_EXCLUDED:
        return Way.START_OVER
    return Way.TREE


def _remove(decision: Decision, identity: str, cause: str) -> None:
    member = decision.state.members.get(identity)
    decision.record(MemberRemoved(decision.name, identity))
    if member is not None and member.leaf != NO_LEAF:
        unseat(decision, member.leaf)
    decision.tell(
        MemberLeft(
            group=decision.name,
            identity=identity,
            address=member.address if member is not None else "",
            cause=cause,
            members=len(decision.state.members),
            hint=LEAVING_HINTS.get(cause, ""),
        )
    )


def plan_shutting_out(decision: Decision) -> None:
    """Change the tree when the window for exclusions is over."""
    decision.plan_by(SHUT_OUT, decision.now + decision.group.policy.exclusion_window_seconds)


# --- going on without ----------------------------------------------------------------------


def shut_out(decision: Decision) -> None:
    """Send the one message that everybody but those who left can follow.

    Where one has no room for all of them, each of several leaves every member
    with a Rekey SA of its own, and the next comes over that.
    """
    state, rekey = decision.state, decision.group.policy.rekey
    decision.cancel([SHUT_OUT])
    if state.tree is None:
        return
    someone_left = bool(state.stale_leaves)
    change = change_tree(decision, state.tree)
    until = decision.now + (rekey.spread_seconds if rekey is not None else 0.0)
    if state.stale_leaves:
        decision.plan(SHUT_OUT, until)
    if someone_left:
        decision.plan(RENEW_DATA, until)  # once all copies of this are out
    _renew_by_tree(decision, change)


def _renew_by_tree(decision: Decision, change: TreeChange) -> None:
    """Renew the Rekey SA alone; its SA_KEY is wrapped under the keys of the tree."""
    if change.tops:
        renew(decision, [REKEY], change)
    else:
        replace_sas(decision, [REKEY])  # nobody to tell


def renew_data(decision: Decision) -> None:
    """Bring new Data-Security SAs, which those who left don't know."""
    decision.cancel([RENEW_DATA])
    # Who must not learn the policy either gets to know one KEK less (section 3.2.1).
    policy = decision.group.policy
    names = [name for name in names_of(policy) if policy.hide_policy or name != REKEY]
    renew_without_departed(decision, names)


def renew_without_departed(decision: Decision, names: Iterable[str]) -> None:
    """Renew SAs; who has left meanwhile is shut out with the Rekey SA."""
    wanted, state = list(dict.fromkeys(names)), decision.state
    if REKEY in wanted and state.wants_tree_change:
        shut_out(decision)
        both = RENEW_DATA in state.steps
        later = names_of(decision.group.policy) if both else [REKEY]
        wanted = [name for name in wanted if name not in later]
    if wanted:
        renew(decision, wanted)


def start_over(decision: Decision, policy: GroupPolicy | None = None) -> None:
    """Delete all SAs, forget all members, number senders from zero (sections 2.4.3, 2.5.1).

    What registration alone tells may change with it: the group goes on under `policy`.
    """
    group, state = decision.group, decision.state
    decision.cancel(state.steps)
    group.brought_rekey_sa = None
    count = len(state.members)
    _tell_everything_deleted(decision)
    group.reminders.end()  # nobody knows the new SAs yet
    group.numbered.clear()
    decision.record(MembersRemoved(decision.name), SenderIdsReserved(decision.name, 0))
    if policy is not None:
        _begin_terms(decision, policy)
    names = names_of(group.policy)
    replace_sas(decision, names, [name for name in state.sas.current if name not in names])
    decision.record(*(sa.deleted(decision.name) for sa in state.sas.replaced))
    decision.tell(GroupStartedOver(decision.name, count))
    decision.change.to_push[decision.name] = None  # IKE SAs that serve no member are deleted
    tell_created(decision)
    send_due(decision)


def _begin_terms(decision: Decision, policy: GroupPolicy) -> None:
    """Take over what only those that register from now on are told."""
    before = decision.state.terms
    decision.group.use(policy)
    terms = terms_of(policy)
    decision.record(terms)
    if before is None or terms.authentication != before.authentication:
        make_auth_key(decision)


def end(decision: Decision) -> None:
    """Delete all SAs of a group that is no longer served (section 2.4.3).

    All copies go out at once: there will be nobody to send them later.
    """
    count = len(decision.state.members)
    _tell_everything_deleted(decision)
    decision.group.outbox.send_all(decision.change)
    decision.tell(GroupEnded(decision.name, count))
    decision.record(GroupRemoved(decision.name))


def _tell_everything_deleted(decision: Decision) -> None:
    """Over the Rekey SA, if there is one; in-band to those that don't know it."""
    state = decision.state
    over = state.sas.rekey
    if over is not None:
        tell_members(decision, delete_everything(), over, state.next_message_id)
    decision.change.deleted_inband.append(decision.name)
