"""What a changed policy does to a group and its members: said before, and then done.

`taking_over.plan` makes the record, `taking_over.take_over` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

from gcks.errors import WireError
from gcks.keyserver.groups.globs import Globs
from gcks.keyserver.groups.membership import Membership
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.sag import Needs, first_mismatch
from gcks.keyserver.groups.terms import terms_of
from gcks.wire.sa import SecurityAssociation, decode_sa

_TERMS: Final = {
    "authentication": "rekey.authentication is told at registration only (section 4.4.2.1.1)",
    "mode": "mode, aggfrag and ipcomp are told at registration only (sections 2.3.4 and 6.3)",
    "sender_id_bits": "sender_id_bits is told at registration only (section 5)",
    "key_management": "key_management, and the key wrap of a tree, are for registrations",
}
"""What no rekey can change: the group starts over."""
_SHOWN_ELSEWHERE: Final = frozenset(
    {
        "id", "data_sas", "rekey", "members", "excluded", "key_management", "mode", "aggfrag",
        "ipcomp", "sender_id_bits",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """The effects of a policy on one group; names of Data-Security SAs, "" for the Rekey SA."""

    group: str
    members: int
    begins: bool = False
    """A new group."""
    ends: bool = False
    """The group is no longer served: its members are told to delete everything."""
    starts_over: tuple[str, ...] = ()
    """Why everybody has to register again; empty where nobody has to."""
    created: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    grace_seconds: float = 0.0
    """How long what is replaced is still accepted."""
    excluded: tuple[str, ...] = ()
    """Members that are none any more."""
    locked_out: tuple[tuple[str, str], ...] = ()
    """Members whose SAg lacks something, and what: they can't follow."""
    unknown: int = 0
    """Members that announced nothing, so that nobody knows whether they can."""
    options: tuple[str, ...] = ()
    """What counts from now on without any message."""


def start_over_reasons(old: GroupPolicy, new: GroupPolicy) -> tuple[str, ...]:
    """Say which of the terms of registration change."""
    if (old.rekey is None) != (new.rekey is None):
        return ("multicast rekey begins or ends",)
    before, after = terms_of(old), terms_of(new)
    return tuple(
        why for name, why in _TERMS.items() if getattr(before, name) != getattr(after, name)
    )


def changed_options(old: GroupPolicy, new: GroupPolicy) -> tuple[str, ...]:
    """Name the options that work without telling any member."""
    names = [option.name for option in fields(GroupPolicy) if option.compare]
    changed = [n for n in names if n not in _SHOWN_ELSEWHERE and getattr(old, n) != getattr(new, n)]
    if old.members != new.members:
        changed.append("members")
    if old.rekey is not None and new.rekey is not None:
        changed += [
            f"rekey.{option.name}"
            for option in fields(new.rekey)
            if getattr(old.rekey, option.name) != getattr(new.rekey, option.name)
        ]
    before = {sa.name: sa for sa in old.data_sas}
    changed += [
        f"data_sas.{sa.name}.{option.name}"
        for sa in new.data_sas
        if sa.name in before
        for option in fields(sa)
        if getattr(before[sa.name], option.name) != getattr(sa, option.name)
    ]
    return tuple(changed)


def left_outside(members: Membership, old: GroupPolicy, new: GroupPolicy) -> tuple[str, ...]:
    """Return the members that no rule names any more."""
    if (old.members, old.excluded) == (new.members, new.excluded):
        return ()
    return outside(members, new)


def outside(members: Membership, policy: GroupPolicy) -> tuple[str, ...]:
    """Return the members that no rule names, or that a policy excludes."""
    unnamed = members.unnamed(Globs(rule.identity for rule in policy.members))
    return tuple(dict.fromkeys((*unnamed, *members.named(Globs(policy.excluded)))))


def locked_out(
    members: Membership, policy: GroupPolicy, needs: Needs, needs_inband: Needs
) -> tuple[tuple[tuple[str, str], ...], int]:
    """Return who can't follow the policy and what it lacks, and of how many nobody knows it."""
    lacks: dict[tuple[bytes, bool], str] = {}
    unknown = 0
    for (sag, sender), count in members.kinds().items():
        if not sag:
            unknown += count
            continue
        wanted = needs_inband if policy.is_inband(sender=sender) else needs
        mismatch = first_mismatch(read_sag(sag), wanted)
        if mismatch is not None:
            lacks[sag, sender] = mismatch
    out = members.of_kinds(lacks) if lacks else ()
    return tuple((identity, lacks[kind]) for identity, kind in out), unknown


def read_sag(octets: bytes) -> SecurityAssociation:
    """Read a stored SAg; one that can't be read announces nothing."""
    try:
        return decode_sa(octets)
    except WireError:
        return SecurityAssociation(())


def census(members: Membership) -> tuple[tuple[SecurityAssociation | None, int], ...]:
    """Return each kind of SAg and how many members announced it, the most frequent first."""
    counts: dict[bytes, int] = {}
    for (sag, _), count in members.kinds().items():
        counts[sag] = counts.get(sag, 0) + count
    ordered: Iterable[tuple[bytes, int]] = sorted(counts.items(), key=lambda kind: -kind[1])
    return tuple((read_sag(sag) if sag else None, count) for sag, count in ordered)
