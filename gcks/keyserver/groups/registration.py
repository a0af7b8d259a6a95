"""What a GM gets when it registers, or is told in-band (RFC 9838 sections 2.3.3, 2.4.2, 4.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf
from typing import Final, NamedTuple

from gcks.group.counter_mode import uses_counter
from gcks.group.usage import Usage
from gcks.iana import PayloadType
from gcks.journal import MemberSaved
from gcks.keyserver.groups.authorization import Role
from gcks.keyserver.groups.live_sa import LiveSa
from gcks.keyserver.groups.membership import NO_LEAF
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.sa_set import REKEY, SaSet
from gcks.keyserver.groups.state import GroupState
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy, GsaPolicy
from gcks.wire.identification import Identity
from gcks.wire.payloads import Payload
from gcks.wire.sa import SecurityAssociation
from gcks.wire.unknown import EncodedPayload

NO_USAGE: Final = Usage()
MAX_KEPT_SAG_OCTETS = 2048
"""A larger SAg is evaluated and not kept for the census."""


STRAGGLER_SECONDS = 2.0
"""How long after ATD a packet of a replaced SA may still come."""


class AdmissionRequest(NamedTuple):
    """What an authenticated GM asks for; no IKE SA, and no key of one, is known here."""

    group: str
    """The group ID in text form."""
    identity: Identity
    address: str
    """Where it comes from."""
    kwa: int
    """The Key Wrap Algorithm of its IKE SA."""
    sender: bool
    sender_id_count: int
    sag: SecurityAssociation | None
    reassembles: bool = False
    """Whether it negotiated IKE fragmentation."""
    certificate_ends: float = inf
    """When a certificate that it proved itself with expires (POSIX seconds)."""
    certificates: bytes = b""
    """References of those certificates."""
    announced: Usage = NO_USAGE
    """How it can use Data-Security SAs."""


class Keys(NamedTuple):
    """What one GM is given; all that is its own to be wrapped under its GSK_w."""

    gsa: EncodedPayload
    sa_keys: tuple[tuple[int, bytes, bytes], ...]
    """Protocol, SPI and keying material of each SA."""
    notifies: tuple[Payload, ...]
    """How the SAs are used (section 2.3.4), and the spread; Deletes in a push."""
    auth_key: bytes | None = None
    sender_ids: tuple[int, ...] = ()
    path: tuple[tuple[int, bytes], ...] | None = None
    """Key ID and key of the tree's nodes, its own first; None: no tree."""

    def __repr__(self) -> str:
        return f"Keys({len(self.sa_keys)} SAs, {len(self.sender_ids)} Sender-IDs)"


class Admitted(NamedTuple):
    """A GM is a member from now on: what it is told, and what others say of it."""

    keys: Keys
    again: bool
    """It was a member already."""
    members: int
    sender: bool
    inband: bool
    """It is rekeyed over its IKE SA, which stays open."""
    hint: str
    """What may be wrong although it was admitted."""
    at: float
    """When (POSIX time): tells this registration from a later one."""


@dataclass(frozen=True, slots=True)
class RoleView:
    """What all GMs of one role get; the wrapping of the keys is each one's own."""

    gsa: EncodedPayload
    sas: tuple[LiveSa, ...]
    numbered: bool
    """The GM gets Sender-IDs (section 4.5.3.3; section 5, note 1; ruling 11)."""


class GsaBuilder:
    """Builds GSA payloads; one encoding serves all GMs of a role within one second."""

    __slots__ = ("_cache", "_of")

    def __init__(self) -> None:
        self._cache: dict[tuple[Role, bool, bool], RoleView] = {}
        self._of = -1, -1, -1

    def view(
        self,
        policy: GroupPolicy,
        state: GroupState,
        role: Role,
        now: float,
        *,
        inband: bool,
        pushed: bool = False,
    ) -> RoleView:
        """Return the GSA payload and its SAs.

        `inband`: for a GM that is rekeyed over its IKE SA.
        `pushed`: for a GSA_INBAND_REKEY, which holds nothing about Sender-IDs.
        """
        sas, message_id = state.sas, state.next_message_id
        if self._of != (state.revision, message_id, int(now)):
            self._cache.clear()
            self._of = state.revision, message_id, int(now)
        found = self._cache.get((role, inband, pushed))
        if found is None:
            make = _inband_view if inband else _view
            found = make(policy, sas, role, message_id, now, pushed)
            self._cache[role, inband, pushed] = found
        return found


