"""Following GSA_REKEY: from one multicast datagram to changed SAs (RFC 9838 section 2.4.1.4).

Nothing changes before integrity and signature are verified, and nothing but
the Message ID, and what the server tells of its load, changes if the content then
turns out to be unacceptable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gcks.errors import Discard, DropReason, GcksError
from gcks.events import PolicyRefused, RegisterAgain, RekeyReceived
from gcks.group.attribute_rules import check_rekey
from gcks.group.rekey_message import open_part, open_whole, verify_rekey
from gcks.group.usage import read_usage
from gcks.iana import ExchangeType, PayloadType, ProtocolId
from gcks.ike.legality import Rule, check
from gcks.ike.protect import Inner
from gcks.member.ceiling import PolicyUnacceptable, check_policy, check_rekeyed_usage
from gcks.member.delay import Reach
from gcks.member.effects import Effects
from gcks.member.group_member import BEYOND_CEILING, GroupMember, gsa_and_kd, with_auth_key
from gcks.member.holding import RekeySa, SaKey
from gcks.member.key_path import DEFAULT_KWK_ID
from gcks.member.registration import (
    GsaInvalid,
    KeySource,
    OpenedGsa,
    build_rekey_sa,
    excluded,
    key_entries,
    open_gsa,
)
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.header import FLAG_INITIATOR, MAJOR_VERSION, Header
from gcks.wire.kd import KeyDownload
from gcks.wire.payloads import Payload


@dataclass(frozen=True, slots=True)
class Deletions:
    """What the Delete payloads of one message ask for (sections 2.4.3, 4.6, ruling 9)."""

    whole_gsa: bool = False
    all_data: bool = False
    rekey: frozenset[bytes] = frozenset()
    data: frozenset[SaKey] = frozenset()


def follow_rekey(
    group: GroupMember, datagram: bytes, header: Header, now: float, effects: Effects
) -> None:
    """Verify a GSA_REKEY message for a Rekey SA this group holds, and do what it says.

    Raises Discard for what can't be trusted: it is dropped and counted.
    """
    spi = header.spi_i + header.spi_r
    sa, verifier = group.holding.rekey_sa(spi), group.holding.verifier
    if sa is None or verifier is None:
        raise Discard(DropReason.UNKNOWN_SPI)
    if _is_known_copy(sa, datagram, header):
        return
    _check_header(header)
    if spi != group.holding.current_rekey_spi:
        # Ruling 28: only copies of older messages may still come over a replaced SA.
        raise Discard(DropReason.STALE, "a new message over a replaced Rekey SA")
    inner = _open(sa, datagram, header, now)
    if inner is None:
        return
    payloads = verify_rekey(header, inner, verifier.gcauth, verifier.auth_key)
    fragmented = header.next_payload == PayloadType.SKF
    group.rekeys_missed += header.message_id - sa.next_message_id
    group.holding.accepted(spi, header.message_id, b"" if fragmented else datagram)
    try:
        _apply(group, sa, payloads, header.message_id, now, effects)
    except PolicyUnacceptable as refusal:
        # The GCKS SHOULD hear of it (section 2.3.2): the answer to a registration gets
        # NO_PROPOSAL_CHOSEN, unless a rekey has healed it by then.
        effects.tell(PolicyRefused(group.name, str(refusal), BEYOND_CEILING))
        cause = f"a rekey brought a policy that is refused: {refusal}"
        group.reregister(RegisterAgain.POLICY_REFUSED, cause, now, effects, recoverable=True)
        group.last_error = str(refusal)
    except Discard:
        raise
    except GcksError as error:
        group.last_error = str(error)
        raise Discard(DropReason.MALFORMED, str(error)) from error


def _open(sa: RekeySa, datagram: bytes, header: Header, now: float) -> Inner | None:
    """Decrypt a message, or put it together from fragments (section 2.4.1.2)."""
    if header.next_payload != PayloadType.SKF:
        return open_whole(datagram, header, sa.cipher)
    fragment = open_part(datagram, header, sa.cipher)
    return sa.reassembly.add(fragment, is_response=False, message_id=header.message_id, now=now)


def _is_known_copy(sa: RekeySa, datagram: bytes, header: Header) -> bool:
    """Tell repeated copies, which the GCKS sends on purpose, from replays (section 2.4.1.3)."""
    if header.message_id >= sa.next_message_id:
        return False
    fragment = header.next_payload == PayloadType.SKF and not sa.last_datagram
    newest = header.message_id == sa.next_message_id - 1
    if datagram == sa.last_datagram or (newest and fragment):
        return True
    raise Discard(DropReason.REPLAY, f"Message ID {header.message_id}")


def _check_header(header: Header) -> None:
    """Ruling 10: response, version and reserved flags clear; the I flag is ignored."""
    if header.major != MAJOR_VERSION:
        raise Discard(DropReason.UNKNOWN_VERSION)
    if header.flags & ~FLAG_INITIATOR:
        raise Discard(DropReason.MALFORMED, "flags of a GSA_REKEY message")


def _apply(
    group: GroupMember,
    sa: RekeySa,
    payloads: Sequence[Payload],
    message_id: int,
    now: float,
    effects: Effects,
) -> None:
    check(Rule(ExchangeType.GSA_REKEY, is_response=False), payloads)
    deletions = read_deletions(payloads)
    group.delay.heard(payloads)
    known_before = [held.key for held in group.holding.data_sas]
    if deletions.whole_gsa:
        effects.tell(
            RekeyReceived(group.name, message_id, 0, rekey_sa=False, deleted=len(known_before))
        )
        why = RegisterAgain.ALL_KEYS_DELETED
        group.exclude("the server deleted all keys of the group", now, effects, why=why)
        return
    opened, reminder = None, False
    if any(isinstance(one, GroupSecurityAssociation | KeyDownload) for one in payloads):
        try:
            opened = _open_policy(group, sa, payloads)
        except Discard as error:
            if not excluded(error):
                raise
            cause = "no Key Path to the new Rekey SA: excluded"
            why = RegisterAgain.EXCLUDED
            group.exclude(cause, now, effects, why=why, reach=Reach.SOME)
            return
        reminder = _is_known(group, opened)
        _install(group, opened, now, effects)
    deleted = _delete(group, deletions, known_before, now)
    effects.do(group.holding.advance(now))
    effects.tell(
        RekeyReceived(
            group.name,
            message_id,
            len(opened.data) if opened else 0,
            bool(opened and opened.rekey),
            deleted,
            reminder and not deleted,
        )
    )
    group.rekeyed(now, reminder=reminder and not deleted)
    _notice_losses(group, opened, now, effects)


def _is_known(group: GroupMember, opened: OpenedGsa) -> bool:
    """Tell whether all SAs of a message are held: it reminds those who missed another."""
    held = {sa.key for sa in group.holding.data_sas}
    told = {(keys.policy.protocol, keys.policy.spi) for keys in opened.data}
    rekey = opened.rekey
    return told <= held and (rekey is None or group.holding.rekey_sa(rekey.policy.spi) is not None)


def _open_policy(group: GroupMember, sa: RekeySa, payloads: Sequence[Payload]) -> OpenedGsa:
    gsa, kd = gsa_and_kd(payloads)
    check_rekey(gsa, kd)
    _check_forward_access(gsa, kd)
    check_rekeyed_usage(group.usage, read_usage(payloads))
    check_policy(group.ceiling, gsa, group.usage, data_sas_held=group.others_held(gsa))
    opened = open_gsa(gsa, kd, KeySource(sa.kwa, sa.gsk_w, group.holding.path))
    with_auth_key(group.holding.verifier, opened.auth_key)
    return opened


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


def _install(group: GroupMember, opened: OpenedGsa, now: float, effects: Effects) -> None:
    holding, clock = group.holding, group.clock(now)
    effects.agree(key_entries(group.name, opened))
    rekey = None
    if opened.rekey is not None:
        rekey = build_rekey_sa(opened.rekey, group.name, group.settings.interface, clock)
    if opened.group_wide is not None:
        holding.remember_delays(opened.group_wide)
    holding.verifier = with_auth_key(holding.verifier, opened.auth_key)
    holding.path = opened.path
    effects.do(group.install_data(_without_unnumbered(group, opened), clock))
    if rekey is not None and opened.rekey is not None:
        effects.do(holding.install_rekey(rekey))
        holding.retire_rekey(now + holding.dtd_seconds)
        holding.next_rekey_spis = opened.rekey.policy.next_spis


def _without_unnumbered(group: GroupMember, opened: OpenedGsa) -> OpenedGsa:
    """Leave out what MUST NOT be installed without a Sender-ID (section 2.4.1.4)."""
    if not group.lacks_sender_id(opened, group.holding.sender_ids):
        return opened
    return opened.only([keys for keys in opened.data if not group.numbers(keys.policy)])


def _notice_losses(
    group: GroupMember, opened: OpenedGsa | None, now: float, effects: Effects
) -> None:
    if opened is not None and group.lacks_sender_id(opened, group.holding.sender_ids):
        why = RegisterAgain.NO_SENDER_ID
        group.reregister(why, "a counter-mode SA needs a Sender-ID", now, effects)
    elif group.holding.rekey_deleted:
        why = RegisterAgain.REKEY_SA_DELETED
        group.reregister(why, "the Rekey SA was deleted", now, effects)


# --- Delete --------------------------------------------------------------------------


def read_deletions(payloads: Sequence[Payload]) -> Deletions:
    """Collect the Delete payloads; an all-zero SPI stands for all (ruling 9)."""
    whole_gsa = all_data = False
    rekey: set[bytes] = set()
    data: set[SaKey] = set()
    for payload in payloads:
        if not isinstance(payload, Delete):
            continue
        protocol = ProtocolId(payload.protocol)
        if protocol not in _DELETABLE:
            raise GsaInvalid(f"Delete for {protocol}")
        zero = [not any(spi) for spi in payload.spis]
        if protocol is ProtocolId.NONE:
            if not all(zero):
                raise GsaInvalid("Delete for protocol 0 with an SPI")
            whole_gsa = True
        elif protocol is ProtocolId.GIKE_UPDATE:
            whole_gsa = whole_gsa or any(zero)
            rekey.update(payload.spis)
        else:
            all_data = all_data or any(zero)
            data.update((protocol, spi) for spi in payload.spis)
    return Deletions(whole_gsa, all_data, frozenset(rekey), frozenset(data))


_DELETABLE = (ProtocolId.NONE, ProtocolId.AH, ProtocolId.ESP, ProtocolId.GIKE_UPDATE)


def _delete(
    group: GroupMember, deletions: Deletions, known_before: Sequence[SaKey], now: float
) -> int:
    """Schedule the removals after the Deactivation Time Delay (section 2.4.1.4)."""
    holding = group.holding
    at = now + holding.dtd_seconds
    for spi in deletions.rekey:
        holding.retire_one_rekey(spi, at)
    return holding.retire(known_before if deletions.all_data else deletions.data, at)
