"""What can be asked of a member over its control socket, and its answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import Field, TypeAdapter

from gcks import __version__
from gcks.daemon.control.event_lines import Wanted
from gcks.daemon.control.peers import PeerRole
from gcks.daemon.control.requests import BaseRequest, EventsRequest, parse
from gcks.daemon.control.views import DoneView, EventsView, View, ViewRow
from gcks.errors import LocalError
from gcks.member.status import MemberStatus


class StatusRequest(BaseRequest):
    """What the member holds and does."""

    do: Literal["status"]


class LeaveRequest(BaseRequest):
    """Leave all groups, and end."""

    do: Literal["leave"]


class DeafenRequest(BaseRequest):
    """Lose all multicast for a while; only of a member that runs for `gcks demo`."""

    do: Literal["deafen"]
    seconds: Annotated[float, Field(gt=0, le=60)]


MemberRequest = StatusRequest | LeaveRequest | DeafenRequest | EventsRequest
READ_ONLY: Final = (StatusRequest, EventsRequest)

MEMBER_REQUESTS: Final[TypeAdapter[MemberRequest]] = TypeAdapter(
    Annotated[MemberRequest, Field(discriminator="do")]
)


class DataSaRow(ViewRow):
    protocol: str
    spi: str
    direction: str
    source: str
    destination: str
    active_outbound: bool
    replay_protection: bool
    expires_in_seconds: float | None


class MembershipRow(ViewRow):
    group: str
    state: str
    rekey_spi: str
    next_message_id: int
    rekey_address: str
    data_sas: list[DataSaRow]
    sender_ids: list[int]
    registrations: int
    rekeys: int
    rekeys_missed: int
    last_rekey_age_seconds: float | None
    """None: none has come yet."""
    sas_not_installed: int
    last_error: str
    hint: str
    """What to look at because rekeys don't come; empty if they do."""
    registers_in_seconds: float | None


class MemberView(View):
    version: str
    identity: str
    server: str
    ike_sa: str
    memberships: list[MembershipRow]


class RunningMember(Protocol):
    """What the answers need of the running member."""

    def status(self) -> MemberStatus: ...

    def leave(self) -> Awaitable[None]: ...

    def deafen(self, seconds: float) -> None: ...

    def last_events(self, most: int, wanted: Wanted) -> list[dict[str, Any]]: ...


def read_member_request(line: bytes) -> MemberRequest:
    """Read one line.  Raises `LocalError` that says what is wrong with it."""
    return parse(MEMBER_REQUESTS, line)


async def answer_member(
    member: RunningMember, request: MemberRequest, role: PeerRole, by: str
) -> View:
    """Answer a request or carry out an order.  Raises `LocalError`."""
    if not isinstance(request, READ_ONLY) and role < PeerRole.OPERATOR:
        raise LocalError(f"{by} may read, not order; see control.operators in member.yaml")
    return await _ANSWERS[type(request)](member, request)


async def _status(member: RunningMember, asked: StatusRequest) -> View:
    del asked
    status = member.status()
    return MemberView(
        version=__version__,
        identity=status.identity,
        server=status.server,
        ike_sa=status.ike_sa,
        memberships=[*map(MembershipRow.of, status.groups)],
    )


async def _leave(member: RunningMember, order: LeaveRequest) -> View:
    del order
    await member.leave()
    return DoneView(done="the member leaves its groups, which the server knows, and ends")


async def _deafen(member: RunningMember, order: DeafenRequest) -> View:
    member.deafen(order.seconds)
    return DoneView(done="the member loses all multicast")


async def _events(member: RunningMember, asked: EventsRequest) -> View:
    return EventsView(events=member.last_events(asked.last, asked.wanted))


_ANSWERS: Final[dict[type, Callable[[Any, Any], Awaitable[View]]]] = {
    StatusRequest: _status,
    LeaveRequest: _leave,
    DeafenRequest: _deafen,
    EventsRequest: _events,
}
