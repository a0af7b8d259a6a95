"""Processing GSA and KD into SAs, the same for registration and for rekey messages.

RFC 9838 sections 2.3.3, 2.4.1.4 and 4.5.  `open_gsa` changes nothing: it yields
the whole new state or raises, so that a bad message leaves the old one intact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from math import inf

from gcks.crypto.errors import IntegrityError
from gcks.crypto.key_wrap import unwrap
from gcks.errors import Discard, DropReason, GcksError
from gcks.group.key_download import RekeyKeys, key_sizes, keymat_octets, rekey_keys
from gcks.group.rekey_message import rekey_cipher
from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry, group_sa_entry
from gcks.group.usage import Usage
from gcks.iana import COUNTER_MODE_INTEG, COUNTER_MODES, ProtocolId, Sn, TransformType
from gcks.member.ceiling import transform_of
from gcks.member.data_plane import Direction, InstallSa, JoinMulticast, Mode
from gcks.member.holding import DataSa, RekeySa
from gcks.member.key_path import KeyPath, open_sa_key
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy, GsaPolicy
from gcks.wire.kd import GroupKeyBag, KeyDownload, WrappedKey
from gcks.wire.traffic_selector import TrafficSelector

MAX_SENDER_ID_BITS = 63
"""The IV of the counter modes has 64 bits; one at least must count packets."""


class GsaInvalid(GcksError):
    """GSA and KD contradict RFC 9838 or each other; the text says how."""


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

    def only(self, data: Iterable[DataSaKeys]) -> OpenedGsa:
        """Return the same with fewer Data-Security SAs."""
        return replace(self, data=tuple(data))


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


# --- Sender-IDs and directions ------------------------------------------------------


def uses_counter(policy: GsaPolicy) -> bool:
    """Tell whether a Data-Security SA has a counter-based mode (section 2.5)."""
    encr = transform_of(policy.transforms, TransformType.ENCR)
    integ = transform_of(policy.transforms, TransformType.INTEG)
    return (encr is not None and encr.id in COUNTER_MODES) or (
        integ is not None and integ.id in COUNTER_MODE_INTEG
    )


def check_sender_ids(sender_ids: Sequence[int], bits: int | None) -> None:
    """Refuse Sender-IDs that don't fit: fatal, the GM MUST re-register (section 2.5.2)."""
    if bits is not None and not 0 < bits <= MAX_SENDER_ID_BITS:
        raise GsaInvalid(f"{bits} Sender-ID bits leave no room for a counter")
    if sender_ids and bits is None:
        raise GsaInvalid("Sender-IDs without GWP_SENDER_ID_BITS")
    for number in sender_ids:
        if number >> (bits or 0):
            raise GsaInvalid(f"Sender-ID {number} doesn't fit {bits} bits")


def direction_of(
    policy: GsaPolicy, *, sender: bool, receive_own_data: bool, addresses: Sequence[str]
) -> Direction:
    """Decide which way to install a Data-Security SA (section 2.3.3).

    A non-sender MUST install inbound only.  A sender that nobody shares the SA
    with would only receive its own data: outbound only, unless it wants that.
    """
    if not sender or not any(_covers(policy.source, address) for address in addresses):
        return Direction.IN
    alone = policy.source.start_address == policy.source.end_address
    return Direction.OUT if alone and not receive_own_data else Direction.BOTH


def _covers(selector: TrafficSelector, address: str) -> bool:
    packed = ip_address(address).packed
    same_family = len(packed) == len(selector.start_address)
    return same_family and selector.start_address <= packed <= selector.end_address


# --- building what is held ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Clock:
    """How lifetimes become times."""

    now: float
    soft_fraction: float
    max_margin_seconds: float

    def hard(self, lifetime_seconds: int | None) -> float:
        """Return when the SA MUST be deleted (section 4.4.2.2.1)."""
        return inf if lifetime_seconds is None else self.now + lifetime_seconds

    def soft(self, lifetime_seconds: int | None) -> float:
        """Return when to worry that an SA hasn't been replaced (RFC 4301 section 4.4.2.1)."""
        if lifetime_seconds is None:
            return inf
        margin = min(lifetime_seconds * (1 - self.soft_fraction), self.max_margin_seconds)
        return self.now + lifetime_seconds - margin


