"""What a screen shows of a member: frozen records without secrets."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from gcks.member.data_plane import Direction
from gcks.member.delay import Reach
from gcks.member.group_member import GroupMember
from gcks.member.holding import DataSa


@dataclass(frozen=True, slots=True)
class DataSaStatus:
    """One Data-Security SA."""

    protocol: str
    spi: str
    direction: str
    source: str
    destination: str
    active_outbound: bool
    replay_protection: bool
    """Whether replayed packets are dropped; never where many senders number their own."""
    expires_in_seconds: float | None


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """One group."""

    group: str
    state: str
    """A value of `GroupState`."""
    rekey_spi: str
    next_message_id: int
    rekey_address: str
    data_sas: tuple[DataSaStatus, ...]
    sender_ids: tuple[int, ...]
    registrations: int
    rekeys: int
    last_error: str
    registers_in_seconds: float | None
    spread_seconds: float = 0.0
    """Over how long a registration is spread that everybody has to renew."""
    rekeys_missed: int = 0
    last_rekey_age_seconds: float | None = None
    """None: no rekey has come yet."""
    hint: str = ""
    """What to look at because rekeys don't come."""
    data_sa_ends_in_seconds: float | None = None
    """When the first Data-Security SA ends that nothing has replaced."""
    sas_not_installed: int = 0
    """By the data plane, which the member engine doesn't see."""


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """The whole member."""

    identity: str
    server: str
    ike_sa: str
    """A value of `SessionState`."""
    groups: tuple[GroupStatus, ...]


def group_status(group: GroupMember, now: float) -> GroupStatus:
    """Describe one group."""
    rekey = group.holding.current_rekey
    return GroupStatus(
        group.name,
        group.state.value,
        rekey.spi.hex() if rekey else "",
        rekey.next_message_id if rekey else 0,
        f"{rekey.join.address} port {rekey.join.port}" if rekey else "",
        tuple(_data_sa_status(sa, now) for sa in group.holding.data_sas),
        group.holding.sender_ids,
        group.registrations,
        group.rekeys,
        group.last_error,
        _seconds_until(group.due, now),
        group.delay.most_seconds(Reach.EVERYBODY),
        group.rekeys_missed,
        None if group.last_rekey_at == -inf else round(now - group.last_rekey_at, 3),
        group.hint,
        _seconds_until(group.holding.next_gap(), now),
    )


def _data_sa_status(sa: DataSa, now: float) -> DataSaStatus:
    install = sa.install
    return DataSaStatus(
        str(install.protocol),
        install.spi.hex(),
        install.direction.value,
        str(install.source),
        str(install.destination),
        sa.active,
        install.replay_protection and install.direction is not Direction.OUT,
        _seconds_until(sa.ends_at, now),
    )


def _seconds_until(time: float, now: float) -> float | None:
    return None if time == inf else max(0.0, round(time - now, 3))
