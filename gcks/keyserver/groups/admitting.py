"""A GM registers: may it, and what is it told (RFC 9838 sections 2.3.3 and 2.3.4)."""

from __future__ import annotations

from typing import Final

from gcks.crypto.key_wrap import kwk_octets
from gcks.errors import AuthorizationFailed, NoProposalChosen, RefusalReason, RegistrationFailed
from gcks.events import SenderIdsExhausted, SenderIdsLow
from gcks.group.spread import SPREAD_VENDOR, spread_notify
from gcks.iana import Kwa
from gcks.journal import SenderIdsReserved
from gcks.keyserver.groups.authorization import Role, authorize
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.departing import plan_shutting_out
from gcks.keyserver.groups.group import Group, names_of
from gcks.keyserver.groups.membership import NO_LEAF, Member
from gcks.keyserver.groups.registration import (
    AdmissionRequest,
    Admitted,
    Keys,
    member_saved,
    sa_keys,
)
from gcks.keyserver.groups.rekeying import deletes
from gcks.keyserver.groups.renewing import replace_and_tell
from gcks.keyserver.groups.sa_set import REKEY
from gcks.keyserver.groups.sag import first_mismatch
from gcks.keyserver.groups.steps import START_OVER, renew_sa
from gcks.keyserver.groups.tree import seat, unseat
from gcks.keyserver.groups.usage_policy import check_announced, usage_of

MIN_RENEWAL_SECONDS: Final = 5.0
"""Age before which an SA isn't renewed because its sender came back: a member that
registers again and again must not make the whole group rekey as often."""


def admit(decision: Decision, request: AdmissionRequest) -> Admitted:
    """Admit a GM (RFC 9838 section 2.3.4).

    Raises `AuthorizationFailed`, `RegistrationFailed` or `NoProposalChosen`; what was
    decided until then is in the decision.
    """
    group, state, identity = decision.group, decision.state, str(request.identity)
    known = state.members.get(identity)
    role = _authorized(group, request, identity, known)
    inband = group.policy.is_inband(sender=role.is_sender)
    _check_request(group, request, inband=inband)
    view = group.views.view(group.policy, state, role, decision.now, inband=inband)
    sender_ids = _sender_ids(decision, request.sender_id_count) if view.numbered else ()
    hint = _behind(group, known) if known is not None else ""  # from here on nothing is refused
    if known is None and hide_the_past(decision):
        view = group.views.view(group.policy, state, role, decision.now, inband=inband)
    leaf = _seat(decision, known.leaf if known is not None else NO_LEAF, inband=inband)
    decision.record(
        member_saved(
            request,
            identity,
            sender_ids=sender_ids,
            at=decision.wall,
            leaf=leaf,
            inband=inband and not _knows_rekey_sa(decision, known),
        )
    )
    if sender_ids:
        decision.record(SenderIdsReserved(decision.name, sender_ids[-1] + 1))
        watch_sender_ids(decision)
    if request.sender:
        _renew_numbered(decision, identity)
    tree = state.tree
    keys = Keys(
        gsa=view.gsa,
        sa_keys=sa_keys(view.sas),
        notifies=(
            *usage_of(group.policy).notifies(), SPREAD_VENDOR, spread_notify(group.spread)
        ),
        auth_key=None if inband else group.auth_key,
        sender_ids=sender_ids,
        path=tuple(tree.path(leaf)) if tree is not None and leaf != NO_LEAF else None,
    )  # fmt: skip
    return Admitted(
        keys=keys,
        again=known is not None,
        members=len(state.members),
        sender=request.sender,
        inband=inband,
        hint=hint,
        at=decision.wall,
    )


def push(group: Group, identity: str, address: str, now: float, *, sender: bool) -> Keys:
    """Return what a GM that is rekeyed in-band is told now (section 2.4.2.1).

    Raises `AuthorizationFailed` where it is no member any more, or may be none.
    """
    if identity not in group.state.members:  # exclusions end memberships, not IKE SAs
        raise AuthorizationFailed(f"{identity} is no member", RefusalReason.NOT_A_MEMBER)
    role = authorize(group.policy, identity, address, sender=sender)
    view = group.views.view(group.policy, group.state, role, now, inband=True, pushed=True)
    # No lifetime tells it when these are over (ruling 14; ruling 27: beside GSA and KD).
    gone = [sa for sa in group.sas.replaced if sa.name != REKEY]
    notifies = usage_of(group.policy).notifies()
    return Keys(
        gsa=view.gsa,
        sa_keys=sa_keys(view.sas),
        notifies=(*notifies, spread_notify(group.spread), *deletes(gone)),
    )


# --- may it -------------------------------------------------------------------------------


def _authorized(
    group: Group, request: AdmissionRequest, identity: str, known: Member | None
) -> Role:
    state = group.state
    if state.exclusions.names(identity, request.certificates):
        raise AuthorizationFailed(
            f"the operator has excluded {identity}",
            RefusalReason.EXCLUDED,
            hint="lift it with `gcks readmit`",
        )
    role = authorize(group.policy, identity, request.address, sender=request.sender)
    if known is None and len(state.members) >= group.policy.capacity:
        raise RegistrationFailed(
            f"the group is full: {group.policy.capacity} members",
            RefusalReason.GROUP_FULL,
            hint="raise the group's capacity",
        )
    return role


