"""What RFC 9838 forbids in a group's policy, found before the daemon starts.

Each check is a row of a table and yields problems; all are found at once.
`where` is the path of the offending value in the group ("data_sas.video.encr").
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gcks.crypto.encr import encr_key_octets, integ_key_octets, is_aead
from gcks.crypto.errors import UnsupportedAlgorithm
from gcks.crypto.key_wrap import KWAS, kwk_octets
from gcks.group.member_rules import member_doubts
from gcks.group.policy import (
    IMPLICIT,
    LKH,
    MANY,
    SIGNATURE_ALGORITHM,
    SIMPLE,
    SINGLE,
    DataSaPolicy,
    GroupPolicy,
    RekeyPolicy,
)
from gcks.group.schedule import overlap_seconds
from gcks.group.usage import usage_problems
from gcks.iana import IMPLICIT_IV, Encr, IdType, Integ, ProtocolId
from gcks.wire.transform import Transform

MAX_DELAY_SECONDS: Final = 65535
MAX_LIFETIME_SECONDS: Final = 0xFFFFFFFF
MAX_SENDER_ID_BITS: Final = 32
MAX_DATA_SAS: Final = 64
"""What a GM takes by default; and all fit one GSA_REKEY message."""

MAX_LABEL_CHARACTERS: Final = 255
"""Of a security label; and MAX_DATA_SAS of them fit one GSA_REKEY message."""

_A_LABEL: Final = "system_u:object_r:ipsec_spd_t:s0"
MAX_COPIES: Final = 16
MAX_SEQUENCE_NUMBERS: Final = 1 << 32
FAST_SENDER_PACKETS: Final = 100_000
"""Packets per second of a sender that one should reckon with: 1 Gbit/s of 1,250 octets."""

MAX_SPREAD_SECONDS: Final = 10.0
_GROUP_ID_TYPES: Final = {
    IdType.ID_KEY_ID,
    IdType.ID_FQDN,
    IdType.ID_RFC822_ADDR,
    IdType.ID_IPV4_ADDR,
    IdType.ID_IPV6_ADDR,
}


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One thing wrong; a warning doesn't keep the daemon from starting."""

    where: str
    reason: str
    warning: bool = False


Problems = Iterator[PolicyProblem]


def check(policy: GroupPolicy) -> list[PolicyProblem]:
    """Return everything that is wrong with a group's policy."""
    found = [problem for rule in _GROUP_RULES for problem in rule(policy)]
    for sa in policy.data_sas:
        where = f"data_sas.{sa.name}"
        for data_rule in _DATA_RULES:
            found += [_below(where, problem) for problem in data_rule(sa)]
    if policy.rekey is not None:
        for rekey_rule in _REKEY_RULES:
            found += [_below("rekey", problem) for problem in rekey_rule(policy.rekey)]
    return found


def check_groups(policies: Sequence[GroupPolicy]) -> list[PolicyProblem]:
    """Return what is wrong with groups beside each other; `where` is the group's name."""
    counts = Counter(policy.name for policy in policies)
    return [
        PolicyProblem(name, f"{count} groups have this ID")
        for name, count in counts.items()
        if count > 1
    ]


def _below(where: str, problem: PolicyProblem) -> PolicyProblem:
    return PolicyProblem(f"{where}.{problem.where}", problem.reason, problem.warning)


# --- the group --------------------------------------------------------------------------


def _has_sas(policy: GroupPolicy) -> Problems:
    if not policy.data_sas:
        yield PolicyProblem("data_sas", "a group needs at least one Data-Security SA")
    if len(policy.data_sas) > MAX_DATA_SAS:
        yield PolicyProblem("data_sas", f"more than {MAX_DATA_SAS} Data-Security SAs")
    if policy.rekey is None and policy.inband_senders:
        yield PolicyProblem(
            "inband_senders", "without a rekey section every member is rekeyed in-band already"
        )


