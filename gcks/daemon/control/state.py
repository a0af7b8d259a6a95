"""From the engine's state to what `gcks show` prints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from fnmatch import translate
from itertools import chain, islice
from math import inf
from typing import Any, Final, Protocol, TypeVar

from gcks import __version__
from gcks.daemon.config.loaded import ServerConfig
from gcks.daemon.control import views as v
from gcks.daemon.control.features import features
from gcks.daemon.control.requests import ShowRequest
from gcks.errors import AuthorizationFailed, LocalError
from gcks.iana import ProtocolId
from gcks.journal import ExclusionSaved
from gcks.keyserver.engine import Engine
from gcks.keyserver.groups.authorization import authorize
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.live_sa import LiveSa
from gcks.keyserver.groups.membership import Member
from gcks.keyserver.groups.policy import SINGLE, DataSaPolicy, GroupPolicy, RekeyPolicy
from gcks.keyserver.groups.policy_change import census
from gcks.keyserver.groups.sa_set import REKEY
from gcks.wire.sa import Proposal

T = TypeVar("T")
R = TypeVar("R")

_STEPS: Final = ("open", "cookies", "puzzles")
_REKEYED_BY: Final = {True: "in-band", False: "multicast"}


class ShownServer(Protocol):
    """What the views need of the running server."""

    config: ServerConfig
    engine: Engine
    started_at: float
    """Monotonic seconds."""

    def now(self) -> float: ...


def show(server: ShownServer, asked: ShowRequest) -> v.View:
    """Answer a request.  Raises `LocalError` for a group that isn't there, or not yet."""
    return _SUBJECTS[asked.what](server, asked)


def _groups(server: ShownServer, asked: ShowRequest) -> list[Group]:
    if asked.group is None:
        return list(server.engine.groups.values())
    return [server.engine.group_named(asked.group)]


def _one_group(server: ShownServer, asked: ShowRequest) -> Group:
    groups = _groups(server, asked)
    if len(groups) != 1:
        raise LocalError(f"say which group: {', '.join(group.name for group in groups) or 'none'}")
    return groups[0]


def _server(server: ShownServer, asked: ShowRequest) -> v.View:
    del asked
    status = server.engine.status(server.now())
    return v.ServerView(
        version=__version__,
        identity=str(server.engine.settings.identity),
        listening=list(server.config.listening),
        groups=len(status.groups),
        groups_not_ready=status.not_ready,
        members=sum(group.members for group in status.groups),
        ike_sas=status.established,
        half_open=status.half_open,
        admission=_STEPS[status.step],
        uptime_seconds=round(server.now() - server.started_at, 1),
    )


def _group_rows(server: ShownServer, asked: ShowRequest) -> v.View:
    now = server.now()
    return v.GroupsView(groups=[_group(group, now) for group in _groups(server, asked)])


def _group(group: Group, now: float) -> v.GroupRow:
    policy = group.policy
    return v.GroupRow(
        group=group.name,
        members=len(group.state.members),
        expected_members=policy.expected_members or None,
        capacity=policy.capacity,
        senders=group.state.members.senders,
        mode=policy.mode,
        key_management=policy.key_management if policy.rekey is not None else "none",
        rekeyed_by=_rekeyed_by(policy),
        data_sas=len(group.sas.data),
        excluded=len(group.state.exclusions),
        sender_ids_left=group.sender_ids.left if policy.counter_mode else None,
        next_rekey_seconds=_seconds(group.renewal_due_at, now) or 0.0,
    )


def _rekeyed_by(policy: GroupPolicy) -> str:
    if policy.rekey is None:
        return "in-band"
    return "multicast, senders in-band" if policy.inband_senders else "multicast"


def _members(server: ShownServer, asked: ShowRequest) -> v.View:
    group = _one_group(server, asked)
    member = group.state.members.get(asked.match) if asked.match is not None else None
    if asked.match is not None and member is not None:
        return _member_page(group, [(asked.match, member)], None)
    return _member_page(group, *_page(group, asked))


def _page(
    group: Group, asked: ShowRequest, *, senders: bool = False
) -> tuple[list[tuple[str, Member]], int | None]:
    return group.state.members.page(asked.start, asked.limit, _pattern(asked), senders=senders)