def _inband_view(
    policy: GroupPolicy, sas: SaSet, role: Role, message_id: int, now: float, pushed: bool
) -> RoleView:
    """No Rekey SA, no lifetime, no GSA_NEXT_SPI: the IKE SA tells all changes (section 5)."""
    del message_id
    given = [sa for sa in sas_for(policy, sas, role, now) if sa.name != REKEY]
    data = [sa for sa in given if not pushed or sa.retire_at is None]  # the others it has
    numbered = role.is_sender and any(uses_counter(sa.policy.transforms) for sa in data)
    policies = [replace(sa.policy, lifetime_seconds=None, next_spis=()) for sa in data]
    wide = group_wide(policy, policy.sender_id_bits if numbered and not pushed else None)
    gsa = GroupSecurityAssociation(tuple(policies), wide)
    return RoleView(EncodedPayload(PayloadType.GSA, gsa.encode()), tuple(data), numbered)


def _view(
    policy: GroupPolicy, sas: SaSet, role: Role, message_id: int, now: float, pushed: bool
) -> RoleView:
    del pushed
    given = tuple(sas_for(policy, sas, role, now))
    data = [sa for sa in given if sa.name != REKEY]
    numbered = role.is_sender and any(uses_counter(sa.policy.transforms) for sa in data)
    policies = [with_lifetime(sa, sas, now) for sa in given]
    if policy.rekey is not None:
        policies[0] = replace(
            policies[0],
            transforms=(*policies[0].transforms, policy.rekey.gcauth),
            initial_message_id=message_id or None,
        )
    wide = group_wide(policy, policy.sender_id_bits if numbered else None)
    gsa = GroupSecurityAssociation(tuple(policies), wide)
    return RoleView(EncodedPayload(PayloadType.GSA, gsa.encode()), given, numbered)


def with_lifetime(sa: LiveSa, sas: SaSet, now: float) -> GsaPolicy:
    """Return an SA's policy with what is left of its lifetime, and the SPI of its successor."""
    announced = sas.next_spis.get(sa.name) if sa.retire_at is None else None
    return replace(
        sa.policy,
        lifetime_seconds=max(1, sa.remaining_seconds(now)),
        next_spis=(announced,) if announced else (),
    )


def sas_for(policy: GroupPolicy, sas: SaSet, role: Role, now: float) -> list[LiveSa]:
    """Return the SAs that a GM of that role gets, the Rekey SA first.

    Ruling 38: others send on a replaced Data-Security SA until ATD after the last
    copy of the rekey, so a GM that joins within that time gets it too, with
    what is left of its DTD as the lifetime; but not where the GM itself would
    send on it: new senders begin with the new SA.
    """
    hidden, idle = {REKEY, *role.sends_on}, _idle_seconds(policy)
    old = [sa for sa in sas.replaced if sa.name not in hidden and sa.remaining_seconds(now) > idle]
    if policy.backward_access:
        old = []
    data = [sa for sa in (*sas.data, *old) if role.receives or sa.name in role.sends_on]
    return [sas.current[REKEY], *data] if REKEY in sas.current else data


def member_saved(
    request: AdmissionRequest,
    identity: str,
    *,
    sender_ids: tuple[int, ...],
    at: float,
    leaf: int = NO_LEAF,
    inband: bool = False,
) -> MemberSaved:
    """Return the record of a member that has registered at POSIX time `at`."""
    sag = request.sag.octets if request.sag is not None else b""
    return MemberSaved(
        group=request.group,
        identity=identity,
        address=request.address,
        sender_ids=sender_ids,
        sag=sag if len(sag) <= MAX_KEPT_SAG_OCTETS else b"",
        registered_at=at,
        reassembles=request.reassembles,
        certificate_ends=request.certificate_ends,
        certificates=request.certificates,
        leaf=leaf,
        sender=request.sender,
        inband=inband,
    )


def _idle_seconds(policy: GroupPolicy) -> float:
    """Return for how long a replaced SA is kept although nobody sends on it any more."""
    return max(0.0, policy.dtd_seconds - policy.atd_seconds - STRAGGLER_SECONDS)


def group_wide(policy: GroupPolicy, sender_id_bits: int | None) -> GroupWidePolicy | None:
    """Return the GW policy; without it no delay would be employed (section 4.4.3.1.1)."""
    if not policy.atd_seconds and not policy.dtd_seconds and sender_id_bits is None:
        return None
    return GroupWidePolicy(policy.atd_seconds or None, policy.dtd_seconds or None, sender_id_bits)


def sa_keys(sas: Iterable[LiveSa]) -> tuple[tuple[int, bytes, bytes], ...]:
    """Return protocol, SPI and keying material of each SA."""
    return tuple((sa.policy.protocol, sa.policy.spi, sa.keymat) for sa in sas)