def _check_request(group: Group, request: AdmissionRequest, *, inband: bool) -> None:
    """A GM that is rekeyed in-band gets no Rekey SA and need not be able to do it."""
    if group.policy.evaluate_sag:
        check_announced(group.policy, request.announced)
        needs = group.needs_inband if inband else group.needs
        mismatch = first_mismatch(request.sag, needs) if request.sag is not None else None
        if mismatch is not None:
            raise NoProposalChosen(
                mismatch,
                RefusalReason.POLICY_UNSUPPORTED,
                hint="let the GM support it, or change the group's suites",
            )
    if group.state.tree is not None and not inband:
        _check_key_wrap(group, request.kwa)


def _check_key_wrap(group: Group, kwa: int) -> None:
    """Ruling 3: keys of the tree are wrapped over both SAs, so they are of one size."""
    rekey = group.policy.rekey
    if rekey is not None and kwk_octets(kwa) != kwk_octets(rekey.kwa):
        raise NoProposalChosen(
            f"the IKE SA's {Kwa(kwa)} has other keys than the Rekey SA's {Kwa(rekey.kwa)}",
            RefusalReason.POLICY_UNSUPPORTED,
            hint="let both use a key wrap of the same size",
        )


def _behind(group: Group, member: Member) -> str:
    """Say what to look at where a member comes back that was told new keys meanwhile."""
    rekey = group.policy.rekey
    if rekey is None or member.inband:
        return ""
    if all(sa.created_wall <= member.registered_at for sa in group.sas.current.values()):
        return ""
    return (
        "it comes back after a rekey; unless it was restarted, look whether multicast to "
        f"{rekey.destination} reaches it"
    )


# --- what changes with it -----------------------------------------------------------------


def hide_the_past(decision: Decision) -> bool:
    """Make new keys for a newcomer: with the old ones it could read what it recorded.

    Newcomers within the window get the same ones: tell whether there are new ones now.
    The message goes out at once after the registration.  It may be that nobody is left
    who hears it: those who used the old keys are gone, and what they sent is still secret.
    """
    group, sas = decision.group, decision.state.sas
    ages = [decision.now - sa.created_at for sa in sas.current.values()]
    if (
        not group.policy.backward_access
        or max(ages, default=0.0) <= group.policy.exclusion_window_seconds
    ):
        return False
    replace_and_tell(decision, names_of(group.policy))
    return True


def _sender_ids(decision: Decision, requested: int) -> tuple[int, ...]:
    """Return Sender-IDs; where none is left the group has to start over (section 2.5.1)."""
    policy = decision.group.policy
    try:
        return decision.group.sender_ids.allocated(requested, policy.max_sender_ids_per_request)
    except RegistrationFailed:
        decision.plan_by(START_OVER, decision.now)
        raise


def watch_sender_ids(decision: Decision) -> None:
    """Tell that Sender-IDs run out; with the reserve the group starts over in good order.

    That is at the next rekey, when the members expect new keys anyway, and as long as
    nobody had to be refused.
    """
    group = decision.group
    if not group.sender_ids.left:
        decision.tell(SenderIdsExhausted(group.name))
    elif group.sender_ids.is_low and START_OVER not in decision.state.steps:
        at = group.renewal_due_at
        decision.plan(START_OVER, at)
        seconds = round(at - decision.now, 1)
        decision.tell(SenderIdsLow(group.name, group.sender_ids.left, seconds))


def _knows_rekey_sa(decision: Decision, known: Member | None) -> bool:
    """Tell whether a GM was told the Rekey SA before: without a tree it can follow for ever.

    With one its leaf is stale from now on, and goes with the next exclusion.
    """
    return decision.state.tree is None and known is not None and not known.inband


def _seat(decision: Decision, leaf: int, *, inband: bool) -> int:
    """Return the member's leaf in the key tree; `leaf` is the one that it had."""
    tree = decision.state.tree
    if tree is None:
        return NO_LEAF
    if inband:
        unseat(decision, leaf)
        return NO_LEAF
    leaf = seat(decision, tree, leaf)
    if tree.lacks_keys:
        plan_shutting_out(decision)
    return leaf


def _renew_numbered(decision: Decision, identity: str) -> None:
    """Plan new SAs where an SA's only sender comes back.

    Its sequence numbers may begin at 1 again, and receivers with replay
    protection (section 2.6) would drop its packets until the next rekey.
    """
    group = decision.group
    for name in group.policy.sas_numbered_by(identity):
        sa = group.sas.current.get(name)
        if name in group.numbered and sa is not None:
            early = max(decision.now, sa.created_at + MIN_RENEWAL_SECONDS)
            decision.plan_by(renew_sa(name), early)
        group.numbered.add(name)
