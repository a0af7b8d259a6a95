"""What one GSA_REKEY says: new SAs with their keys, and which old ones go (section 2.4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gcks.group.key_download import key_download, tree_key_download
from gcks.iana import ProtocolId
from gcks.keyserver.groups.key_tree import TreeChange
from gcks.keyserver.groups.live_sa import LiveSa
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.registration import sa_keys, with_lifetime
from gcks.keyserver.groups.sa_set import SaSet
from gcks.keyserver.groups.usage_policy import usage_of
from gcks.wire.delete import DELETE_SPI_OCTETS, Delete
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy, GsaPolicy
from gcks.wire.payloads import Payload


@dataclass(frozen=True, slots=True)
class Renewal:
    """The SAs that one message creates and deletes."""

    created: tuple[LiveSa, ...]
    deleted: tuple[LiveSa, ...]
    """Data-Security SAs; a replaced Rekey SA goes silently (section 2.4.1.4)."""
    next_spis: Mapping[str, bytes]


def rekey_payloads(
    renewal: Renewal,
    gsk_w: bytes,
    policy: GroupPolicy,
    change: TreeChange | None = None,
    auth_key: bytes | None = None,
) -> tuple[Payload, ...]:
    """Return GSA, KD, notifications and Delete; keys are wrapped under the current GSK_w.

    With a change of the key tree the one SA is the Rekey SA, and the tree's keys wrap it.
    `auth_key` verifies what comes over the new Rekey SA (section 2.4.1).

    The notifications are those of a registration (section 2.4.1.3), so that a GM
    which judges each message by itself uses the new SAs in the same way.
    """
    gone = deletes(renewal.deleted)
    if not renewal.created:
        return gone
    policies = tuple(_announced(sa, renewal.next_spis) for sa in renewal.created)
    keys = sa_keys(renewal.created)
    # Delays of zero are said too: whether GMs keep those of the registration where a
    # GSA_REKEY has none is not told (section 4.4.3.1.1), and a reload may end them.
    wide = GroupWidePolicy(policy.atd_seconds, policy.dtd_seconds)
    gsa = GroupSecurityAssociation(policies, wide)
    if change is not None:
        kd = tree_key_download(*keys[0], change.tops, change.wrap_keys, auth_key)
    else:
        kd = key_download(keys, gsk_w, auth_key)
    return (gsa, kd, *usage_of(policy).notifies(), *gone)


def reminder_payloads(
    sas: SaSet, gsk_w: bytes, policy: GroupPolicy, now: float
) -> tuple[Payload, ...]:
    """Return the current Data-Security SAs with what is left of their lifetimes."""
    gsa = GroupSecurityAssociation(
        tuple(with_lifetime(sa, sas, now) for sa in sas.data),
        GroupWidePolicy(policy.atd_seconds, policy.dtd_seconds),
    )
    return (gsa, key_download(sa_keys(sas.data), gsk_w), *usage_of(policy).notifies())


def delete_everything() -> tuple[Payload, ...]:
    """Section 2.4.3: zero SPIs, the Rekey SA's last; who gets it is excluded."""
    protocols = (ProtocolId.ESP, ProtocolId.AH, ProtocolId.GIKE_UPDATE)
    return tuple(
        Delete(protocol, DELETE_SPI_OCTETS[protocol], (bytes(DELETE_SPI_OCTETS[protocol]),))
        for protocol in protocols
    )


def _announced(sa: LiveSa, next_spis: Mapping[str, bytes]) -> GsaPolicy:
    spi = next_spis.get(sa.name)
    return replace(sa.policy, next_spis=(spi,)) if spi else sa.policy


def deletes(sas: Sequence[LiveSa]) -> tuple[Payload, ...]:
    """Return the Delete payloads of Data-Security SAs (section 2.4.3)."""
    return tuple(
        Delete(protocol, DELETE_SPI_OCTETS[protocol], spis)
        for protocol in (ProtocolId.AH, ProtocolId.ESP)
        if (spis := tuple(sa.spi for sa in sas if sa.protocol == protocol))
    )
