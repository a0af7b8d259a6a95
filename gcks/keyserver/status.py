"""What metrics and screens show of the server: frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gcks.keyserver.groups.group import Group


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """What an operator sees of a group; times are POSIX seconds."""

    group: str
    members: int
    next_message_id: int
    rekey_spi: str
    data_sas: int
    sender_ids_left: int
    last_rekey_at: float | None
    rekey_expires_in_seconds: float | None
    """None where the group has no Rekey SA."""
    replay_protected_sas: int = 0
    expected_members: int = 0
    data_sa_expires_in_seconds: float = 0.0
    renewal_due_in_seconds: float = 0.0
    """Until the first SA is renewed; negative: it should have been."""
    spread_seconds: float = 0.0
    """Over how long the members are told to come back, if all have to."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    half_open: int
    established: int
    groups: tuple[GroupStatus, ...]
    step: int = 0
    """What new peers have to prove: 0 nothing, 1 a cookie, 2 a puzzle."""
    admission: Mapping[str, int] = field(default_factory=dict)
    """What became of cookies and puzzles, since the start."""
    registration_cost_seconds: float = 0.0
    """Mean of what a registration costs the server's one thread."""
    backlog_limit: int = 0
    """Half-open IKE SAs beyond which only known senders may begin."""


def group_status(group: Group, now: float) -> GroupStatus:
    """Return what an operator sees of a group."""
    sas, rekey = group.state.sas, group.state.sas.rekey
    return GroupStatus(
        group=group.name,
        members=len(group.state.members),
        next_message_id=group.state.next_message_id,
        rekey_spi=rekey.spi.hex() if rekey is not None else "",
        data_sas=len(sas.data),
        sender_ids_left=group.sender_ids.left,
        last_rekey_at=group.last_rekey_wall,
        rekey_expires_in_seconds=rekey.expires_at - now if rekey is not None else None,
        replay_protected_sas=sum(sa.sequential for sa in group.policy.data_sas),
        expected_members=group.policy.expected_members,
        data_sa_expires_in_seconds=min((sa.expires_at - now for sa in sas.data), default=0.0),
        renewal_due_in_seconds=group.renewal_due_at - now,
        spread_seconds=group.spread.all_seconds,
    )
