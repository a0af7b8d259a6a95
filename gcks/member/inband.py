"""Following GSA_INBAND_REKEY: from an authentic request to changed SAs (RFC 9838 section 2.4.2).

The GSA, KD and N payloads are processed as if they had come in a registration;
the message names no group, so that its SAs have to tell (ruling 16).
"""

from __future__ import annotations

from collections.abc import Sequence

from gcks.events import RegisterAgain, RekeyReceived
from gcks.group.attribute_rules import check_inband_rekey
from gcks.group.usage import read_usage
from gcks.member.ceiling import check_policy
from gcks.member.effects import Effects
from gcks.member.group_member import GroupMember, gsa_and_kd
from gcks.member.registration import KeySource, open_gsa
from gcks.member.rekey import read_deletions
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.payloads import Payload


def group_of_push(groups: Sequence[GroupMember], payloads: Sequence[Payload]) -> GroupMember | None:
    """Return the group that a message is about: the only one, or by selectors or SPIs."""
    candidates = _candidates(groups, payloads)
    if len(candidates) == 1:
        return candidates[0]
    selectors = {
        policy.selectors
        for gsa in payloads
        if isinstance(gsa, GroupSecurityAssociation)
        for policy in gsa.policies
    }
    spis = {spi for one in payloads if isinstance(one, Delete) for spi in one.spis}
    for group in candidates:
        held = group.holding.data_sas
        if any(sa.selectors in selectors or sa.key[1] in spis for sa in held):
            return group
        if any(group.holding.rekey_sa(spi) for spi in spis):
            return group
    return None


def _candidates(groups: Sequence[GroupMember], payloads: Sequence[Payload]) -> list[GroupMember]:
    """Groups that are rekeyed in-band; a Delete may be for one rekeyed by multicast (2.4.3)."""
    registered = [group for group in groups if group.registered]
    inband = [group for group in registered if group.holding.current_rekey is None]
    creates = any(isinstance(one, GroupSecurityAssociation) for one in payloads)
    return inband if inband or creates else registered


def follow_push(
    group: GroupMember,
    payloads: Sequence[Payload],
    kwa: int,
    kwk: bytes,
    now: float,
    effects: Effects,
) -> None:
    """Do what the message says.  Raises GcksError, and then everything is as it was."""
    deletions = read_deletions(payloads)
    group.delay.heard(payloads)
    if deletions.whole_gsa:
        why = RegisterAgain.ALL_KEYS_DELETED
        group.exclude("the server deleted all keys of the group", now, effects, why=why)
        return
    holding = group.holding
    had_rekey_sa = holding.current_rekey is not None
    deleted = [sa.key for sa in holding.data_sas if deletions.all_data or sa.key in deletions.data]
    created = 0
    if any(isinstance(one, GroupSecurityAssociation) for one in payloads):
        gsa, kd = gsa_and_kd(payloads)
        check_inband_rekey(gsa, kd)
        usage = read_usage(payloads)
        check_policy(group.ceiling, gsa, usage, data_sas_held=group.others_held(gsa))
        opened = open_gsa(gsa, kd, KeySource(kwa, kwk))
        group.usage = usage  # as in a registration exchange (section 2.4.2.2)
        group.install_pushed(opened, now, effects)
        created = len(opened.data)
    holding.retire(deleted, now + holding.dtd_seconds)
    for spi in deletions.rekey:
        holding.retire_one_rekey(spi, now + holding.dtd_seconds)
    if had_rekey_sa and holding.rekey_deleted:
        why = RegisterAgain.REKEY_SA_DELETED
        group.reregister(why, "the Rekey SA was deleted", now, effects)
    effects.do(holding.advance(now))
    group.rekeyed_inband(now)
    effects.tell(RekeyReceived(group.name, 0, created, rekey_sa=False, deleted=len(deleted)))
