"""What GMs are told at registration only, so that no rekey can change it."""

from __future__ import annotations

from gcks.crypto.key_wrap import kwk_octets
from gcks.journal import TermsSaved
from gcks.keyserver.groups.policy import LKH, SIMPLE, GroupPolicy
from gcks.keyserver.groups.usage_policy import usage_text


def terms_of(policy: GroupPolicy) -> TermsSaved:
    """Return what GMs are told at registration only: no rekey can change it.

    The authentication method (RFC 9838 section 4.4.2.1.1), the mode and what
    else is said of all Data-Security SAs (sections 2.3.4 and 6.3), and the
    Sender-ID bits (section 5): two partitions of the IV space under one key
    would repeat nonces.
    """
    authentication = policy.rekey.authentication if policy.rekey is not None else ""
    return TermsSaved(
        policy.name,
        authentication,
        usage_text(policy),
        policy.sender_id_bits,
        _key_management(policy),
    )


def _key_management(policy: GroupPolicy) -> str:
    if policy.rekey is None or policy.key_management != LKH:
        return SIMPLE
    return f"{LKH} {kwk_octets(policy.rekey.kwa)}"


def tree_key_octets(terms: TermsSaved) -> int | None:
    """Return the size of the key tree's keys; None where there is no tree."""
    kind, _, octets = terms.key_management.partition(" ")
    return int(octets) if kind == LKH else None
