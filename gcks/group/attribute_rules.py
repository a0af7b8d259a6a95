"""The tables of RFC 9838 sections 4.4.2.1 and 5: what a GSA and a KD payload may hold, when.

Notation of the RFC: S exactly one, M one or more, [S] at most one, [M] any
number, - none.  Numbers count per substructure (section 5), AUTH_KEY and
GM_SENDER_ID per message (ruling 15).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from itertools import chain
from typing import Final

from gcks.crypto.encr import is_aead
from gcks.errors import GcksError
from gcks.group.counter_mode import uses_counter
from gcks.group.key_download import find_transform
from gcks.iana import GcAuth, Integ, ProtocolId, TransformType
from gcks.wire.gsa import GroupSecurityAssociation, GsaPolicy
from gcks.wire.kd import GroupKeyBag, KeyDownload
from gcks.wire.transform import Transform


class RuleViolation(GcksError):
    """A GSA or KD payload that the tables don't allow; the text says which rule."""


class Occurs(Enum):
    """How often something may stand in its place: least, most (None: any number)."""

    S = (1, 1)
    MAYBE_S = (0, 1)
    M = (1, None)
    MAYBE_M = (0, None)
    NONE = (0, 0)


class TableItem(Enum):
    """What the tables count, and the section that defines it."""

    GSA_KEY_LIFETIME = "GSA_KEY_LIFETIME (section 4.4.2.2.1)"
    GSA_INITIAL_MESSAGE_ID = "GSA_INITIAL_MESSAGE_ID (section 4.4.2.2.2)"
    GSA_NEXT_SPI = "GSA_NEXT_SPI (section 4.4.2.2.3)"
    GWP_SENDER_ID_BITS = "GWP_SENDER_ID_BITS (section 4.4.3.1.2)"
    DATA_SA_KEY = "SA_KEY of a Data-Security SA (section 4.5.2.1)"
    REKEY_SA_KEY = "SA_KEY of a Rekey SA (section 4.5.2.1)"
    WRAP_KEY = "WRAP_KEY (section 4.5.3.1)"
    AUTH_KEY = "AUTH_KEY (section 4.5.3.2)"
    GM_SENDER_ID = "GM_SENDER_ID (section 4.5.3.3)"
    GCAUTH = "GCAUTH (section 4.4.2.1.1)"


Table = Mapping[TableItem, Occurs]

MULTICAST_REGISTRATION: Final[Table] = {
    TableItem.GSA_KEY_LIFETIME: Occurs.S,
    TableItem.GSA_INITIAL_MESSAGE_ID: Occurs.MAYBE_S,
    TableItem.GSA_NEXT_SPI: Occurs.MAYBE_M,
    TableItem.GWP_SENDER_ID_BITS: Occurs.MAYBE_S,  # note 1: `_check_note_1`
    TableItem.DATA_SA_KEY: Occurs.S,
    TableItem.REKEY_SA_KEY: Occurs.S,  # note 2
    TableItem.WRAP_KEY: Occurs.MAYBE_M,
    TableItem.AUTH_KEY: Occurs.MAYBE_S,  # note 4: `_check_gcauth`
    TableItem.GM_SENDER_ID: Occurs.MAYBE_M,  # note 1
    TableItem.GCAUTH: Occurs.S,
}
GSA_REKEY: Final[Table] = {
    TableItem.GSA_KEY_LIFETIME: Occurs.S,
    TableItem.GSA_INITIAL_MESSAGE_ID: Occurs.MAYBE_S,  # and then zero: ruling 8
    TableItem.GSA_NEXT_SPI: Occurs.MAYBE_M,
    TableItem.GWP_SENDER_ID_BITS: Occurs.NONE,
    TableItem.DATA_SA_KEY: Occurs.S,
    TableItem.REKEY_SA_KEY: Occurs.M,
    TableItem.WRAP_KEY: Occurs.MAYBE_M,  # ruling 1
    TableItem.AUTH_KEY: Occurs.MAYBE_S,
    TableItem.GM_SENDER_ID: Occurs.NONE,
    TableItem.GCAUTH: Occurs.NONE,  # the method MUST NOT change by rekey
}
INBAND_REGISTRATION: Final[Table] = {
    TableItem.GSA_KEY_LIFETIME: Occurs.MAYBE_S,
    TableItem.GSA_INITIAL_MESSAGE_ID: Occurs.NONE,
    TableItem.GSA_NEXT_SPI: Occurs.NONE,
    TableItem.GWP_SENDER_ID_BITS: Occurs.MAYBE_S,
    TableItem.DATA_SA_KEY: Occurs.S,
    TableItem.REKEY_SA_KEY: Occurs.S,
    TableItem.WRAP_KEY: Occurs.NONE,
    TableItem.AUTH_KEY: Occurs.NONE,
    TableItem.GM_SENDER_ID: Occurs.MAYBE_M,
    TableItem.GCAUTH: Occurs.NONE,
}
INBAND_REKEY: Final[Table] = {
    **INBAND_REGISTRATION,
    TableItem.GWP_SENDER_ID_BITS: Occurs.NONE,
    TableItem.GM_SENDER_ID: Occurs.NONE,
}

