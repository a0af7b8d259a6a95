"""What RFC 9838 forbids in a group's policy, found before the daemon starts.

Each check is a row of a table and yields problems; all are found at once.
`where` is the path of the offending value in the group ("data_sas.video.encr").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gcks.crypto.key_wrap import KWAS, kwk_octets
from gcks.iana import IdType, ProtocolId
from gcks.keyserver.groups.member_rules import member_doubts
from gcks.keyserver.groups.policy import LKH, SIMPLE, SINGLE, GroupPolicy
from gcks.keyserver.groups.sa_rules import (
    DATA_RULES,
    REKEY_RULES,
    PolicyProblem,
    Problems,
    out_of_range,
)
from gcks.keyserver.groups.schedule import overlap_seconds
from gcks.keyserver.groups.usage_policy import usage_problems

MAX_DELAY_SECONDS: Final = 65535
MAX_LIFETIME_SECONDS: Final = 0xFFFFFFFF
MAX_SENDER_ID_BITS: Final = 32
MAX_DATA_SAS: Final = 64
"""What a GM takes by default; and all fit one GSA_REKEY message."""

_GROUP_ID_TYPES: Final = {
    IdType.ID_KEY_ID,
    IdType.ID_FQDN,
    IdType.ID_RFC822_ADDR,
    IdType.ID_IPV4_ADDR,
    IdType.ID_IPV6_ADDR,
}
_CHOOSE_LKH: Final = "choose key_management: lkh"


def check(policy: GroupPolicy) -> list[PolicyProblem]:
    """Return everything that is wrong with a group's policy."""
    found = [problem for rule in _GROUP_RULES for problem in rule(policy)]
    for sa in policy.data_sas:
        where = f"data_sas.{sa.name}"
        for data_rule in DATA_RULES:
            found += [_below(where, problem) for problem in data_rule(sa)]
    if policy.rekey is not None:
        for rekey_rule in REKEY_RULES:
            found += [_below("rekey", problem) for problem in rekey_rule(policy.rekey)]
    return found


def _below(where: str, problem: PolicyProblem) -> PolicyProblem:
    return replace(problem, where=f"{where}.{problem.where}")


# --- the group --------------------------------------------------------------------------


def _has_sas(policy: GroupPolicy) -> Problems:
    if not policy.data_sas:
        yield PolicyProblem("data_sas", "a group needs at least one Data-Security SA", "add one")
    if len(policy.data_sas) > MAX_DATA_SAS:
        yield PolicyProblem(
            "data_sas",
            f"more than {MAX_DATA_SAS} Data-Security SAs",
            "use wider selectors, or a second group",
        )
    if policy.rekey is None and policy.inband_senders:
        yield PolicyProblem(
            "inband_senders",
            "without a rekey section every member is rekeyed in-band already",
            "leave it out",
        )


def _key_management(policy: GroupPolicy) -> Problems:
    tree = policy.key_management == LKH
    if policy.key_management not in (SIMPLE, LKH):
        yield PolicyProblem(
            "key_management",
            f"{policy.key_management!r} is neither simple nor lkh",
            "choose one of them",
        )
    if tree and policy.rekey is None:
        yield PolicyProblem("key_management", "a key tree is for multicast rekeys", "give rekey")
    if policy.forward_access and policy.rekey is not None and not tree:
        yield PolicyProblem(
            "forward_access", "without a key tree everybody would register again", _CHOOSE_LKH
        )
    if policy.hide_policy and not tree:
        yield PolicyProblem("hide_policy", "is about key trees (section 3.2.1)", _CHOOSE_LKH)


def _group_id(policy: GroupPolicy) -> Problems:
    if policy.id.type not in _GROUP_ID_TYPES:
        yield PolicyProblem(
            "id",
            "a group ID is keyid, fqdn, rfc822, ipv4 or ipv6 (section 4.2)",
            "write it such as keyid:video",
        )


def _usage(policy: GroupPolicy) -> Problems:
    return (PolicyProblem(*one) for one in usage_problems(policy))


def _doubts(policy: GroupPolicy) -> Problems:
    return (PolicyProblem(*one, warning=True) for one in member_doubts(policy))


def _unique_names(policy: GroupPolicy) -> Problems:
    for name, count in Counter(sa.name for sa in policy.data_sas).items():
        if count > 1:
            yield PolicyProblem("data_sas", f"two SAs are named {name!r}", "rename one")
        if not name:
            yield PolicyProblem("data_sas", "an SA without a name", "give it one")


def _esp_and_ah(policy: GroupPolicy) -> Problems:
    by_selectors: dict[object, set[ProtocolId]] = {}
    for sa in policy.data_sas:
        selectors = (sa.source, sa.destination, sa.security_label)
        by_selectors.setdefault(selectors, set()).add(sa.protocol)
    for protocols in by_selectors.values():
        if len(protocols) > 1:
            yield PolicyProblem(
                "data_sas",
                "ESP and AH on the same traffic selectors (section 4.4.2)",
                "keep one, or tell them apart by port or label",
            )


