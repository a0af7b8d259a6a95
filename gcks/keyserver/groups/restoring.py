"""Going on with a stored group after a restart, whatever ended the last run."""

from __future__ import annotations

from collections.abc import Iterable

from gcks.crypto.key_wrap import kwk_octets
from gcks.journal import JournalEntry, SaDeleted, SaSaved, StoredGroup, TermsSaved
from gcks.keyserver.groups.live_sa import LiveSa, restore_sa
from gcks.keyserver.groups.policy import LKH, SIMPLE, GroupPolicy
from gcks.keyserver.groups.sa_set import SaSet
from gcks.keyserver.groups.usage_policy import usage_text

CLOCK_TOLERANCE_SECONDS = 1.0
"""A clock that seems to have gone back by less has only been adjusted."""


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


def can_go_on(stored: StoredGroup, policy: GroupPolicy) -> bool:
    """Tell whether the stored SAs may be used under this policy.

    If not, a fresh epoch begins: new keys that nobody was told, and the GMs
    register again, which GSA_NEXT_SPI makes them notice.
    """
    return stored.terms is None or stored.terms == terms_of(policy)


def claim_spis(sas: SaSet, stored: StoredGroup) -> None:
    """Keep the SPIs that peers know from being drawn again; the announced ones come next."""
    sas.next_spis = {reserved.name: reserved.spi for reserved in stored.reserved_spis}
    sas.claim(sas.next_spis.values())
    sas.claim(saved.spi for saved in stored.sas)


def load_sas(
    sas: SaSet, stored: StoredGroup, now: float, wall: float, overlap_seconds: float
) -> list[JournalEntry]:
    """Put the stored SAs back, save those that are over; return the journal of that."""
    over: list[SaSaved] = []
    for saved in sorted(stored.sas, key=lambda one: one.created_at):
        sa = restore_sa(saved, now, wall, retire_at=now + overlap_seconds)
        if sa.expires_at <= now:
            over.append(saved)
        elif sa.retire_at is not None:
            sas.replaced.append(sa)
        else:
            _put_current(sas, sa, now + overlap_seconds)
    sas.release(saved.spi for saved in over)
    return forget(over)


def _put_current(sas: SaSet, sa: LiveSa, retire_at: float) -> None:
    older = sas.current.get(sa.name)
    if older is not None:
        sas.replaced.append(older.retired(retire_at))
    sas.current[sa.name] = sa


def forget(saved: Iterable[SaSaved]) -> list[JournalEntry]:
    """Return the journal that takes stored SAs out of the store."""
    return [SaDeleted(sa.group, sa.protocol, sa.spi) for sa in saved]


def clock_went_back(stored: StoredGroup, wall: float) -> bool:
    """Tell whether SAs seem to come from the future: their ages can't be trusted then."""
    return any(saved.created_at > wall + CLOCK_TOLERANCE_SECONDS for saved in stored.sas)
