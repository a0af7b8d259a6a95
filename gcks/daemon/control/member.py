"""What can be asked of a member over its control socket, and its answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import Field, TypeAdapter

from gcks import __version__
from gcks.daemon.control.peers import Role
from gcks.daemon.control.requests import BaseRequest, Events, parse
from gcks.daemon.control.views import DoneView, EventsView, Row, View
from gcks.errors import LocalError
from gcks.member.status import MemberStatus


class Status(BaseRequest):
    """What the member holds and does."""

    do: Literal["status"]


class Leave(BaseRequest):
    """Leave all groups, and end."""

    do: Literal["leave"]


class Deafen(BaseRequest):
    """Lose all multicast for a while; only of a member that runs for `gcks demo`."""

    do: Literal["deafen"]
    seconds: Annotated[float, Field(gt=0, le=60)]


MemberRequest = Status | Leave | Deafen | Events
READ_ONLY: Final = (Status, Events)

_ADAPTER: Final[TypeAdapter[MemberRequest]] = TypeAdapter(
    Annotated[MemberRequest, Field(discriminator="do")]
)


class DataSaRow(Row):
    protocol: str
    spi: str
    direction: str
    source: str
    destination: str
    active_outbound: bool
    replay_protection: bool
    expires_in_seconds: float | None


class MembershipRow(Row):
    group: str
    state: str
    rekey_spi: str
    next_message_id: int
    rekey_address: str
    data_sas: list[DataSaRow]
    sender_ids: list[int]
    registrations: int
    rekeys: int
    last_error: str
    registers_in_seconds: float | None


class MemberView(View):
    version: str
    identity: str
    server: str
    ike_sa: str
    memberships: list[MembershipRow]


MEMBER_VIEWS: Final[dict[str, type[View]]] = {"status": MemberView, "leave": DoneView}


class Member(Protocol):
    """What the answers need of the running member."""

    def status(self) -> MemberStatus: ...

    def stop(self) -> None: ...

    def deafen(self, seconds: float) -> None: ...

    def last_events(self, most: int) -> list[dict[str, Any]]: ...


def read_member_request(line: bytes) -> MemberRequest:
    """Read one line.  Raises `LocalError` that says what is wrong with it."""
    return parse(_ADAPTER, line)


async def answer_member(member: Member, request: MemberRequest, role: Role, by: str) -> View:
    """Answer a request or carry out an order.  Raises `LocalError`."""
    if not isinstance(request, READ_ONLY) and role < Role.OPERATOR:
        raise LocalError(f"{by} may read, not order; see control.operators in member.yaml")
    return _ANSWERS[type(request)](member, request)


def _status(member: Member, asked: Status) -> View:
    del asked
    status = member.status()
    return MemberView(
        version=__version__,
        identity=status.identity,
        server=status.server,
        ike_sa=status.ike_sa,
        memberships=[
            MembershipRow(**_known(MembershipRow, dataclasses.asdict(one))) for one in status.groups
        ],
    )


def _known(row: type[Row], fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name in row.model_fields}


def _leave(member: Member, order: Leave) -> View:
    del order
    member.stop()
    return DoneView(done="the member leaves its groups and ends")


def _deafen(member: Member, order: Deafen) -> View:
    member.deafen(order.seconds)
    return DoneView(done="the member loses all multicast")


def _events(member: Member, asked: Events) -> View:
    return EventsView(events=member.last_events(asked.last))


_ANSWERS: Final[dict[type, Callable[[Any, Any], View]]] = {
    Status: _status,
    Leave: _leave,
    Deafen: _deafen,
    Events: _events,
}
