"""What becomes of members whose certificate expires or is revoked after they registered.

Registration proves a certificate once; membership lasts as long as rekeys do.
The operator chooses: `keep` reports it, `remove` ends the membership.  With a key
tree, and in groups that are rekeyed in-band, that is an exclusion: the others get
new keys.  Else the member holds the key that wraps all rekeys; it can't register
again, but to shut it out everybody would have to.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

from gcks.events import MemberCertificateEnded
from gcks.journal import MemberSaved
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.departing import exclude, leave

CHECK_SECONDS: Final = 60.0
"""Certificates that expire within it are looked for together, and share a message."""
LONGEST_CHECK_SECONDS: Final = 3600.0
"""The wall clock may be set meanwhile."""

EXPIRED: Final = "certificate_expired"
REVOKED: Final = "certificate_revoked"


def watch_certificates(decision: Decision) -> None:
    """Make sure that somebody looks when the first certificate of a member has ended."""
    group, ends_at = decision.group, decision.state.members.certificate_ends
    if ends_at == inf:
        group.certificates_at = inf
        return
    seconds = min(max(ends_at - decision.wall, CHECK_SECONDS), LONGEST_CHECK_SECONDS)
    group.certificates_at = min(group.certificates_at, decision.now + seconds)


def expire(decision: Decision) -> None:
    """Apply the operator's choice to whose certificates have expired."""
    group, members = decision.group, decision.state.members
    if decision.now < group.certificates_at:
        return
    group.certificates_at = inf
    end_memberships(decision, members.expired(decision.wall), EXPIRED)
    if members.certificate_ends <= decision.wall:
        group.certificates_at = decision.now  # of many that expire at once, some at a time
    watch_certificates(decision)


def end_memberships(decision: Decision, identities: Iterable[str], cause: str) -> None:
    """Apply the operator's choice to members whose certificate has ended."""
    group, identities = decision.group, tuple(identities)
    removes = group.removes_on_certificate_end
    for identity in identities:
        decision.tell(MemberCertificateEnded(group.name, identity, cause, removes))
    if not removes:
        _note_ends(decision, identities)
        return
    decision.change.unproved += identities
    if group.can_exclude:
        exclude(decision, identities, cause)
        return
    for identity in identities:
        leave(decision, identity, cause)


def _note_ends(decision: Decision, identities: Iterable[str]) -> None:
    """Tell of each end once."""
    for identity in identities:
        member = decision.state.members.get(identity)
        if member is not None and member.certificate_ends <= decision.wall:
            known = member._replace(certificate_ends=inf)._asdict()
            decision.record(MemberSaved(group=decision.name, identity=identity, **known))
