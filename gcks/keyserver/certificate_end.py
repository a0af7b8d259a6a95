"""What becomes of members whose certificate expires or is revoked after they registered.

Registration proves a certificate once; membership lasts as long as rekeys do.
The operator chooses: `keep` reports it, `remove` ends the membership.  With a key
tree, and in groups that are rekeyed in-band, that is an exclusion: the others get
new keys.  Else the member holds the key that wraps all rekeys; it can't register
again, but to shut it out everybody would have to.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

from gcks.events import MemberCertificateEnded
from gcks.keyserver import succession
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.group_outcome import GroupOutcome
from gcks.keyserver.lifecycle import Keeper

CHECK_SECONDS: Final = 60.0
"""Certificates that expire within it are looked for together, and share a message."""


class CertificateEnds:
    """When to look for members whose certificates have expired."""

    __slots__ = ("next_check",)

    def __init__(self) -> None:
        self.next_check = inf

    def plan(self, groups: Mapping[str, Group], now: float) -> None:
        """Make sure that somebody looks, if any member has a certificate."""
        if self.next_check == inf and _first_end(groups) != inf:
            self.next_check = now + CHECK_SECONDS

    def expired(
        self, keeper: Keeper, groups: Mapping[str, Group], wall: float, now: float
    ) -> list[GroupOutcome]:
        """Apply the operator's choice to whose certificates have expired."""
        if now < self.next_check:
            return []
        self.next_check = inf
        outcomes = [
            outcome
            for group in groups.values()
            for outcome in _ended(
                keeper, group, group.members.take_expired(wall), "certificate_expired", now
            )
        ]
        if _first_end(groups) <= wall:
            self.next_check = now  # of many that expire at once, some at a time
        self.plan(groups, now)
        return outcomes


def _first_end(groups: Mapping[str, Group]) -> float:
    return min((one.members.certificate_ends for one in groups.values()), default=inf)


def revoked(
    keeper: Keeper, groups: Mapping[str, Group], references: set[bytes], now: float
) -> list[GroupOutcome]:
    """Apply the operator's choice to whose certificates the CRLs revoke."""
    if not references:
        return []
    return [
        outcome
        for group in groups.values()
        for outcome in _ended(
            keeper, group, group.members.take_revoked(references), "certificate_revoked", now
        )
    ]


def _ended(
    keeper: Keeper, group: Group, identities: list[str], cause: str, now: float
) -> list[GroupOutcome]:
    removes = keeper.settings.remove_on_certificate_end
    events = tuple(MemberCertificateEnded(group.name, one, cause, removes) for one in identities)
    outcomes = [GroupOutcome(events=events)] if events else []
    if not removes or not identities:
        return outcomes
    outcomes += [succession.dismiss(keeper, one, now) for one in identities]
    if group.can_exclude:
        return [*outcomes, group.exclude(identities, now, cause)]
    return [*outcomes, *(group.leave(one, cause, now) for one in identities)]
