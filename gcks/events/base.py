"""What any event is, and those of both programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gcks.errors import DropReason
from gcks.iana import ExchangeType, NotifyType


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; `name` is the stable name in logs.

    docs/events.md is made of the classes: their docstrings, and those of their fields.
    """

    name: ClassVar[str]


@dataclass(frozen=True, slots=True)
class ServerEvent(Event):
    """What only a key server has to say."""


@dataclass(frozen=True, slots=True)
class MemberEvent(Event):
    """What only a member has to say."""


@dataclass(frozen=True, slots=True)
class DatagramDropped(Event):
    """A datagram was dropped without an answer."""

    name = "datagram_dropped"
    reason: DropReason
    remote: str
    detail: str = ""
    """What was wrong with it."""


@dataclass(frozen=True, slots=True)
class RequestRefused(Event):
    """A request outside registration was answered with an error notification."""

    name = "request_refused"
    remote: str
    exchange: ExchangeType
    """The exchange that the request began."""
    notify: NotifyType
    cause: str
    identity: str = ""


@dataclass(frozen=True, slots=True)
class IkeSaClosed(Event):
    """An IKE SA has ended, on purpose or not; the SAs of the groups go on."""

    name = "ike_sa_closed"
    remote: str
    identity: str
    cause: str


@dataclass(frozen=True, slots=True)
class IkeSaRekeyed(Event):
    """A new IKE SA with the same peer took over; keys and Message IDs began anew."""

    name = "ike_sa_rekeyed"
    remote: str
    identity: str
    by_peer: bool
    """Whether the other side began it."""
