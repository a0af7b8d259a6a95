"""What the server does for each request of the control socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Protocol

from gcks.daemon.config.loaded import ServerConfig
from gcks.daemon.control import requests as r
from gcks.daemon.control import state
from gcks.daemon.control import views as v
from gcks.daemon.control.event_lines import Wanted
from gcks.daemon.control.peers import PeerRole
from gcks.daemon.control.plan import in_slices, plan_view
from gcks.errors import LocalError
from gcks.events import Event, OperatorOrdered, OrderRefused
from gcks.keyserver.commands import Command, Exclude, Readmit, RekeyGroup
from gcks.wire.printable import printable


class RunningServer(state.ShownServer, Protocol):
    """What orders need of the running server."""

    async def order(self, command: Command) -> None: ...

    async def reload_now(self) -> None: ...

    def note(self, event: Event) -> None: ...

    def last_events(self, most: int, wanted: Wanted) -> list[dict[str, Any]]: ...

    async def load(self, path: Path | None) -> ServerConfig: ...


async def answer(server: RunningServer, request: r.Request, role: PeerRole, by: str) -> v.View:
    """Answer a request or carry out an order.  Raises `LocalError`."""
    if role < PeerRole.OPERATOR and not r.only_reads(request):
        what = (
            "plan with the server's own file only"
            if isinstance(request, r.PlanRequest)
            else "not order"
        )
        server.note(OrderRefused(request.do, by))
        raise LocalError(
            f"{by} may read, {what}; "
            "an operator is root, the server's user or a member of control.operators"
        )
    return await _ANSWERS[type(request)](server, request, by)


async def _show(server: RunningServer, asked: r.ShowRequest, by: str) -> v.View:
    del by
    return state.show(server, asked)


async def _plan(server: RunningServer, asked: r.PlanRequest, by: str) -> v.View:
    del by
    new = await server.load(Path(asked.config) if asked.config is not None else None)
    name = asked.config or str(new.source or "")
    changes = await in_slices(server.engine.plan(new.groups))
    return plan_view(server.config, new, changes, name)


async def _reload(server: RunningServer, order: r.ReloadRequest, by: str) -> v.View:
    del order
    server.note(OperatorOrdered("reload", "", by))
    await server.reload_now()
    waiting = ", ".join(sorted(server.engine.waiting_groups))
    follow = f"; these follow when they have what they wait for: {waiting}" if waiting else ""
    return v.DoneView(done=f"reloaded{follow}")


async def _rekey(server: RunningServer, order: r.RekeyGroupRequest, by: str) -> v.View:
    await server.order(RekeyGroup(order.group))
    server.note(OperatorOrdered("rekey", order.group, by))
    return v.DoneView(done=f"{order.group} has new keys")


async def _exclude(server: RunningServer, order: r.ExcludeRequest, by: str) -> v.View:
    listing = server.engine.listing(server.now())
    preview = listing.exclusion_preview(order.group, order.kind, order.names)
    if not order.dry_run:
        await server.order(
            Exclude(
                order.group,
                order.kind,
                tuple(order.names),
                by,
                immediate=order.immediate,
                about=printable(order.about),
                members=preview.members,
            )
        )
    return v.ExclusionView(
        group=preview.group,
        excluded=list(preview.members),
        how=preview.how,
        starts_over=preview.starts_over,
        dry_run=order.dry_run,
    )


async def _readmit(server: RunningServer, order: r.ReadmitRequest, by: str) -> v.View:
    await server.order(Readmit(order.group, order.kind, tuple(order.names), by))
    return v.DoneView(done=f"{', '.join(order.names)} may register to {order.group} again")


async def _events(server: RunningServer, asked: r.EventsRequest, by: str) -> v.View:
    del by
    return v.EventsView(events=server.last_events(asked.last, asked.wanted))


_ANSWERS: Final[dict[type, Callable[[Any, Any, str], Awaitable[v.View]]]] = {
    r.ShowRequest: _show,
    r.PlanRequest: _plan,
    r.ReloadRequest: _reload,
    r.RekeyGroupRequest: _rekey,
    r.ExcludeRequest: _exclude,
    r.ReadmitRequest: _readmit,
    r.EventsRequest: _events,
}
