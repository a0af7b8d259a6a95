"""Opening GSA and KD: policy with its keys, whichever message they came in.

RFC 9838 sections 2.3.3, 2.4.1.4 and 4.5.  `open_gsa` changes nothing: it yields
all that a message holds or raises, so that a bad message leaves all as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gcks.crypto.errors import IntegrityError
from gcks.crypto.key_wrap import unwrap
from gcks.errors import Discard, DropReason, GcksError
from gcks.group.key_download import RekeyKeys, key_sizes, keymat_octets, rekey_keys
from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry, group_sa_entry
from gcks.iana import ProtocolId
from gcks.member.key_path import KeyPath, open_sa_key
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy, GsaPolicy
from gcks.wire.kd import GroupKeyBag, KeyDownload, WrappedKey
from gcks.wire.payloads import Payload


class GsaInvalid(GcksError):
    """GSA and KD contradict RFC 9838 or each other; the text says how."""


SaKey = tuple[ProtocolId, bytes]
"""Protocol and SPI: what a Data-Security SA of a group is known by."""


@dataclass(frozen=True, slots=True)
class KeySource:
    """What opens the keys of one message: KWA and GSK_w of the SA it came over."""

    kwa: int
    kwk: bytes = field(repr=False)
    path: KeyPath = field(default=(), repr=False)
    """The Working Key Path, empty at registration."""


@dataclass(frozen=True, slots=True)
class DataSaKeys:
    """A Data-Security SA's policy and keys."""

    policy: GsaPolicy
    key_e: bytes = field(repr=False)
    key_a: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RekeySaKeys:
    """The Rekey SA's policy and keys."""

    policy: GsaPolicy
    keys: RekeyKeys = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenedGsa:
    """Policy with its keys."""

    data: tuple[DataSaKeys, ...]
    rekey: RekeySaKeys | None
    path: KeyPath = field(repr=False)
    auth_key: bytes | None
    sender_ids: tuple[int, ...]
    group_wide: GroupWidePolicy | None

    @property
    def sender_id_bits(self) -> int | None:
        """How many bits a Sender-ID has; None where there are none."""
        return self.group_wide.sender_id_bits if self.group_wide is not None else None

    @property
    def data_keys(self) -> frozenset[SaKey]:
        """What the Data-Security SAs are known by."""
        return frozenset((ProtocolId(sa.policy.protocol), sa.policy.spi) for sa in self.data)


def holds_policy(payloads: Iterable[Payload]) -> bool:
    """Tell whether a message brings SAs, or half of what that takes."""
    return any(isinstance(part, GroupSecurityAssociation | KeyDownload) for part in payloads)


def gsa_and_kd(payloads: Sequence[Payload]) -> tuple[GroupSecurityAssociation, KeyDownload]:
    """Return the one GSA and the one KD of a message.  Raises GsaInvalid where one is absent."""
    gsa = next((part for part in payloads if isinstance(part, GroupSecurityAssociation)), None)
    kd = next((part for part in payloads if isinstance(part, KeyDownload)), None)
    if gsa is None or kd is None:
        raise GsaInvalid("GSA or KD is absent")
    return gsa, kd


def open_gsa(gsa: GroupSecurityAssociation, kd: KeyDownload, source: KeySource) -> OpenedGsa:
    """Match key bags to policies by SPI and take out the keys (section 2.3.3).

    Raises GsaInvalid, or Discard(NO_KEY_PATH) if no key of this member opens the
    Rekey SA's key.
    """
    bags = _bags_by_sa(kd)
    wrap_keys = [key for bag in kd.member_bags for key in bag.wrap_keys]
    data: list[DataSaKeys] = []
    rekey, path = None, source.path
    for policy in gsa.policies:
        bag = bags.pop((policy.protocol, policy.spi), None)
        if bag is None:
            raise GsaInvalid(f"no key bag for SPI {policy.spi.hex()}")
        if policy.protocol == ProtocolId.GIKE_UPDATE:
            rekey, path = _open_rekey_bag(policy, bag, wrap_keys, source)
        else:
            data.append(_open_data_bag(policy, bag, source))
    if bags:
        raise GsaInvalid("a key bag for an SA that the GSA payload doesn't hold")
    return OpenedGsa(
        tuple(data),
        rekey,
        path,
        _single_auth_key(kd),
        tuple(number for bag in kd.member_bags for number in bag.sender_ids),
        gsa.group_wide,
    )


def _bags_by_sa(kd: KeyDownload) -> dict[tuple[int, bytes], GroupKeyBag]:
    bags: dict[tuple[int, bytes], GroupKeyBag] = {}
    for bag in kd.group_bags:
        if bags.setdefault((bag.protocol, bag.spi), bag) is not bag:
            raise GsaInvalid(f"two key bags for SPI {bag.spi.hex()}")
    return bags


def _single_auth_key(kd: KeyDownload) -> bytes | None:
    """Section 4.5.3.2 and ruling 15: at most one in the whole message."""
    auth_keys = [bag.auth_key for bag in kd.member_bags if bag.auth_key is not None]
    if len(auth_keys) > 1:
        raise GsaInvalid("more than one AUTH_KEY")
    return auth_keys[0] if auth_keys else None


def _open_data_bag(policy: GsaPolicy, bag: GroupKeyBag, source: KeySource) -> DataSaKeys:
    """Section 4.5.2.1: exactly one SA_KEY, under GSK_w; encryption key first (section 3.4)."""
    if len(bag.sa_keys) != 1 or bag.sa_keys[0].key_id or bag.sa_keys[0].kwk_id:
        raise GsaInvalid(f"SPI {policy.spi.hex()} wants one SA_KEY under GSK_w")
    try:
        keymat = unwrap(source.kwk, bag.sa_keys[0].encrypted_key)
    except IntegrityError:
        raise GsaInvalid(f"the SA_KEY of SPI {policy.spi.hex()} doesn't unwrap") from None
    octets_e, octets_a, _ = key_sizes(policy.transforms)
    if len(keymat) != octets_e + octets_a:
        raise GsaInvalid(f"the keying material of SPI {policy.spi.hex()} has the wrong size")
    return DataSaKeys(policy, keymat[:octets_e], keymat[octets_e:])


def _open_rekey_bag(
    policy: GsaPolicy, bag: GroupKeyBag, wrap_keys: Sequence[WrappedKey], source: KeySource
) -> tuple[RekeySaKeys, KeyPath]:
    if not bag.sa_keys or any(key.key_id for key in bag.sa_keys):
        raise GsaInvalid("the Rekey SA's key bag wants SA_KEYs with Key ID 0")
    opened = open_sa_key(
        bag.sa_keys,
        wrap_keys,
        kwa=source.kwa,
        default_kwk=source.kwk,
        working=source.path,
        keymat_octets=keymat_octets(policy.transforms),
    )
    return RekeySaKeys(policy, rekey_keys(opened.keymat, policy)), opened.path


def excluded(error: GcksError) -> bool:
    """Tell whether a failure means that this member has no key any more (section 3.3)."""
    return isinstance(error, Discard) and error.reason is DropReason.NO_KEY_PATH


def key_entries(group: str, opened: OpenedGsa) -> Iterator[GroupSaKeyLogEntry]:
    """Yield what a key log takes of the SAs of a message."""
    for sa in opened.data:
        yield group_sa_entry(group, sa.policy, sa.key_e + sa.key_a)
    if opened.rekey is not None:
        keys = opened.rekey.keys
        yield group_sa_entry(group, opened.rekey.policy, keys.gsk_e + keys.gsk_a + keys.gsk_w)