def _pattern(asked: ShowRequest) -> re.Pattern[str] | None:
    return re.compile(translate(asked.match)) if asked.match is not None else None


def _member_page(group: Group, rows: Sequence[tuple[str, Member]], more: int | None) -> v.View:
    members = [_member(group, identity, member) for identity, member in rows]
    return v.MembersView(group=group.name, members=members, next=more)


def _member(group: Group, identity: str, member: Member) -> v.MemberRow:
    return v.MemberRow(
        identity=identity,
        group=group.name,
        address=member.address,
        registered_at=_time(member.registered_at) or "",
        role="sender" if member.sender else "receiver",
        rekeyed_by=_REKEYED_BY[group.policy.is_inband(sender=member.sender)],
        sender_ids=list(member.sender_ids),
        certificate_ends=_time(member.certificate_ends),
        fragments=member.reassembles,
    )


_MAX_ROWS: Final = 200
"""Of a page that many groups share: they take about ten milliseconds."""


def _rows_of(
    server: ShownServer,
    asked: ShowRequest,
    count: Callable[[Group], int],
    items: Callable[[Group], Iterable[T]],
    row: Callable[[Group, T], R],
) -> tuple[list[R], int | None]:
    """Return one page of the rows of all groups, and where the next one starts."""
    rows: list[R] = []
    most = min(asked.limit, _MAX_ROWS)
    skip = asked.start
    for group in _groups(server, asked):
        if skip >= count(group):
            skip -= count(group)
            continue
        page = islice(items(group), skip, skip + most + 1 - len(rows))
        rows += (row(group, item) for item in page)
        skip = 0
        if len(rows) > most:
            return rows[:most], asked.start + most
    return rows, None


def _sas(server: ShownServer, asked: ShowRequest) -> v.View:
    now = server.now()
    rows, more = _rows_of(
        server,
        asked,
        lambda group: len(group.sas.current) + len(group.sas.replaced),
        lambda group: (
            *group.sas.current.items(),
            *((None, sa) for sa in group.sas.replaced),
        ),
        lambda group, named: _sa_row(group, *named, now),
    )
    return v.SasView(sas=rows, next=more)


def _sa_row(group: Group, name: str | None, sa: LiveSa, now: float) -> v.SaRow:
    """`name` is None of what has been replaced."""
    if name is None:
        return _sa(group, sa, now, "replaced", None, None)
    announced = group.sas.next_spis.get(name)
    return _sa(group, sa, now, "current", announced, _seconds(group.renew_at(name, sa), now))


def _sa(
    group: Group,
    sa: LiveSa,
    now: float,
    state: str,
    announced: bytes | None,
    renews: float | None,
) -> v.SaRow:
    policy = group.policy.data_sa(sa.name)
    end = sa.expires_at if sa.retire_at is None else sa.retire_at
    return v.SaRow(
        group=group.name,
        name="rekey" if sa.name == REKEY else sa.name,
        protocol=str(ProtocolId(sa.protocol)),
        spi=sa.spi.hex(),
        state=state,
        algorithms=" ".join(map(str, sa.policy.transforms)),
        source=str(sa.policy.source),
        destination=str(sa.policy.destination),
        senders="this server" if sa.name == REKEY else senders_of(policy),
        replay=replay_of(sa.name, policy),
        next_spi=announced.hex() if announced is not None else None,
        age_seconds=round(now - sa.created_at, 1),
        renews_in_seconds=renews,
        expires_in_seconds=round(end - now, 1),
    )


def senders_of(policy: DataSaPolicy | None) -> str:
    """Say who may send on a Data-Security SA."""
    if policy is None:
        return "nobody any more"
    return policy.sender or "one sender" if policy.senders == SINGLE else "many"


def replay_of(name: str, policy: DataSaPolicy | None) -> str:
    """Say what receivers can tell of replayed packets, and why (RFC 9838 section 2.6)."""
    if name == REKEY:
        return "protected: Message IDs"
    if policy is None:
        return "as it was"
    if policy.senders != SINGLE:
        return "unprotected: many senders number their packets independently"
    if not policy.replay_protection:
        return "unprotected: switched off by replay_protection"
    return "protected: one sender numbers the packets"


