"""What decrypts one group SA, for an operator who asked for a key log."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

from gcks.group.key_download import find_transform, key_sizes
from gcks.iana import TransformType
from gcks.ike.key_log_entry import IkeKeyLogEntry
from gcks.wire.gsa import GsaPolicy
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform


@dataclass(frozen=True, slots=True)
class GroupSaKeyLogEntry:
    """The keys of a Rekey SA (GIKE_UPDATE) or a Data-Security SA (ESP, AH).

    `key_e` and `key_a` are GSK_e and GSK_a of a Rekey SA; `key_w` is its GSK_w.
    """

    group: str
    protocol: int
    spi: bytes
    source: str
    """An address, or the first and the last with a hyphen between them."""
    destination: str
    encr: int | None
    encr_bits: int | None
    integ: int
    key_e: bytes = field(repr=False)
    key_a: bytes = field(repr=False)
    key_w: bytes = field(repr=False)


KeyLogEntry = IkeKeyLogEntry | GroupSaKeyLogEntry


def group_sa_entry(group: str, policy: GsaPolicy, keymat: bytes) -> GroupSaKeyLogEntry:
    """Return what decrypts a group SA: GSK_e | GSK_a | GSK_w = KEYMAT (RFC 9838 section 3.4)."""
    encr = find_transform(policy.transforms, TransformType.ENCR)
    integ = find_transform(policy.transforms, TransformType.INTEG)
    octets_e, octets_a, _ = key_sizes(policy.transforms)
    return GroupSaKeyLogEntry(
        group=group,
        protocol=policy.protocol,
        spi=policy.spi,
        source=_addresses(policy.source),
        destination=_addresses(policy.destination),
        encr=encr.id if encr else None,
        encr_bits=encr.key_length if encr else None,
        integ=_id_of(integ),
        key_e=keymat[:octets_e],
        key_a=keymat[octets_e : octets_e + octets_a],
        key_w=keymat[octets_e + octets_a :],
    )


def _id_of(transform: Transform | None) -> int:
    return 0 if transform is None else transform.id


def _addresses(selector: TrafficSelector) -> str:
    first, last = map(ip_address, (selector.start_address, selector.end_address))
    return str(first) if first == last else f"{first}-{last}"