def _key_management(policy: GroupPolicy) -> Problems:
    tree = policy.key_management == LKH
    if policy.key_management not in (SIMPLE, LKH):
        yield PolicyProblem(
            "key_management", f"{policy.key_management!r} is neither simple nor lkh"
        )
    if tree and policy.rekey is None:
        yield PolicyProblem("key_management", "a key tree is for multicast rekeys; give rekey")
    if policy.forward_access and policy.rekey is not None and not tree:
        yield PolicyProblem(
            "forward_access", "without a key tree everybody would register again; choose lkh"
        )
    if policy.hide_policy and not tree:
        yield PolicyProblem("hide_policy", "is about key trees (section 3.2.1); choose lkh")


def _group_id(policy: GroupPolicy) -> Problems:
    if policy.id.type not in _GROUP_ID_TYPES:
        yield PolicyProblem("id", "a group ID is keyid, fqdn, rfc822, ipv4 or ipv6 (section 4.2)")


def _usage(policy: GroupPolicy) -> Problems:
    return (PolicyProblem(where, reason) for where, reason in usage_problems(policy))


def _doubts(policy: GroupPolicy) -> Problems:
    for where, reason in member_doubts(policy):
        yield PolicyProblem(where, reason, warning=True)


def _unique_names(policy: GroupPolicy) -> Problems:
    for name, count in Counter(sa.name for sa in policy.data_sas).items():
        if count > 1:
            yield PolicyProblem("data_sas", f"two SAs are named {name!r}")
        if not name:
            yield PolicyProblem("data_sas", "an SA without a name")


def _esp_and_ah(policy: GroupPolicy) -> Problems:
    by_selectors: dict[object, set[ProtocolId]] = {}
    for sa in policy.data_sas:
        selectors = (sa.source, sa.destination, sa.security_label)
        by_selectors.setdefault(selectors, set()).add(sa.protocol)
    for protocols in by_selectors.values():
        if len(protocols) > 1:
            yield PolicyProblem(
                "data_sas", "ESP and AH on the same traffic selectors (section 4.4.2)"
            )


def _delays(policy: GroupPolicy) -> Problems:
    for where, seconds in (("atd", policy.atd_seconds), ("dtd", policy.dtd_seconds)):
        if not 0 <= seconds <= MAX_DELAY_SECONDS:
            yield PolicyProblem(where, f"{seconds} s is not within 0 to {MAX_DELAY_SECONDS} s")
    if policy.dtd_seconds <= policy.atd_seconds and policy.atd_seconds:
        yield PolicyProblem(
            "dtd", "must be longer than atd: senders leave an old SA after atd, receivers after dtd"
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
            )
        if renew is not None and not policy.atd_seconds < renew <= lifetime - overlap:
            yield PolicyProblem(
                f"{where}.renew",
                f"{renew} s: must be longer than atd, so that senders come to use an SA,"
                f" and leave {overlap:g} s of lifetime",
            )


def _sender_ids(policy: GroupPolicy) -> Problems:
    if not 1 <= policy.sender_id_bits <= MAX_SENDER_ID_BITS:
        yield PolicyProblem("sender_id_bits", f"must be 1 to {MAX_SENDER_ID_BITS}")
    elif policy.counter_mode and 1 << policy.sender_id_bits < policy.max_sender_ids_per_request:
        yield PolicyProblem("sender_id_bits", "too few for max_sender_ids_per_request")
    if policy.max_sender_ids_per_request < 1:
        yield PolicyProblem("max_sender_ids_per_request", "must be at least 1")
    if policy.capacity < 1:
        yield PolicyProblem("capacity", "must be at least 1")


def _members(policy: GroupPolicy) -> Problems:
    if not policy.members:
        yield PolicyProblem("members", "nobody may join: add a rule")
    for place, rule in enumerate(policy.members):
        if not rule.send and not rule.receive:
            yield PolicyProblem(f"members[{place}]", "may neither send nor receive")
    if policy.data_sas and not any(rule.send for rule in policy.members):
        yield PolicyProblem("members", "nobody may send", warning=True)


