"""What a screen shows of a member: frozen records without secrets."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from gcks.member.data_plane import Direction
from gcks.member.delay import Reach
from gcks.member.group_member import GroupMember
from gcks.member.held_sas import DataSa


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
    """A value of `MembershipState`."""
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
    holding, history, reception = group.holding, group.history, group.reception
    rekey = holding.current_rekey
    never = reception.last_at == -inf
    return GroupStatus(
        group=group.name,
        state=group.state.value,
        rekey_spi=rekey.spi.hex() if rekey else "",
        next_message_id=rekey.next_message_id if rekey else 0,
        rekey_address=f"{rekey.join.address} port {rekey.join.port}" if rekey else "",
        data_sas=tuple(_data_sa_status(sa, now) for sa in holding.data_sas),
        sender_ids=holding.sender_ids,
        registrations=history.registrations,
        rekeys=history.rekeys,
        last_error=history.last_error,
        registers_in_seconds=_seconds_until(group.due, now),
        spread_seconds=group.planner.delay.most_seconds(Reach.EVERYBODY),
        rekeys_missed=reception.missed,
        last_rekey_age_seconds=None if never else round(now - reception.last_at, 3),
        hint=reception.hint,
        data_sa_ends_in_seconds=_seconds_until(holding.next_gap(), now),
    )


def _data_sa_status(sa: DataSa, now: float) -> DataSaStatus:
    install = sa.install
    return DataSaStatus(
        protocol=str(install.protocol),
        spi=install.spi.hex(),
        direction=install.direction.value,
        source=str(install.source),
        destination=str(install.destination),
        active_outbound=sa.active,
        replay_protection=install.replay_protection and install.direction is not Direction.OUT,
        expires_in_seconds=_seconds_until(sa.ends_at, now),
    )


def _seconds_until(time: float, now: float) -> float | None:
    return None if time == inf else max(0.0, round(time - now, 3))
