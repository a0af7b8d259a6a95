"""Following GSA_REKEY: from one multicast datagram to changed SAs (RFC 9838 section 2.4.1.4).

In three steps: *read* it (nothing changes before integrity and signature are verified),
*judge* it as a whole (nothing changes, whatever is wrong with it), and carry out what was
decided.  Between the first two its Message ID is noted, so that it counts once, and what the
server tells of its load.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gcks.errors import Discard, DropReason, GcksError
from gcks.events import RegisterAgain, RekeyReceived
from gcks.group.attribute_rules import check_rekey
from gcks.group.usage import read_usage
from gcks.iana import ExchangeType, ProtocolId
from gcks.ike.legality import Rule, check
from gcks.member.ceiling import PolicyUnacceptable, check_rekeyed_usage
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
from gcks.member.delay import Reach
from gcks.member.deletions import Deletions, read_deletions
from gcks.member.group_member import GroupMember
from gcks.member.holding import Holding
from gcks.member.key_path import DEFAULT_KWK_ID
from gcks.member.opening import (
    GsaInvalid,
    KeySource,
    OpenedGsa,
    excluded,
    gsa_and_kd,
    holds_policy,
    key_entries,
    open_gsa,
)
from gcks.member.rekey_reading import RekeyMessage, read_rekey
from gcks.member.terms import Terms
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.header import Header
from gcks.wire.kd import KeyDownload

NO_KEY_PATH: Final = Loss(RegisterAgain.EXCLUDED, "no Key Path to the new Rekey SA: excluded")


def follow_rekey(
    group: GroupMember, datagram: bytes, header: Header, now: float, change: MemberChange
) -> None:
    """Verify a GSA_REKEY message for a Rekey SA this group holds, and do what it says.

    Raises Discard for what can't be trusted: it is dropped and counted.
    """
    message = read_rekey(group.holding, datagram, header, now)
    if message is None:
        return
    try:
        group.note_message(message, change)
        group.follow_rekey(judge_rekey(group.terms, group.holding, message, now), now, change)
    except PolicyUnacceptable as refusal:
        group.refuse_rekey(str(refusal), now, change)
    except Discard:
        raise
    except GcksError as error:
        group.history.last_error = str(error)
        raise Discard(DropReason.MALFORMED, str(error)) from error
    except Exception:
        # What is held is as it was, or as the message wants it; but the message is used up.
        # Who runs the same code has the same trouble: everybody registers again.
        cause = "a rekey could not be followed: internal error"
        group.lose_rekey(cause, Reach.EVERYBODY, now, change)
        raise


def judge_rekey(terms: Terms, holding: Holding, message: RekeyMessage, now: float) -> RekeyDecision:
    """Decide what an authentic message leads to.

    Raises PolicyUnacceptable for what is beyond the ceiling, another GcksError for what
    contradicts RFC 9838.
    """
    payloads = message.payloads
    check(Rule(ExchangeType.GSA_REKEY, is_response=False), payloads)
    deletions = read_deletions(payloads)
    if deletions.whole_gsa:
        count = len(holding.data_sas)
        told = RekeyReceived(terms.name, message.message_id, 0, rekey_sa=False, deleted=count)
        return Excluded(ALL_KEYS_DELETED, received=told)
    if not holds_policy(payloads):
        return _followed(terms, holding, message, None, deletions, now)
    try:
        opened = _open_policy(terms, holding, message)
    except Discard as error:
        if not excluded(error):
            raise
        return Excluded(NO_KEY_PATH, Reach.SOME)
    return _followed(terms, holding, message, opened, deletions, now)


def _open_policy(terms: Terms, holding: Holding, message: RekeyMessage) -> OpenedGsa:
    gsa, kd = gsa_and_kd(message.payloads)
    check_rekey(gsa, kd)
    _check_forward_access(gsa, kd)
    check_rekeyed_usage(holding.usage, read_usage(message.payloads))
    terms.check(gsa, holding.usage, holding)
    return open_gsa(gsa, kd, KeySource(message.sa.kwa, message.sa.gsk_w, holding.path))


def _check_forward_access(gsa: GroupSecurityAssociation, kd: KeyDownload) -> None:
    """Section 3.2.1, ruling 12: no TEK in a message that changes membership.

    Those who are being excluded could read it.
    """
    if all(policy.protocol == ProtocolId.GIKE_UPDATE for policy in gsa.policies):
        return
    rekey_bags = [bag for bag in kd.group_bags if bag.protocol == ProtocolId.GIKE_UPDATE]
    excludes = any(bag.wrap_keys for bag in kd.member_bags) or any(
        all(key.kwk_id != DEFAULT_KWK_ID for key in bag.sa_keys) for bag in rekey_bags
    )
    if excludes:
        raise GsaInvalid("Data-Security SAs in a message that changes the membership")


def _followed(
    terms: Terms,
    holding: Holding,
    message: RekeyMessage,
    opened: OpenedGsa | None,
    deletions: Deletions,
    now: float,
) -> Followed:
    """Decide what is held after a message that is all right; `opened`: the SAs it brings."""
    installed = holding if opened is None else _install(terms, holding, opened, now)
    after, deleted = deletions.carried_out(installed, holding, now)
    after = after.advanced(now)
    received = RekeyReceived(
        terms.name,
        message.message_id,
        len(opened.data) if opened is not None else 0,
        rekey_sa=opened is not None and opened.rekey is not None,
        deleted=deleted,
        reminder=opened is not None and not deleted and _is_known(holding, opened),
    )
    keys = () if opened is None else tuple(key_entries(terms.name, opened))
    return Followed(after, keys, received, _loss(terms, after, opened))


def _install(terms: Terms, holding: Holding, opened: OpenedGsa, now: float) -> Holding:
    verifier = holding.verifier
    after = replace(
        holding,
        path=opened.path,
        verifier=verifier.renewed(opened.auth_key) if verifier is not None else None,
    )
    if opened.group_wide is not None:
        after = after.with_delays(opened.group_wide)
    after = after.with_data(terms.data_sas(after, terms.usable(after, opened), now))
    if opened.rekey is None:
        return after
    after = replace(after, next_rekey_spis=opened.rekey.policy.next_spis)
    after = after.with_rekey(terms.rekey_sa(opened.rekey, now))
    return after.without_replaced_rekeys(now + after.dtd_seconds)


def _is_known(holding: Holding, opened: OpenedGsa) -> bool:
    """Tell whether all SAs of a message are held: it reminds those who missed another."""
    held = {sa.key for sa in holding.data_sas}
    rekey = opened.rekey
    return opened.data_keys <= held and (
        rekey is None or holding.rekey_sa(rekey.policy.spi) is not None
    )


def _loss(terms: Terms, after: Holding, opened: OpenedGsa | None) -> Loss | None:
    """Say what only a registration brings back."""
    if opened is not None and len(terms.usable(after, opened)) < len(opened.data):
        return NO_SENDER_ID
    return REKEY_SA_DELETED if after.rekey_deleted else None
