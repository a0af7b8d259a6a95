"""Turning policy with its keys into SAs to hold: direction, Sender-IDs, lifetimes.

RFC 9838 sections 2.3.3, 2.5 and 4.4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from math import inf

from gcks.group.rekey_message import rekey_cipher
from gcks.group.usage import Usage
from gcks.iana import COUNTER_MODE_INTEG, COUNTER_MODES, ProtocolId, Sn, TransformType
from gcks.member.ceiling import transform_of
from gcks.member.data_plane import Direction, InstallSa, JoinMulticast, Mode
from gcks.member.held_sas import DataSa, RekeySa
from gcks.member.opening import DataSaKeys, GsaInvalid, RekeySaKeys
from gcks.wire.gsa import GsaPolicy
from gcks.wire.traffic_selector import TrafficSelector

MAX_SENDER_ID_BITS = 63
"""The IV of the counter modes has 64 bits; one at least must count packets."""


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

    def direction_of(self, policy: GsaPolicy) -> Direction:
        """Decide which way to install a Data-Security SA (section 2.3.3).

        A non-sender MUST install inbound only.  A sender that nobody shares the SA
        with would only receive its own data: outbound only, unless it wants that.
        """
        own = any(_covers(policy.source, address) for address in self.addresses)
        if not self.sender or not own:
            return Direction.IN
        alone = policy.source.start_address == policy.source.end_address
        return Direction.OUT if alone and not self.receive_own_data else Direction.BOTH

    def lacks_sender_id(self, policy: GsaPolicy) -> bool:
        """Tell whether it would send on a counter-mode SA without Sender-ID (section 2.4.1.4)."""
        numbers = uses_counter(policy) and self.direction_of(policy) is not Direction.IN
        return numbers and not self.sender_ids


def build_data_sa(
    opened: DataSaKeys, group: str, usage: Usage, role: SenderRole, clock: Clock, *,
    generation: int, atd_seconds: int,
) -> DataSa:  # fmt: skip
    """Turn policy and keys into an SA to install."""
    policy = opened.policy
    direction = role.direction_of(policy)
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
