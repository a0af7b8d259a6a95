"""The attribute tables of RFC 9838 section 5, for groups rekeyed by multicast.

Notation of the RFC: S exactly one, M one or more, [S] at most one, [M] any
number, - none.  A table names, per substructure, what may stand in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gcks.errors import GcksError
from gcks.group.key_download import find_transform
from gcks.iana import COUNTER_MODE_INTEG, COUNTER_MODES, GcAuth, ProtocolId, TransformType
from gcks.wire.gsa import GroupSecurityAssociation, GsaPolicy
from gcks.wire.kd import GroupKeyBag, KeyDownload
from gcks.wire.transform import Transform


class RuleViolation(GcksError):
    """A GSA or KD payload that the tables don't allow; the text says which rule."""


class Occurs(Enum):
    """How often an attribute may stand in its substructure: least, most (None: any)."""

    ONE = (1, 1)
    MAYBE_ONE = (0, 1)
    ANY = (0, None)
    MANY = (1, None)
    NONE = (0, 0)


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """One column of the first table of section 5."""

    exchange: str
    key_lifetime: Occurs
    initial_message_id: Occurs
    next_spi: Occurs
    sender_id_bits: Occurs
    rekey_sa_key: Occurs
    auth_key: Occurs
    sender_ids: Occurs


REGISTRATION: Final = AttributeTable(
    "registration",
    key_lifetime=Occurs.ONE,
    initial_message_id=Occurs.MAYBE_ONE,
    next_spi=Occurs.ANY,
    sender_id_bits=Occurs.MAYBE_ONE,
    rekey_sa_key=Occurs.ONE,
    auth_key=Occurs.MAYBE_ONE,
    sender_ids=Occurs.ANY,
)
REKEY: Final = AttributeTable(
    "GSA_REKEY",
    key_lifetime=Occurs.ONE,
    initial_message_id=Occurs.MAYBE_ONE,
    next_spi=Occurs.ANY,
    sender_id_bits=Occurs.NONE,
    rekey_sa_key=Occurs.MANY,
    auth_key=Occurs.MAYBE_ONE,
    sender_ids=Occurs.NONE,
)

_TRANSFORMS: Final[dict[int, dict[TransformType, Occurs]]] = {
    ProtocolId.GIKE_UPDATE: {
        TransformType.ENCR: Occurs.ONE,
        TransformType.INTEG: Occurs.MAYBE_ONE,
        TransformType.GCAUTH: Occurs.MAYBE_ONE,
        TransformType.KWA: Occurs.ONE,
    },
    ProtocolId.ESP: {
        TransformType.ENCR: Occurs.ONE,
        TransformType.SN: Occurs.ONE,
        TransformType.INTEG: Occurs.MAYBE_ONE,
    },
    ProtocolId.AH: {TransformType.INTEG: Occurs.ONE, TransformType.SN: Occurs.ONE},
}
"""Section 4.4.2.1: mandatory types exactly once, optional ones at most once."""


def check_registration(gsa: GroupSecurityAssociation, kd: KeyDownload, *, sender: bool) -> None:
    """Check the payloads of GSA_AUTH or GSA_REGISTRATION.  Raises `RuleViolation`.

    `sender` tells whether the GM sent GROUP_SENDER (section 5, note 1).
    """
    _check_policies(gsa, REGISTRATION, multicast=_rekey_policy(gsa) is not None)
    _check_bags(gsa, kd, REGISTRATION)
    rekey = _rekey_policy(gsa)
    if rekey is not None:
        _check_gcauth(rekey, kd)
    counted = sender and any(_counter_mode(p.transforms) for p in gsa.policies)
    bits = gsa.group_wide.sender_id_bits if gsa.group_wide else None
    numbers = [number for bag in kd.member_bags for number in bag.sender_ids]
    if counted != (bits is not None) or counted != bool(numbers):
        raise RuleViolation("GWP_SENDER_ID_BITS and GM_SENDER_ID don't fit (section 5, note 1)")


def check_rekey(gsa: GroupSecurityAssociation, kd: KeyDownload) -> None:
    """Check the payloads of GSA_REKEY.  Raises `RuleViolation`."""
    _check_policies(gsa, REKEY, multicast=True)
    _check_bags(gsa, kd, REKEY)
    rekey = _rekey_policy(gsa)
    if rekey is not None and find_transform(rekey.transforms, TransformType.GCAUTH):
        raise RuleViolation("GCAUTH in GSA_REKEY (section 4.4.2.1.1)")
    if rekey is not None and rekey.initial_message_id:
        raise RuleViolation("a new Rekey SA starts at Message ID 0 (ruling 8)")
    if any(bag.sender_ids for bag in kd.member_bags):
        raise RuleViolation("GM_SENDER_ID in GSA_REKEY (section 4.5.3.3)")
    if gsa.group_wide is not None and gsa.group_wide.sender_id_bits is not None:
        raise RuleViolation("GWP_SENDER_ID_BITS in GSA_REKEY (section 5)")


