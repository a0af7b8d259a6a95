"""How a group begins: for the first time, or again after a restart, whatever ended the last run."""

from __future__ import annotations

from typing import Final

from gcks.events import GroupStarted
from gcks.journal import GroupRemoved, MembersRemoved
from gcks.keyserver.groups.admitting import watch_sender_ids
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.departing import (
    exclude,
    plan_shutting_out,
    renew_without_departed,
)
from gcks.keyserver.groups.due import COALESCE_SECONDS
from gcks.keyserver.groups.group import names_of
from gcks.keyserver.groups.policy_change import outside
from gcks.keyserver.groups.renewing import (
    make_auth_key,
    plan_reminders,
    replace_sas,
    tell_created,
)
from gcks.keyserver.groups.sa_set import REKEY
from gcks.keyserver.groups.steps import RENEW_ALL
from gcks.keyserver.groups.terms import terms_of, tree_key_octets

STALE_REKEY_SECONDS: Final = 30.0
"""A stored rekey older than this is repeated and followed by a fresh one: lifetimes
count from receipt, and those of an old message would be skewed (section 2.4.1.3)."""
CLOCK_TOLERANCE_SECONDS: Final = 1.0
"""A clock that seems to have gone back by less has only been adjusted."""


def begin(decision: Decision) -> None:
    """Make a new group's first keys."""
    decision.record(GroupRemoved(decision.name), terms_of(decision.group.policy))
    make_auth_key(decision)
    replace_sas(decision, names_of(decision.group.policy))
    decision.tell(GroupStarted(decision.name, restored=False, members=0))
    tell_created(decision)


def go_on(decision: Decision) -> None:
    """Go on with a stored group; no Sender-ID or Message ID is used again.

    Where the policy has terms that rekeys can't change, a fresh epoch begins: new keys
    that nobody was told, and the GMs register again, which GSA_NEXT_SPI makes them notice.
    """
    group, state = decision.group, decision.state
    before = {sa.spi for sa in state.sas.current.values()}
    goes_on = state.terms is None or state.terms == terms_of(group.policy)
    if goes_on:
        _load(decision)
    else:
        _begin_anew(decision)
    fresh = [sa for sa in state.sas.current.values() if sa.spi not in before]
    decision.tell(GroupStarted(group.name, restored=goes_on, members=len(state.members)))
    tell_created(decision, fresh)
    exclude(decision, outside(state.members, group.policy))  # the rules of the last run are unknown
    outdated = group.outdated(group.policy)
    if outdated:
        renew_without_departed(decision, outdated)


def _begin_anew(decision: Decision) -> None:
    """Make new keys that nobody was told, under the SPIs that were announced."""
    state, terms = decision.state, terms_of(decision.group.policy)
    decision.cancel(state.steps)
    for sa in (*state.sas.current.values(), *state.sas.replaced):
        decision.record(sa.deleted(decision.name))
    if state.tree is not None or tree_key_octets(terms) is not None:
        decision.record(MembersRemoved(decision.name))  # their leaves are of another tree
    decision.record(terms)
    _find_auth_key(decision)
    replace_sas(decision, names_of(decision.group.policy))


def _load(decision: Decision) -> None:
    group, state = decision.group, decision.state
    if state.terms is None:
        decision.record(terms_of(group.policy))
    went_back = _clock_went_back(decision)
    _sort_out_sas(decision)
    _find_auth_key(decision)
    if state.sas.rekey is None and group.policy.rekey is not None:
        replace_sas(decision, [REKEY])
    group.numbered.update(sa.name for sa in group.policy.data_sas)
    if state.wants_tree_change:
        plan_shutting_out(decision)
    watch_sender_ids(decision)
    _repeat(decision)
    if went_back:  # what is planned may seem to be far off, too
        for step in [step for step, at in state.steps.items() if at > decision.now]:
            decision.plan(step, decision.now)
        decision.plan(RENEW_ALL, decision.now)
    if state.sas.rekey is not None:  # who missed what went out before the server was gone
        plan_reminders(decision, decision.now)


def _sort_out_sas(decision: Decision) -> None:
    """Forget the SAs that are over; keep replaced ones for as long as after a rekey."""
    sas, now = decision.state.sas, decision.now
    retire_at = decision.posix(now + decision.group.overlap_seconds())
    for sa in (*sas.current.values(), *sas.replaced):
        if sa.expires_at <= now:
            decision.record(sa.deleted(decision.name))
        elif sa.retire_at is not None:
            decision.record(sa.saved(decision.name, retire_at=retire_at))


def _find_auth_key(decision: Decision) -> None:
    """Go on with the stored key that signs, or make one where it is of another kind."""
    rekey, saved = decision.group.policy.rekey, decision.state.auth_key
    if rekey is not None and (saved is None or saved.algorithm != rekey.authentication):
        make_auth_key(decision)


def _repeat(decision: Decision) -> None:
    """Send rekeys again unless they are known to be out: nobody may have seen them."""
    group, rekey, now = decision.group, decision.group.policy.rekey, decision.now
    pending = [message for message in decision.state.rekeys if message.datagrams]
    if rekey is None or not pending:
        return
    for message in pending:
        group.outbox.add(message, rekey, now)
    if decision.wall - pending[0].sent_at > STALE_REKEY_SECONDS:
        decision.plan_by(RENEW_ALL, now + rekey.spread_seconds + COALESCE_SECONDS)


def _clock_went_back(decision: Decision) -> bool:
    """Tell whether SAs seem to come from the future: their ages can't be trusted then."""
    sas = decision.state.sas
    latest = decision.wall + CLOCK_TOLERANCE_SECONDS
    return any(sa.created_wall > latest for sa in (*sas.current.values(), *sas.replaced))
