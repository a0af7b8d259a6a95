"""What any event is, and those of both programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, NamedTuple

from gcks.errors import DropReason
from gcks.iana import ExchangeType, NotifyType


class Level(IntEnum):
    """How urgent an event is, in the numbers of `logging`."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


class Rate(NamedTuple):
    """How many lines are written in a second, and how many of them about one host."""

    lines: int
    of_a_host: int
    """One noisy host must not hide the others."""


_LOGGED: Final = Rate(5, 2)
_RECORDED: Final = Rate(20, 5)


@dataclass(frozen=True, slots=True)
class Limit:
    """How often an event that strangers can cause is written; a metric counts them all.

    Whoever can send datagrams must not be able to fill a disk.
    """

    by: str
    """A field that has few values: each has a share of its own, so that none hides another."""
    log: Rate = _LOGGED
    """In the log, for each value of that field."""
    audit: Rate = _RECORDED
    """In the audit log, for all values together."""


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events.  What is to be done with an event is said in its class, and only there.

    To add one, write its class into a module of this package, and run docs/generate: the
    page is made of the docstrings of classes and fields.  Where it is `counted`, it has a
    row in gcks/daemon/metrics.py.
    """

    name: ClassVar[str]
    """The stable name in logs."""
    usual_level: ClassVar[Level]
    """Of most of the kind; `level` is the one of an event."""
    audited: ClassVar[bool] = False
    """Whether it stands in the audit log, too."""
    limit: ClassVar[Limit | None] = None
    """None: it is written however often it comes."""
    counted: ClassVar[bool] = True
    """Whether a metric counts it."""

    @property
    def level(self) -> Level:
        """What the event is logged at; a class where some differ says which."""
        return self.usual_level


Tell = Callable[[Sequence[Event]], None]
"""Has events logged, counted, recorded, and told to those who follow them."""


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
    usual_level = Level.INFO
    limit = Limit("reason")
    reason: DropReason
    remote: str
    detail: str = ""
    """What was wrong with it."""

    @property
    def level(self) -> Level:
        """Debug for `late_copy` and `unproved_refusal`, error for `internal_error`."""
        return _LEVELS_OF_DROPS.get(self.reason, self.usual_level)


_LEVELS_OF_DROPS: Final = {
    # Sent on purpose, for others; followed by an event of its own if it counts.
    DropReason.LATE_COPY: Level.DEBUG,
    DropReason.UNPROVED_REFUSAL: Level.DEBUG,
    # A bug of ours.
    DropReason.INTERNAL_ERROR: Level.ERROR,
}


@dataclass(frozen=True, slots=True)
class RequestRefused(Event):
    """A request outside registration was answered with an error notification."""

    name = "request_refused"
    usual_level = Level.INFO
    limit = Limit("notify")
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
    usual_level = Level.DEBUG
    remote: str
    identity: str
    cause: str


@dataclass(frozen=True, slots=True)
class IkeSaRekeyed(Event):
    """A new IKE SA with the same peer took over; keys and Message IDs began anew."""

    name = "ike_sa_rekeyed"
    usual_level = Level.DEBUG
    remote: str
    identity: str
    by_peer: bool
    """Whether the other side began it."""