TRANSFORMS: Final[Mapping[int, Mapping[int, Occurs]]] = {
    ProtocolId.GIKE_UPDATE: {
        TransformType.ENCR: Occurs.S,
        TransformType.INTEG: Occurs.MAYBE_S,  # by the cipher: `_check_integrity`
        TransformType.GCAUTH: Occurs.MAYBE_S,  # by the exchange: the tables above
        TransformType.KWA: Occurs.S,
    },
    ProtocolId.ESP: {
        TransformType.ENCR: Occurs.S,
        TransformType.SN: Occurs.S,
        TransformType.INTEG: Occurs.MAYBE_S,
    },
    ProtocolId.AH: {TransformType.INTEG: Occurs.S, TransformType.SN: Occurs.S},
}
"""Section 4.4.2.1: mandatory types exactly once, optional ones at most once, no others."""


def check_registration(gsa: GroupSecurityAssociation, kd: KeyDownload, *, sender: bool) -> None:
    """Check the payloads of GSA_AUTH or GSA_REGISTRATION.  Raises `RuleViolation`.

    `sender` tells whether the GM sent GROUP_SENDER.  A GSA KEK policy in the
    payload tells that the group is rekeyed by multicast (ruling 13).
    """
    rekey = _rekey_policy(gsa)
    _check(gsa, kd, INBAND_REGISTRATION if rekey is None else MULTICAST_REGISTRATION)
    if rekey is not None:
        _check_gcauth(rekey, kd)
    _check_note_1(gsa, kd, sender=sender)


def check_inband_rekey(gsa: GroupSecurityAssociation, kd: KeyDownload) -> None:
    """Check the payloads of GSA_INBAND_REKEY.  Raises `RuleViolation`."""
    _check(gsa, kd, INBAND_REKEY)


def check_rekey(gsa: GroupSecurityAssociation, kd: KeyDownload) -> None:
    """Check the payloads of GSA_REKEY.  Raises `RuleViolation`."""
    _check(gsa, kd, GSA_REKEY)
    rekey = _rekey_policy(gsa)
    if rekey is not None and rekey.initial_message_id:
        raise RuleViolation("a new Rekey SA starts at Message ID 0 (ruling 8)")


def _rekey_policy(gsa: GroupSecurityAssociation) -> GsaPolicy | None:
    return next((p for p in gsa.policies if p.protocol == ProtocolId.GIKE_UPDATE), None)


def _check(gsa: GroupSecurityAssociation, kd: KeyDownload, table: Table) -> None:
    for item, count, place in chain(_count_gsa(gsa), _count_kd(kd)):
        _hold(count, table[item], f"{item.value} in {place}")
    for policy in gsa.policies:
        if not any(policy.spi):
            raise RuleViolation("a policy with SPI zero, which stands for all SAs (section 2.4.3)")
        if policy.label and policy.protocol == ProtocolId.GIKE_UPDATE:
            raise RuleViolation("a Rekey SA with a security label: it carries no labeled traffic")
        _check_transforms(policy)
    for bag in kd.group_bags:
        _check_key_ids(bag)
    if any(key.key_id == 0 for bag in kd.member_bags for key in bag.wrap_keys):
        raise RuleViolation("a WRAP_KEY with Key ID 0 (section 4.5.3.1)")
    policies = {(p.protocol, p.spi) for p in gsa.policies}
    bags = {(bag.protocol, bag.spi) for bag in kd.group_bags}
    if policies != bags or len(policies) != len(gsa.policies):
        raise RuleViolation("policies and key bags name different SAs (section 4.5)")


Counted = Iterator[tuple[TableItem, int, str]]


def _count_gsa(gsa: GroupSecurityAssociation) -> Counted:
    for policy in gsa.policies:
        place = _title(policy.protocol, policy.spi)
        yield TableItem.GSA_KEY_LIFETIME, int(policy.lifetime_seconds is not None), place
        yield TableItem.GSA_NEXT_SPI, len(policy.next_spis), place
        initial = int(policy.initial_message_id is not None)
        if policy.protocol == ProtocolId.GIKE_UPDATE:
            yield TableItem.GSA_INITIAL_MESSAGE_ID, initial, place
            yield TableItem.GCAUTH, _number_of(TransformType.GCAUTH, policy), place
        elif initial:
            raise RuleViolation(f"GSA_INITIAL_MESSAGE_ID in {place} (section 4.4.2.2.2)")
    bits = gsa.group_wide.sender_id_bits if gsa.group_wide is not None else None
    yield TableItem.GWP_SENDER_ID_BITS, int(bits is not None), "the GW policy"


