"""From what the engine lists to what `gcks show` prints."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final, Protocol

from gcks import __version__
from gcks.daemon.config.loaded import ServerConfig
from gcks.daemon.control import views as v
from gcks.daemon.control.features import features
from gcks.daemon.control.requests import ShowRequest
from gcks.keyserver.engine import Engine
from gcks.keyserver.listing import Listing
from gcks.keyserver.status import GroupStatus

_STEPS: Final = ("open", "cookies", "puzzles")


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


def _listing(server: ShownServer) -> Listing:
    return server.engine.listing(server.now())


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
        uptime_seconds=server.now() - server.started_at,
    )


def _groups(server: ShownServer, asked: ShowRequest) -> v.View:
    return v.GroupsView(groups=[_group(group) for group in _listing(server).groups(asked.group)])


def _group(group: GroupStatus) -> v.GroupRow:
    return v.GroupRow(
        group=group.group,
        members=group.members,
        expected_members=group.expected_members or None,
        capacity=group.capacity,
        senders=group.senders,
        mode=group.mode,
        key_management=group.key_management,
        rekeyed_by=group.rekeyed_by,
        data_sas=group.data_sas,
        excluded=group.excluded,
        sender_ids_left=group.sender_ids_left if group.counter_mode else None,
        next_rekey_seconds=_ahead(group.renewal_due_in_seconds),
    )


def _ahead(seconds: float) -> float:
    return 0.0 if seconds == inf else max(0.0, seconds)


def _members(server: ShownServer, asked: ShowRequest) -> v.View:
    page = _listing(server).members(asked.group, asked.match, asked.start, asked.limit)
    return v.MembersView(
        group=page.group, members=[*map(v.MemberRow.of, page.rows)], next=page.next
    )


def _sas(server: ShownServer, asked: ShowRequest) -> v.View:
    page = _listing(server).sas(asked.group, asked.start, asked.limit)
    return v.SasView(sas=[*map(v.SaRow.of, page.rows)], next=page.next)


def _rekeys(server: ShownServer, asked: ShowRequest) -> v.View:
    page = _listing(server).rekeys(asked.group, asked.start, asked.limit)
    return v.RekeysView(rekeys=[*map(v.RekeyRow.of, page.rows)], next=page.next)


def _senders(server: ShownServer, asked: ShowRequest) -> v.View:
    page = _listing(server).senders(asked.group, asked.match, asked.start, asked.limit)
    return v.SendersView(senders=[*map(v.SenderRow.of, page.rows)], next=page.next)


def _exclusions(server: ShownServer, asked: ShowRequest) -> v.View:
    page = _listing(server).exclusions(asked.group, asked.match, asked.start, asked.limit)
    return v.ExclusionsView(exclusions=[*map(v.ExclusionRow.of, page.rows)], next=page.next)


def _census(server: ShownServer, asked: ShowRequest) -> v.View:
    return v.CensusView(census=[*map(v.CensusRow.of, _listing(server).census(asked.group))])


def _features(server: ShownServer, asked: ShowRequest) -> v.View:
    del asked
    return features(server.engine.settings)


_SUBJECTS: Final[dict[str, Callable[[Any, ShowRequest], v.View]]] = {
    "server": _server, "groups": _groups, "members": _members, "sas": _sas,
    "rekeys": _rekeys, "senders": _senders, "exclusions": _exclusions, "census": _census,
    "features": _features,
}  # fmt: skip
