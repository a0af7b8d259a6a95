"""Following GSA_INBAND_REKEY: from an authentic request to changed SAs (RFC 9838 section 2.4.2).

The GSA, KD and N payloads are processed as if they had come in a registration;
the message names no group, so that its SAs have to tell (ruling 16).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gcks.events import RekeyReceived
from gcks.group.attribute_rules import check_inband_rekey
from gcks.group.usage import Usage, read_usage
from gcks.member.change import MemberChange
from gcks.member.decision import (
    ALL_KEYS_DELETED,
    NO_SENDER_ID,
    REKEY_SA_DELETED,
    Excluded,
    Followed,
    Loss,
    RekeyDecision,
)
from gcks.member.deletions import Deletions, read_deletions
from gcks.member.group_member import GroupMember
from gcks.member.holding import Holding
from gcks.member.opening import KeySource, OpenedGsa, gsa_and_kd, key_entries, open_gsa
from gcks.member.terms import Terms
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy
from gcks.wire.payloads import Payload


def group_of_push(groups: Sequence[GroupMember], payloads: Sequence[Payload]) -> GroupMember | None:
    """Return the group that a message is about: the only one, or by selectors or SPIs."""
    candidates = _candidates(groups, payloads)
    if len(candidates) == 1:
        return candidates[0]
    selectors = {policy.selectors for gsa in _gsas(payloads) for policy in gsa.policies}
    deletes = [payload for payload in payloads if isinstance(payload, Delete)]
    spis = {spi for delete in deletes for spi in delete.spis}
    for group in candidates:
        held = group.holding
        if any(sa.selectors in selectors or sa.key[1] in spis for sa in held.data_sas):
            return group
        if any(held.rekey_sa(spi) for spi in spis):
            return group
    return None


def _candidates(groups: Sequence[GroupMember], payloads: Sequence[Payload]) -> list[GroupMember]:
    """Groups that are rekeyed in-band; a Delete may be for one rekeyed by multicast (2.4.3)."""
    registered = [group for group in groups if group.registered]
    inband = [group for group in registered if group.holding.current_rekey is None]
    return inband if inband or _gsas(payloads) else registered


def _gsas(payloads: Sequence[Payload]) -> list[GroupSecurityAssociation]:
    return [payload for payload in payloads if isinstance(payload, GroupSecurityAssociation)]


def follow_push(
    group: GroupMember,
    payloads: Sequence[Payload],
    source: KeySource,
    now: float,
    change: MemberChange,
) -> None:
    """Do what the message says; `source` has KWA and GSK_w of the IKE SA.

    Raises GcksError, and then everything is as it was.
    """
    decision = judge_push(group.terms, group.holding, payloads, source, now)
    group.planner.delay.heard(payloads)
    group.follow_push(decision, now, change)


def judge_push(
    terms: Terms, holding: Holding, payloads: Sequence[Payload], source: KeySource, now: float
) -> RekeyDecision:
    """Decide what the message leads to.

    Raises PolicyUnacceptable for what is beyond the ceiling, another GcksError for what
    contradicts RFC 9838.
    """
    deletions = read_deletions(payloads)
    if deletions.whole_gsa:
        return Excluded(ALL_KEYS_DELETED)
    if not _gsas(payloads):
        return _followed(terms, holding, holding, None, deletions, now)
    gsa, kd = gsa_and_kd(payloads)
    check_inband_rekey(gsa, kd)
    usage = read_usage(payloads)
    terms.check(gsa, usage, holding)
    opened = open_gsa(gsa, kd, source)
    installed = _install(terms, holding, opened, usage, now)
    return _followed(terms, holding, installed, opened, deletions, now)


def _install(
    terms: Terms, holding: Holding, opened: OpenedGsa, usage: Usage, now: float
) -> Holding:
    """Replace the Data-Security SAs by those that came; Sender-IDs stay."""
    # The usage is that of a registration exchange (section 2.4.2.2).
    after = replace(holding, usage=usage).with_delays(opened.group_wide or GroupWidePolicy())
    after = after.with_data(terms.data_sas(after, terms.usable(after, opened), now))
    kept = opened.data_keys
    gone = [sa.key for sa in after.data_sas if sa.key not in kept]
    return after.without_data(gone, now + after.dtd_seconds)


def _followed(
    terms: Terms,
    before: Holding,
    installed: Holding,
    opened: OpenedGsa | None,
    deletions: Deletions,
    now: float,
) -> Followed:
    after, deleted = deletions.carried_out(installed, before, now)
    created = len(opened.data) if opened is not None else 0
    received = RekeyReceived(terms.name, 0, created, rekey_sa=False, deleted=deleted)
    keys = tuple(key_entries(terms.name, opened)) if opened is not None else ()
    return Followed(after.advanced(now), keys, received, _loss(terms, before, after, opened))


def _loss(terms: Terms, before: Holding, after: Holding, opened: OpenedGsa | None) -> Loss | None:
    """Say what only a registration brings back."""
    if opened is not None and len(terms.usable(after, opened)) < len(opened.data):
        return NO_SENDER_ID
    if before.current_rekey is not None and after.rekey_deleted:
        return REKEY_SA_DELETED
    return None