@dataclass(frozen=True, slots=True)
class SenderRole:
    """What this member is as a sender in one group."""

    sender: bool
    receive_own_data: bool
    addresses: tuple[str, ...]
    sender_ids: tuple[int, ...]
    sender_id_bits: int | None


def build_data_sa(
    opened: DataSaKeys, group: str, usage: Usage, role: SenderRole, clock: Clock, *,
    generation: int, atd_seconds: int,
) -> DataSa:  # fmt: skip
    """Turn policy and keys into an SA to install."""
    policy = opened.policy
    direction = direction_of(
        policy,
        sender=role.sender,
        receive_own_data=role.receive_own_data,
        addresses=role.addresses,
    )
    sn = transform_of(policy.transforms, TransformType.SN)
    numbered = uses_counter(policy) and direction is not Direction.IN
    install = InstallSa(
        group=group,
        protocol=ProtocolId(policy.protocol),
        spi=policy.spi,
        direction=direction,
        mode=Mode(usage.mode),
        source=policy.source,
        destination=policy.destination,
        encr=transform_of(policy.transforms, TransformType.ENCR),
        integ=transform_of(policy.transforms, TransformType.INTEG),
        key_e=opened.key_e,
        key_a=opened.key_a,
        sender_ids=role.sender_ids if numbered else (),
        sender_id_bits=role.sender_id_bits if numbered else None,
        replay_protection=sn is not None and sn.id == Sn.SEQUENTIAL_32,
        lifetime_seconds=policy.lifetime_seconds,
        label=policy.label,
        aggfrag=usage.aggfrag,
        ipcomp=usage.ipcomp[0] if usage.ipcomp else None,
    )
    return DataSa(
        install,
        generation,
        soft_at=clock.soft(policy.lifetime_seconds),
        hard_at=clock.hard(policy.lifetime_seconds),
        activate_at=inf if direction is Direction.IN else clock.now + atd_seconds,
    )


def key_entries(group: str, opened: OpenedGsa) -> Iterator[GroupSaKeyLogEntry]:
    """Yield what a key log takes of the SAs of a message."""
    for sa in opened.data:
        yield group_sa_entry(group, sa.policy, sa.key_e + sa.key_a)
    if opened.rekey is not None:
        keys = opened.rekey.keys
        yield group_sa_entry(group, opened.rekey.policy, keys.gsk_e + keys.gsk_a + keys.gsk_w)


def build_rekey_sa(opened: RekeySaKeys, group: str, interface: str | None, clock: Clock) -> RekeySa:
    """Turn policy and keys into a Rekey SA, inbound only (section 2.3.3)."""
    policy = opened.policy
    kwa = transform_of(policy.transforms, TransformType.KWA)
    if kwa is None:
        raise GsaInvalid("a Rekey SA without a Key Wrap Algorithm")
    source, destination = policy.source, policy.destination
    single = source.start_address == source.end_address
    return RekeySa(
        spi=policy.spi,
        cipher=rekey_cipher(policy.transforms, opened.keys),
        kwa=kwa.id,
        gsk_w=opened.keys.gsk_w,
        join=JoinMulticast(
            group,
            str(ip_address(destination.start_address)),
            destination.start_port,
            interface,
            str(ip_address(source.start_address)) if single else None,
        ),
        next_message_id=policy.initial_message_id or 0,
        soft_at=clock.soft(policy.lifetime_seconds),
        hard_at=clock.hard(policy.lifetime_seconds),
    )


def excluded(error: GcksError) -> bool:
    """Tell whether a failure means that this member has no key any more (section 3.3)."""
    return isinstance(error, Discard) and error.reason is DropReason.NO_KEY_PATH
