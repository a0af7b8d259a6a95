"""What a GM gets when it registers: GSA and KD payloads (RFC 9838 sections 2.3.3, 4.4, 4.5)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

from gcks.events import Event
from gcks.group.counter_mode import uses_counter
from gcks.group.key_download import key_download, member_key_download
from gcks.group.usage import Usage
from gcks.iana import PayloadType
from gcks.journal import JournalEntry, MemberSaved
from gcks.keyserver.groups.authorization import Role
from gcks.keyserver.groups.live_sa import LiveSa
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.sa_set import REKEY, SaSet
from gcks.keyserver.groups.tree_keeper import NO_LEAF, MemberKeys
from gcks.keyserver.groups.usage_policy import usage_of
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy, GsaPolicy
from gcks.wire.identification import Identity
from gcks.wire.payloads import Payload
from gcks.wire.sa import SecurityAssociation
from gcks.wire.unknown import EncodedPayload

MAX_KEPT_SAG_OCTETS = 2048
"""A larger SAg is evaluated and not kept for the census."""


STRAGGLER_SECONDS = 2.0
"""How long after ATD a packet of a replaced SA may still come."""


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """What the GM asks for, already authenticated; `address` is where it comes from."""

    identity: Identity
    address: str
    sender: bool
    sender_id_count: int
    sag: SecurityAssociation | None
    reassembles: bool = False
    """Whether it negotiated IKE fragmentation."""
    certificate_ends: float = inf
    """When a certificate that it proved itself with expires (POSIX seconds)."""
    certificates: bytes = b""
    """References of those certificates."""
    announced: Usage = field(default_factory=Usage)
    """How it can use Data-Security SAs."""


@dataclass(frozen=True, slots=True)
class KeyWrap:
    """The default KWK (GSK_w) of the unicast IKE SA."""

    kwa: int
    kwk: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Registration:
    """What to answer, and what must be durable before."""

    payloads: tuple[Payload, ...]
    journal: tuple[JournalEntry, ...]
    events: tuple[Event, ...]
    sender_ids: tuple[int, ...]
    again: bool
    """The GM was a member already."""
    members: int
    due: float = inf
    """When the group has something to do because of it (monotonic seconds)."""
    sender: bool = False
    inband: bool = False
    """The GM is rekeyed over its IKE SA, which stays open."""
    hint: str = ""
    """What may be wrong although it was admitted."""
    at: float = 0.0
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

    __slots__ = ("_cache", "_second")

    def __init__(self) -> None:
        self._cache: dict[tuple[Role, int, bool], RoleView] = {}
        self._second = -1

    def invalidate(self) -> None:
        self._second = -1

    def view(
        self,
        policy: GroupPolicy,
        sas: SaSet,
        role: Role,
        message_id: int,
        now: float,
        *,
        pushed: bool = False,
    ) -> RoleView:
        """Return the GSA payload and its SAs; `message_id` is the next GSA_REKEY's.

        `pushed`: for a GSA_INBAND_REKEY, which holds nothing about Sender-IDs.
        """
        if self._second != int(now):
            self._cache.clear()
            self._second = int(now)
        found = self._cache.get((role, message_id, pushed))
        if found is None:
            inband = policy.is_inband(sender=role.is_sender)
            make = _inband_view if inband else _view
            found = make(policy, sas, role, message_id, now, pushed)
            self._cache[role, message_id, pushed] = found
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
    group: str,
    identity: str,
    request: RegistrationRequest,
    sender_ids: tuple[int, ...],
    at: float,
    leaf: int = NO_LEAF,
) -> MemberSaved:
    """Return the record of a member that has registered at POSIX time `at`."""
    sag = request.sag.octets if request.sag is not None else b""
    return MemberSaved(
        group,
        identity,
        request.address,
        sender_ids,
        sag if len(sag) <= MAX_KEPT_SAG_OCTETS else b"",
        at,
        request.reassembles,
        request.certificate_ends,
        request.certificates,
        leaf,
        request.sender,
    )


def _idle_seconds(policy: GroupPolicy) -> float:
    """Return for how long a replaced SA is kept although nobody sends on it any more."""
    return max(0.0, policy.dtd_seconds - policy.atd_seconds - STRAGGLER_SECONDS)


def group_wide(policy: GroupPolicy, sender_id_bits: int | None) -> GroupWidePolicy | None:
    """Return the GW policy; without it no delay would be employed (section 4.4.3.1.1)."""
    if not policy.atd_seconds and not policy.dtd_seconds and sender_id_bits is None:
        return None
    return GroupWidePolicy(policy.atd_seconds or None, policy.dtd_seconds or None, sender_id_bits)


def registration_payloads(
    view: RoleView,
    policy: GroupPolicy,
    wrap: KeyWrap,
    auth_key: bytes | None,
    sender_ids: tuple[int, ...],
    tree_keys: MemberKeys | None = None,
) -> tuple[Payload, ...]:
    """Return GSA, KD and the notifications that say how the SAs are used (section 2.3.4)."""
    keys = [(sa.policy.protocol, sa.policy.spi, sa.keymat) for sa in view.sas]
    if tree_keys is not None:
        kd = member_key_download(keys, wrap.kwk, tree_keys.path, auth_key, sender_ids)
    else:
        kd = key_download(keys, wrap.kwk, auth_key, sender_ids)
    return view.gsa, kd, *usage_of(policy).notifies()