def _count_kd(kd: KeyDownload) -> Counted:
    for bag in kd.group_bags:
        rekey = bag.protocol == ProtocolId.GIKE_UPDATE
        item = TableItem.REKEY_SA_KEY if rekey else TableItem.DATA_SA_KEY
        yield item, len(bag.sa_keys), _title(bag.protocol, bag.spi)
    member = kd.member_bags
    yield TableItem.WRAP_KEY, sum(len(bag.wrap_keys) for bag in member), "the KD payload"
    yield TableItem.AUTH_KEY, sum(bag.auth_key is not None for bag in member), "the KD payload"
    yield TableItem.GM_SENDER_ID, sum(len(bag.sender_ids) for bag in member), "the KD payload"


def _title(protocol: int, spi: bytes) -> str:
    return f"{ProtocolId(protocol)} SA {spi.hex()}"


def _number_of(kind: int, policy: GsaPolicy) -> int:
    return sum(transform.type == kind for transform in policy.transforms)


def _check_transforms(policy: GsaPolicy) -> None:
    rules = TRANSFORMS.get(policy.protocol, {})
    title = _title(policy.protocol, policy.spi)
    for kind, occurs in rules.items():
        _hold(_number_of(kind, policy), occurs, f"{TransformType(kind)} in {title} (4.4.2.1)")
    if any(transform.type not in rules for transform in policy.transforms):
        raise RuleViolation(f"a transform of a foreign type in {title} (section 4.4.2.1)")
    if any(t.signature_algorithm and t.type != TransformType.GCAUTH for t in policy.transforms):
        raise RuleViolation(f"Signature Algorithm Identifier outside GCAUTH in {title}")
    _check_integrity(policy.transforms, title)


def _check_integrity(transforms: Iterable[Transform], title: str) -> None:
    """INTEG goes with ciphers that aren't AEAD, and only with them (section 4.4.2.1)."""
    listed = tuple(transforms)
    encr, integ = (find_transform(listed, t) for t in (TransformType.ENCR, TransformType.INTEG))
    has_integrity = integ is not None and integ.id != Integ.NONE
    needs_integrity = encr is None or not is_aead(encr.id)
    if has_integrity != needs_integrity:
        raise RuleViolation(f"{encr or 'no ENCR'} with {integ or 'no INTEG'} in {title}")


def _check_key_ids(bag: GroupKeyBag) -> None:
    data = bag.protocol != ProtocolId.GIKE_UPDATE
    if any(key.key_id or (data and key.kwk_id) for key in bag.sa_keys):
        raise RuleViolation("an SA_KEY with a Key ID or, for data, a KWK ID (section 4.5.2.1)")


def _check_gcauth(rekey: GsaPolicy, kd: KeyDownload) -> None:
    """Section 4.4.2.1.1 and section 5, note 4: AUTH_KEY goes with digital signatures."""
    gcauth = find_transform(rekey.transforms, TransformType.GCAUTH)
    if gcauth is None or gcauth.id not in (GcAuth.IMPLICIT, GcAuth.DIGITAL_SIGNATURE):
        raise RuleViolation(f"unknown authentication method {gcauth} (section 4.4.2.1.1)")
    signed = gcauth.id == GcAuth.DIGITAL_SIGNATURE
    if signed != bool(gcauth.signature_algorithm):
        raise RuleViolation("Signature Algorithm Identifier and GCAUTH don't fit")
    if signed != any(bag.auth_key is not None for bag in kd.member_bags):
        raise RuleViolation("AUTH_KEY and GCAUTH don't fit (section 4.4.2.1.1)")


def _check_note_1(gsa: GroupSecurityAssociation, kd: KeyDownload, *, sender: bool) -> None:
    """Sender-IDs for those who asked, where a Data-Security SA counts (ruling 11)."""
    data = [p for p in gsa.policies if p.protocol != ProtocolId.GIKE_UPDATE]
    numbered = sender and any(uses_counter(policy.transforms) for policy in data)
    bits = gsa.group_wide.sender_id_bits if gsa.group_wide is not None else None
    numbers = [number for bag in kd.member_bags for number in bag.sender_ids]
    if numbered != (bits is not None) or numbered != bool(numbers):
        raise RuleViolation("GWP_SENDER_ID_BITS and GM_SENDER_ID don't fit (section 5, note 1)")


def _hold(count: int, occurs: Occurs, what: str) -> None:
    least, most = occurs.value
    if count < least or (most is not None and count > most):
        raise RuleViolation(f"{count} {what}")