def _rekeys(server: ShownServer, asked: ShowRequest) -> v.View:
    now = server.now()
    rows, more = _rows_of(
        server,
        asked,
        lambda group: len(_rekey_sas(group)),
        _rekey_sas,
        lambda group, rekey_sa: _rekey(group, *rekey_sa, now),
    )
    return v.RekeysView(rekeys=rows, next=more)


def _rekey_sas(group: Group) -> list[tuple[RekeyPolicy, LiveSa]]:
    rekey, sa = group.policy.rekey, group.sas.current.get(REKEY)
    return [(rekey, sa)] if rekey is not None and sa is not None else []


def _rekey(group: Group, rekey: RekeyPolicy, sa: LiveSa, now: float) -> v.RekeyRow:
    return v.RekeyRow(
        group=group.name,
        spi=sa.spi.hex(),
        next_message_id=group.state.next_message_id,
        source=str(rekey.source),
        destination=str(rekey.destination),
        authentication=rekey.authentication,
        copies=rekey.copies,
        spread_seconds=rekey.spread_seconds,
        last_sent_at=_time(group.last_rekey_wall),
        renews_in_seconds=_seconds(group.renewal_due_at, now) or 0.0,
        waiting_for=", ".join(group.waiting_for),
    )


def _senders(server: ShownServer, asked: ShowRequest) -> v.View:
    group = _one_group(server, asked)
    rows, more = _page(group, asked, senders=True)
    return v.SendersView(senders=[_sender(group, *row) for row in rows], next=more)


def _sender(group: Group, identity: str, member: Member) -> v.SenderRow:
    return v.SenderRow(
        group=group.name,
        identity=identity,
        address=member.address,
        sender_ids=list(member.sender_ids),
        sends_on=_sends_on(group.policy, identity, member.address),
        alone_on=list(group.policy.sas_numbered_by(identity)),
    )


def _sends_on(policy: GroupPolicy, identity: str, address: str) -> list[str]:
    try:
        return sorted(authorize(policy, identity, address, sender=True).sends_on)
    except AuthorizationFailed:
        return []  # the policy has changed since it registered


def _exclusions(server: ShownServer, asked: ShowRequest) -> v.View:
    rows, more = _rows_of(
        server,
        asked,
        lambda group: len(group.state.exclusions) + len(group.policy.excluded),
        _exclusions_of,
        _excluded,
    )
    pattern = _pattern(asked)
    wanted = [row for row in rows if pattern is None or pattern.match(row.name)]
    return v.ExclusionsView(exclusions=wanted, next=more)


def _exclusions_of(group: Group) -> Iterable[ExclusionSaved | str]:
    return chain(group.state.exclusions, group.policy.excluded)


def _excluded(group: Group, exclusion: ExclusionSaved | str) -> v.ExclusionRow:
    if isinstance(exclusion, str):
        return v.ExclusionRow(
            group=group.name, kind="identity", name=exclusion, excluded_at=None, by="configuration"
        )
    return v.ExclusionRow(
        group=group.name,
        kind=exclusion.kind,
        name=exclusion.name,
        excluded_at=_time(exclusion.excluded_at),
        by=exclusion.by,
        about=exclusion.about,
    )


def _census(server: ShownServer, asked: ShowRequest) -> v.View:
    rows = [
        v.CensusRow(
            group=group.name,
            members=count,
            announced=[*map(_announced, sag.proposals if sag is not None else ())],
        )
        for group in _groups(server, asked)
        for sag, count in census(group.state.members)
    ]
    return v.CensusView(census=rows)


def _announced(proposal: Proposal) -> str:
    transforms = dict.fromkeys(map(str, proposal.transforms))
    return f"{ProtocolId(proposal.protocol)} {' '.join(transforms)}"


def _features(server: ShownServer, asked: ShowRequest) -> v.View:
    del asked
    return features(server.engine.settings)


def _seconds(at: float, now: float) -> float | None:
    return None if at == inf else round(max(0.0, at - now), 1)


def _time(at: float | None) -> str | None:
    """Return POSIX seconds as ISO 8601, in UTC."""
    if at is None or at == inf:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


_SUBJECTS: Final[dict[str, Callable[[Any, ShowRequest], v.View]]] = {
    "server": _server, "groups": _group_rows, "members": _members, "sas": _sas,
    "rekeys": _rekeys, "senders": _senders, "exclusions": _exclusions, "census": _census,
    "features": _features,
}  # fmt: skip