def _rekey_policy(gsa: GroupSecurityAssociation) -> GsaPolicy | None:
    return next((p for p in gsa.policies if p.protocol == ProtocolId.GIKE_UPDATE), None)


def _check_policies(
    gsa: GroupSecurityAssociation, table: AttributeTable, *, multicast: bool
) -> None:
    for policy in gsa.policies:
        title = f"{ProtocolId(policy.protocol)} SA {policy.spi.hex()}"
        for kind, occurs in _TRANSFORMS[policy.protocol].items():
            count = sum(t.type == kind for t in policy.transforms)
            _hold(count, occurs, f"{kind} transforms in {title} (section 4.4.2.1)")
        if any(t.type not in _TRANSFORMS[policy.protocol] for t in policy.transforms):
            raise RuleViolation(f"a transform of a foreign type in {title}")
        given = (int(policy.lifetime_seconds is not None), len(policy.next_spis))
        lifetime = table.key_lifetime if multicast else Occurs.MAYBE_ONE
        _hold(given[0], lifetime, f"GSA_KEY_LIFETIME in {title}")
        _hold(given[1], table.next_spi if multicast else Occurs.NONE, f"GSA_NEXT_SPI in {title}")
        if policy.initial_message_id is not None and policy.protocol != ProtocolId.GIKE_UPDATE:
            raise RuleViolation(f"GSA_INITIAL_MESSAGE_ID in {title} (section 4.4.2.2.2)")


def _check_bags(gsa: GroupSecurityAssociation, kd: KeyDownload, table: AttributeTable) -> None:
    for bag in kd.group_bags:
        title = f"{ProtocolId(bag.protocol)} SA {bag.spi.hex()}"
        rekey = bag.protocol == ProtocolId.GIKE_UPDATE
        occurs = table.rekey_sa_key if rekey else Occurs.ONE
        _hold(len(bag.sa_keys), occurs, f"SA_KEY for {title} (section 4.5.2.1)")
        _check_key_ids(bag, data=not rekey)
    if any(key.key_id == 0 for bag in kd.member_bags for key in bag.wrap_keys):
        raise RuleViolation("a WRAP_KEY with Key ID 0 (section 4.5.3.1)")
    policies = {(p.protocol, p.spi) for p in gsa.policies}
    if policies != {(bag.protocol, bag.spi) for bag in kd.group_bags}:
        raise RuleViolation("policies and key bags name different SAs (section 4.5)")


def _check_key_ids(bag: GroupKeyBag, *, data: bool) -> None:
    if any(key.key_id or (data and key.kwk_id) for key in bag.sa_keys):
        raise RuleViolation("an SA_KEY with a Key ID or, for data, a KWK ID (section 4.5.2.1)")


def _check_gcauth(rekey: GsaPolicy, kd: KeyDownload) -> None:
    """Section 4.4.2.1.1: AUTH_KEY goes with digital signatures, and only with them."""
    gcauth = find_transform(rekey.transforms, TransformType.GCAUTH)
    if gcauth is None:
        raise RuleViolation("a Rekey SA without GCAUTH at registration (section 4.4.2.1)")
    signed = gcauth.id == GcAuth.DIGITAL_SIGNATURE
    if not signed and gcauth.id != GcAuth.IMPLICIT:
        raise RuleViolation(f"unknown authentication method {gcauth}")
    if signed != bool(gcauth.signature_algorithm):
        raise RuleViolation("Signature Algorithm Identifier and GCAUTH don't fit")
    if signed != any(bag.auth_key is not None for bag in kd.member_bags):
        raise RuleViolation("AUTH_KEY and GCAUTH don't fit (section 4.4.2.1.1)")


def _counter_mode(transforms: Iterable[Transform]) -> bool:
    """Ruling 11: Data-Security SAs only, which are those with an SN transform."""
    found = list(transforms)
    if find_transform(found, TransformType.SN) is None:
        return False
    encr = find_transform(found, TransformType.ENCR)
    integ = find_transform(found, TransformType.INTEG)
    return (encr is not None and encr.id in COUNTER_MODES) or (
        integ is not None and integ.id in COUNTER_MODE_INTEG
    )


def _hold(count: int, occurs: Occurs, what: str) -> None:
    least, most = occurs.value
    if count < least or (most is not None and count > most):
        raise RuleViolation(f"{count} {what}")