def _single_senders_are_members(policy: GroupPolicy) -> Problems:
    for sa in policy.data_sas:
        rule = policy.rule_for(sa.sender) if sa.sender else None
        if sa.sender and (rule is None or not rule.send):
            yield PolicyProblem(
                f"data_sas.{sa.name}.sender", f"{sa.sender} may not send by the members rules"
            )


def _senders_told_apart(policy: GroupPolicy) -> Problems:
    """The source selector tells which GM is an SA's single sender (see the rulings)."""
    owners: dict[object, str] = {}
    for sa in policy.data_sas:
        if sa.senders != SINGLE or not sa.sender:
            continue
        if owners.setdefault((sa.source, sa.destination), sa.sender) != sa.sender:
            yield PolicyProblem(
                f"data_sas.{sa.name}.source", "two single senders can't have the same selectors"
            )


def _same_key_wrap_strength(policy: GroupPolicy) -> Problems:
    """RFC 9838 section 3.1: a KWK SHOULD NOT be smaller than the keys it wraps."""
    if policy.rekey is None or policy.rekey.kwa not in KWAS:
        return
    transforms = [sa.encr for sa in policy.data_sas] + [policy.rekey.encr]
    longest = max((t.key_length or 256 for t in transforms if t is not None), default=0)
    if kwk_octets(policy.rekey.kwa) * 8 < longest:
        yield PolicyProblem(
            "rekey.key_wrap", f"weaker than the {longest}-bit keys it wraps", warning=True
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


# --- Data-Security SAs --------------------------------------------------------------------


def _protocol_transforms(sa: DataSaPolicy) -> Problems:
    """RFC 9838 section 4.4.2.1: which transforms go with ESP and AH."""
    if sa.protocol == ProtocolId.AH and (sa.encr is not None or sa.integ is None):
        yield PolicyProblem("suite", "AH takes an integrity algorithm and no cipher")
    if sa.protocol == ProtocolId.ESP and sa.encr is None:
        yield PolicyProblem("suite", "ESP needs a cipher")
    if sa.protocol not in (ProtocolId.ESP, ProtocolId.AH):
        yield PolicyProblem("protocol", f"{sa.protocol} is neither ESP nor AH")


def _data_cipher(sa: DataSaPolicy) -> Problems:
    if sa.encr is not None:
        yield from _cipher(sa.encr, sa.integ)
    elif sa.integ is not None:
        yield from _integrity(sa.integ)


def _senders(sa: DataSaPolicy) -> Problems:
    if sa.senders not in (MANY, SINGLE):
        yield PolicyProblem("senders", f"{sa.senders!r} is neither many nor single")
    if sa.senders == SINGLE and not sa.sender:
        yield PolicyProblem("sender", "an SA with a single sender must name it")
    if sa.senders == SINGLE and sa.source.single_address is None:
        yield PolicyProblem("source", "must be the single sender's address, and only that")
    if sa.senders == MANY and sa.sender:
        yield PolicyProblem("sender", "only an SA with senders: single names its sender")


def _selectors(sa: DataSaPolicy) -> Problems:
    if sa.source.type != sa.destination.type:
        yield PolicyProblem("source", "source and destination are of different IP versions")
    first = ipaddress.ip_address(sa.destination.start_address)
    last = ipaddress.ip_address(sa.destination.end_address)
    if not (first.is_multicast and last.is_multicast):
        yield PolicyProblem("destination", f"{sa.destination} is not all multicast")


def _security_label(sa: DataSaPolicy) -> Problems:
    """RFC 9478; labels of more octets could make rekeys too large for a datagram."""
    label = sa.security_label
    if label and not (label.isascii() and label.isprintable() and " " not in label):
        yield PolicyProblem(
            "security_label", f"{label!r}: write printable ASCII without spaces, such as {_A_LABEL}"
        )
    if len(label) > MAX_LABEL_CHARACTERS:
        yield PolicyProblem("security_label", f"longer than {MAX_LABEL_CHARACTERS} characters")


def _sequence_numbers(sa: DataSaPolicy) -> Problems:
    """Section 2.6: a single-sender SA is renewed before its 32-bit numbers wrap."""
    if sa.senders == SINGLE and sa.lifetime_seconds * FAST_SENDER_PACKETS > MAX_SEQUENCE_NUMBERS:
        yield PolicyProblem(
            "lifetime",
            f"above {MAX_SEQUENCE_NUMBERS // sa.lifetime_seconds} packets per second"
            " the 32-bit sequence numbers wrap before the SA is renewed",
            warning=True,
        )


_DATA_RULES: Final[tuple[Callable[[DataSaPolicy], Problems], ...]] = (
    _protocol_transforms,
    _data_cipher,
    _senders,
    _selectors,
    _security_label,
    _sequence_numbers,
)


# --- the Rekey SA -------------------------------------------------------------------------


def _rekey_cipher(rekey: RekeyPolicy) -> Problems:
    yield from _cipher(rekey.encr, rekey.integ)
    if rekey.kwa not in KWAS:
        yield PolicyProblem("key_wrap", "this key wrap algorithm is not implemented")


def _rekey_authentication(rekey: RekeyPolicy) -> Problems:
    if rekey.authentication == IMPLICIT:
        yield PolicyProblem(
            "authentication",
            "implicit: any member can forge rekeys (NOT RECOMMENDED, section 2.4.1)",
            warning=True,
        )
    elif rekey.authentication not in SIGNATURE_ALGORITHM:
        known = ", ".join(SIGNATURE_ALGORITHM)
        yield PolicyProblem("authentication", f"choose one of {known} or implicit")


def _rekey_endpoints(rekey: RekeyPolicy) -> Problems:
    source, destination = (ipaddress.ip_address(e.host) for e in (rekey.source, rekey.destination))
    if not destination.is_multicast:
        yield PolicyProblem("address", f"{destination} is not a multicast address (section 4.4.2)")
    if source.version != destination.version or source.is_unspecified or source.is_multicast:
        yield PolicyProblem(
            "source",
            f"{source} can't be the source of messages to {destination}; "
            "give an address of this host",
        )


def _rekey_sending(rekey: RekeyPolicy) -> Problems:
    if not 1 <= rekey.copies <= MAX_COPIES:
        yield PolicyProblem("copies", f"must be 1 to {MAX_COPIES}")
    if not 0 <= rekey.spread_seconds <= MAX_SPREAD_SECONDS:
        yield PolicyProblem("spread", "copies are sent within a few seconds (section 2.4.1.3)")
    if not 1 <= rekey.ttl <= 255:
        yield PolicyProblem("ttl", "must be 1 to 255")


_REKEY_RULES: Final[tuple[Callable[[RekeyPolicy], Problems], ...]] = (
    _rekey_cipher,
    _rekey_authentication,
    _rekey_endpoints,
    _rekey_sending,
)


# --- algorithms ---------------------------------------------------------------------------


def _cipher(encr: Transform, integ: Transform | None) -> Problems:
    """RFC 9838 sections 2.7 and 4.4.2.1, RFC 7296 section 3.3."""
    has_integ = integ is not None and integ.id != Integ.NONE
    if encr.id in IMPLICIT_IV:
        yield PolicyProblem("suite", f"{Encr(encr.id)}: implicit IVs are forbidden (section 2.7)")
        return
    try:
        encr_key_octets(encr.id, encr.key_length)
    except UnsupportedAlgorithm as error:
        yield PolicyProblem("suite", str(error))
        return
    if is_aead(encr.id) and has_integ:
        yield PolicyProblem("suite", "an AEAD cipher goes without an integrity algorithm")
    if not is_aead(encr.id) and not has_integ:
        yield PolicyProblem("suite", f"{Encr(encr.id)} needs an integrity algorithm")
    if integ is not None:
        yield from _integrity(integ)


def _integrity(integ: Transform) -> Problems:
    try:
        integ_key_octets(integ.id)
    except UnsupportedAlgorithm as error:
        yield PolicyProblem("suite", str(error))