def _delays(policy: GroupPolicy) -> Problems:
    for where, seconds in (("atd", policy.atd_seconds), ("dtd", policy.dtd_seconds)):
        if not 0 <= seconds <= MAX_DELAY_SECONDS:
            yield PolicyProblem(
                where, f"{seconds} s is out of range", f"give 0 to {MAX_DELAY_SECONDS} s"
            )
    if policy.dtd_seconds <= policy.atd_seconds and policy.atd_seconds:
        yield PolicyProblem(
            "dtd",
            "must be longer than atd: senders leave an old SA after atd, receivers after dtd",
            f"give more than {policy.atd_seconds} s",
        )


def _lifetimes_outlast_delays(policy: GroupPolicy) -> Problems:
    spread = policy.rekey.spread_seconds if policy.rekey is not None else 0.0
    overlap = overlap_seconds(policy.atd_seconds, policy.dtd_seconds, spread)
    lifetimes = [
        (f"data_sas.{sa.name}", sa.lifetime_seconds, sa.renew_seconds) for sa in policy.data_sas
    ]
    if policy.rekey is not None:
        lifetimes.append(("rekey", policy.rekey.lifetime_seconds, policy.rekey.renew_seconds))
    for where, lifetime, renew in lifetimes:
        if not 2 * overlap < lifetime <= MAX_LIFETIME_SECONDS:
            yield PolicyProblem(
                f"{where}.lifetime",
                f"{lifetime} s: must be more than twice atd or dtd plus spread ({2 * overlap:g} s)",
                f"give at least {int(2 * overlap) + 1} s, or shorten those",
            )
        if renew is not None and not policy.atd_seconds < renew <= lifetime - overlap:
            yield PolicyProblem(
                f"{where}.renew",
                f"{renew} s: must be longer than atd, so that senders come to use an SA,"
                f" and leave {overlap:g} s of lifetime",
                "leave it out, for the latest time that does",
            )


def _sender_ids(policy: GroupPolicy) -> Problems:
    if not 1 <= policy.sender_id_bits <= MAX_SENDER_ID_BITS:
        yield out_of_range("sender_id_bits", policy.sender_id_bits, MAX_SENDER_ID_BITS)
    elif policy.counter_mode and 1 << policy.sender_id_bits < policy.max_sender_ids_per_request:
        yield PolicyProblem(
            "sender_id_bits",
            f"too few for max_sender_ids_per_request ({policy.max_sender_ids_per_request})",
            f"give at least {(policy.max_sender_ids_per_request - 1).bit_length()}",
        )
    if policy.max_sender_ids_per_request < 1:
        yield out_of_range("max_sender_ids_per_request", policy.max_sender_ids_per_request)
    if policy.capacity < 1:
        yield out_of_range("capacity", policy.capacity)


def _members(policy: GroupPolicy) -> Problems:
    if not policy.members:
        yield PolicyProblem("members", "nobody may join", "add a rule")
    for place, rule in enumerate(policy.members):
        if not rule.send and not rule.receive:
            yield PolicyProblem(
                f"members[{place}]", "may neither send nor receive", "let it, or take the rule out"
            )
    if policy.data_sas and not any(rule.send for rule in policy.members):
        yield PolicyProblem(
            "members", "nobody may send", "give the senders' rule send: true", warning=True
        )


def _single_senders_are_members(policy: GroupPolicy) -> Problems:
    for sa in policy.data_sas:
        rule = policy.rule_for(sa.sender) if sa.sender else None
        if sa.sender and (rule is None or not rule.send):
            yield PolicyProblem(
                f"data_sas.{sa.name}.sender",
                f"{sa.sender} may not send by the members rules",
                "put a rule with send: true for it before those that fit it now",
            )


def _senders_told_apart(policy: GroupPolicy) -> Problems:
    """The source selector tells which GM is an SA's single sender (ruling 34)."""
    owners: dict[object, str] = {}
    for sa in policy.data_sas:
        if sa.senders != SINGLE or not sa.sender:
            continue
        if owners.setdefault((sa.source, sa.destination), sa.sender) != sa.sender:
            yield PolicyProblem(
                f"data_sas.{sa.name}.source",
                "two single senders can't have the same selectors",
                "give each its own address, or another destination",
            )


def _same_key_wrap_strength(policy: GroupPolicy) -> Problems:
    """RFC 9838 section 3.1: a KWK SHOULD NOT be smaller than the keys it wraps."""
    if policy.rekey is None or policy.rekey.kwa not in KWAS:
        return
    transforms = [sa.encr for sa in policy.data_sas] + [policy.rekey.encr]
    longest = max((t.key_length or 256 for t in transforms if t is not None), default=0)
    if kwk_octets(policy.rekey.kwa) * 8 < longest:
        yield PolicyProblem(
            "rekey.key_wrap",
            f"weaker than the {longest}-bit keys it wraps",
            f"choose kw{longest}",
            warning=True,
        )


_GROUP_RULES: Final[tuple[Callable[[GroupPolicy], Problems], ...]] = (
    _group_id,
    _key_management,
    _has_sas,
    _usage,
    _unique_names,
    _esp_and_ah,
    _delays,
    _lifetimes_outlast_delays,
    _sender_ids,
    _members,
    _single_senders_are_members,
    _senders_told_apart,
    _same_key_wrap_strength,
    _doubts,
)
