"""From a group to what operators read of it: records without anything behind them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from math import inf
from typing import Final

from gcks.errors import AuthorizationFailed
from gcks.iana import ProtocolId
from gcks.journal import ExclusionSaved
from gcks.keyserver.groups.authorization import authorize
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.live_sa import LiveSa
from gcks.keyserver.groups.membership import Member
from gcks.keyserver.groups.policy import SINGLE, DataSaPolicy, GroupPolicy, RekeyPolicy
from gcks.keyserver.groups.sa_set import REKEY
from gcks.keyserver.status import (
    ConfiguredExclusion,
    GroupStatus,
    RegisteredMember,
    RekeyStatus,
    SaStatus,
    SenderStatus,
)
from gcks.wire.sa import Proposal, SecurityAssociation

_INBAND: Final = "in-band"
_MULTICAST: Final = "multicast"


def group_status(group: Group, now: float) -> GroupStatus:
    """Return what metrics and screens show of a group at `now` (monotonic seconds)."""
    policy, state, sas = group.policy, group.state, group.state.sas
    return GroupStatus(
        group=group.name,
        members=len(state.members),
        next_message_id=state.next_message_id,
        rekey_spi=sas.rekey.spi.hex() if sas.rekey is not None else "",
        data_sas=len(sas.data),
        sender_ids_left=group.sender_ids.left,
        last_rekey_at=group.last_rekey_wall,
        rekey_expires_in_seconds=sas.rekey.expires_at - now if sas.rekey is not None else None,
        replay_protected_sas=sum(sa.sequential for sa in policy.data_sas),
        expected_members=policy.expected_members,
        data_sa_expires_in_seconds=min((sa.expires_at - now for sa in sas.data), default=0.0),
        renewal_due_in_seconds=group.renewal_due_at - now,
        spread_seconds=group.spread.all_seconds,
        capacity=policy.capacity,
        senders=state.members.senders,
        excluded=len(state.exclusions),
        mode=policy.mode,
        key_management=policy.key_management if policy.rekey is not None else "none",
        rekeyed_by=_rekeyed_by(policy),
        counter_mode=policy.counter_mode,
    )


def _rekeyed_by(policy: GroupPolicy) -> str:
    if policy.rekey is None:
        return _INBAND
    return f"{_MULTICAST}, senders {_INBAND}" if policy.inband_senders else _MULTICAST


# --- members ------------------------------------------------------------------------------


def registered_member(group: Group, identity: str, member: Member) -> RegisteredMember:
    """Return what is shown of a member."""
    return RegisteredMember(
        group=group.name,
        identity=identity,
        address=member.address,
        registered_at=member.registered_at,
        role="sender" if member.sender else "receiver",
        rekeyed_by=_INBAND if group.policy.is_inband(sender=member.sender) else _MULTICAST,
        sender_ids=member.sender_ids,
        certificate_ends=member.certificate_ends,
        fragments=member.reassembles,
    )


def sender_status(group: Group, identity: str, member: Member) -> SenderStatus:
    """Return what is shown of a member as a sender."""
    return SenderStatus(
        group=group.name,
        identity=identity,
        address=member.address,
        sender_ids=member.sender_ids,
        sends_on=_sends_on(group.policy, identity, member.address),
        alone_on=group.policy.sas_numbered_by(identity),
    )


def _sends_on(policy: GroupPolicy, identity: str, address: str) -> tuple[str, ...]:
    try:
        return tuple(sorted(authorize(policy, identity, address, sender=True).sends_on))
    except AuthorizationFailed:
        return ()  # the policy has changed since it registered


def announced_in(sag: SecurityAssociation | None) -> tuple[str, ...]:
    """Return protocol and transforms of each proposal in SAg."""
    return tuple(map(_proposal, sag.proposals)) if sag is not None else ()


def _proposal(proposal: Proposal) -> str:
    transforms = dict.fromkeys(map(str, proposal.transforms))
    return f"{ProtocolId(proposal.protocol)} {' '.join(transforms)}"


# --- SAs ----------------------------------------------------------------------------------


def sas_of(group: Group) -> tuple[int, Iterable[LiveSa]]:
    """Return how many SAs a group has, and the SAs, current ones first."""
    current, replaced = group.sas.current, group.sas.replaced
    return len(current) + len(replaced), chain(current.values(), replaced)


def sa_status(now: float, group: Group, sa: LiveSa) -> SaStatus:
    """Return what is shown of an SA at `now` (monotonic seconds)."""
    policy, is_current = group.policy.data_sa(sa.name), sa.retire_at is None
    next_spi = group.sas.next_spis.get(sa.name) if is_current else None
    end = sa.expires_at if sa.retire_at is None else sa.retire_at
    return SaStatus(
        group=group.name,
        name=sa.name or "rekey",
        protocol=str(sa.protocol),
        spi=sa.spi.hex(),
        state="current" if is_current else "replaced",
        algorithms=" ".join(map(str, sa.policy.transforms)),
        source=str(sa.policy.source),
        destination=str(sa.policy.destination),
        senders="this server" if sa.name == REKEY else senders_of(policy),
        replay=replay_of(sa.name, policy),
        next_spi=next_spi.hex() if next_spi is not None else None,
        age_seconds=now - sa.created_at,
        renews_in_seconds=_seconds(group.renew_at(sa.name, sa), now) if is_current else None,
        expires_in_seconds=end - now,
    )


def senders_of(policy: DataSaPolicy | None) -> str:
    """Say who may send on a Data-Security SA."""
    if policy is None:
        return "nobody any more"
    return policy.sender or "one sender" if policy.senders == SINGLE else "many"


def replay_of(name: str, policy: DataSaPolicy | None) -> str:
    """Say what receivers can tell of replayed packets, and why (RFC 9838 section 2.6)."""
    if name == REKEY:
        return "protected: Message IDs"
    if policy is None:
        return "as it was"
    if policy.senders != SINGLE:
        return "unprotected: many senders number their packets independently"
    if not policy.replay_protection:
        return "unprotected: switched off by replay_protection"
    return "protected: one sender numbers the packets"


def rekeys_of(group: Group) -> tuple[int, Iterable[tuple[RekeyPolicy, LiveSa]]]:
    """Return the Rekey SA of a group with its policy, if it has one, and how many that are."""
    rekey, sa = group.policy.rekey, group.sas.rekey
    rekeys = [(rekey, sa)] if rekey is not None and sa is not None else []
    return len(rekeys), rekeys


def rekey_status(now: float, group: Group, rekey: tuple[RekeyPolicy, LiveSa]) -> RekeyStatus:
    """Return what is shown of a Rekey SA at `now` (monotonic seconds)."""
    policy, sa = rekey
    return RekeyStatus(
        group=group.name,
        spi=sa.spi.hex(),
        next_message_id=group.state.next_message_id,
        source=str(policy.source),
        destination=str(policy.destination),
        authentication=policy.authentication,
        copies=policy.copies,
        spread_seconds=policy.spread_seconds,
        last_sent_at=group.last_rekey_wall,
        renews_in_seconds=_seconds(group.renewal_due_at, now) or 0.0,
        waiting_for=", ".join(group.waiting_for),
    )


def _seconds(at: float, now: float) -> float | None:
    return None if at == inf else max(0.0, at - now)


# --- exclusions ---------------------------------------------------------------------------


def exclusions_of(group: Group) -> tuple[int, Iterable[ExclusionSaved | str]]:
    """Return how many exclusions a group has, and the exclusions, operators' first."""
    ordered, configured = group.state.exclusions, group.policy.excluded
    return len(ordered) + len(configured), chain(ordered, configured)


def exclusion_status(
    group: Group, exclusion: ExclusionSaved | str
) -> ExclusionSaved | ConfiguredExclusion:
    """Return an exclusion as it was ordered, or as the configuration has it."""
    return ConfiguredExclusion(group.name, exclusion) if isinstance(exclusion, str) else exclusion
