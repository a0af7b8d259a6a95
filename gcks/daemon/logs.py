"""Events as log lines: one event, one line, stable names; structlog, JSON or console.

What strangers can cause is counted in the metrics without limit and logged a few
times a second only, for each reason by itself: whoever can send datagrams must not
be able to fill a disk, nor to hide one kind of trouble behind another.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable, Iterable, MutableMapping
from enum import Enum
from functools import partial
from typing import Any, Final, TextIO

import structlog

from gcks import events as e
from gcks.daemon.config.loaded import LogOptions
from gcks.daemon.journald import JournalLogger, as_fields, as_text, to_journal
from gcks.daemon.log_queue import LOG_QUEUE, STANDARD_ERROR, write_standard_error
from gcks.daemon.log_quota import Shares
from gcks.errors import DropReason
from gcks.wire.printable import printable

LEVELS: Final[dict[type[e.Event], int]] = {
    e.DatagramDropped: logging.INFO,
    e.RequestRefused: logging.INFO,
    e.IkeSaInitAnswered: logging.DEBUG,
    e.CookieRequired: logging.DEBUG,
    e.PuzzleRequired: logging.DEBUG,
    e.IkeSaClosed: logging.DEBUG,
    e.IkeSaRekeyed: logging.DEBUG,
    e.PeerAuthenticated: logging.INFO,
    e.MemberRegistered: logging.INFO,
    e.RegistrationRefused: logging.WARNING,
    e.RegistrationAbandoned: logging.WARNING,
    e.MemberLeft: logging.INFO,
    e.ServerRefused: logging.WARNING,
    e.MemberCertificateEnded: logging.WARNING,
    e.GroupStartedOver: logging.WARNING,
    e.MembersLockedOut: logging.WARNING,
    e.SenderIdsLow: logging.WARNING,
    e.ServerStarted: logging.INFO,
    e.ServerStopping: logging.INFO,
    e.OperatorExcluded: logging.INFO,
    e.OperatorReadmitted: logging.INFO,
    e.OperatorOrdered: logging.INFO,
    e.OrderRefused: logging.WARNING,
    e.Reloaded: logging.INFO,
    e.ReloadRefused: logging.ERROR,
    e.SaCreated: logging.INFO,
    e.SaDeleted: logging.INFO,
    e.RekeySent: logging.INFO,
    e.SenderIdsExhausted: logging.ERROR,
    e.GroupStarted: logging.INFO,
    e.GroupRemovedEvent: logging.WARNING,
    e.Registering: logging.INFO,
    e.Registered: logging.INFO,
    e.NothingToSendOn: logging.WARNING,
    e.RegistrationFailedEvent: logging.WARNING,
    e.PolicyRefused: logging.ERROR,
    e.RekeyReceived: logging.INFO,
    e.Reregistering: logging.WARNING,
    e.StrangeRekeysSeen: logging.WARNING,
    e.DataPlaneFailed: logging.ERROR,
    e.ReceivesOnly: logging.WARNING,
    e.MemberStarted: logging.INFO,
    e.MemberStopping: logging.INFO,
    e.LeftGroup: logging.INFO,
    e.ServerNotTold: logging.WARNING,
}
_HARMLESS: Final = (DropReason.LATE_COPY, DropReason.UNPROVED_REFUSAL)
"""Sent on purpose, for others; followed by an event of its own if it counts."""
_LEVEL_OF_SOME: Final[dict[type[e.Event], tuple[Callable[[Any], bool], int]]] = {
    # Whoever leaves because something is to be mended.
    e.MemberLeft: (lambda event: bool(event.hint), logging.WARNING),
    e.DatagramDropped: (lambda event: event.reason in _HARMLESS, logging.DEBUG),
    e.RekeyReceived: (lambda event: event.reminder, logging.DEBUG),
    e.ServerStopping: (lambda event: event.failed, logging.ERROR),
    e.MemberStopping: (lambda event: event.failed, logging.ERROR),
}
_NAMES: Final = {kind: tuple(f.name for f in dataclasses.fields(kind)) for kind in LEVELS}
LIMITED_BY: Final[dict[type[e.Event], str]] = {
    e.DatagramDropped: "reason",
    e.RequestRefused: "notify",
    e.RegistrationRefused: "reason",
    e.RegistrationAbandoned: "reason",
    e.OrderRefused: "order",
}
"""Events that strangers can cause, and the field (an enumeration) each is limited by."""
MAX_LINES_PER_SECOND: Final = 5
"""For one event and one value of that field."""
MAX_LINES_OF_A_HOST: Final = 2
"""Of those: one noisy peer doesn't hide the others."""
LEVEL_NAMES: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(options: LogOptions, stream: TextIO | None = None) -> structlog.typing.BindableLogger:
    """Set up structlog for the process and return the logger; `stream`: not standard error."""
    stream = stream or sys.stderr
    style = _style(stream) if options.format == "auto" else options.format
    output: Any = structlog.PrintLogger(stream)
    if style == "journal":
        output = JournalLogger(options.program)
    elif _is_standard_error(stream):
        output = LineLogger()
    structlog.configure(
        processors=[structlog.processors.add_log_level, *_renderers(style, stream)],
        wrapper_class=structlog.make_filtering_bound_logger(LEVEL_NAMES[options.level]),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=False,
    )
    logger: structlog.typing.BindableLogger = structlog.get_logger()
    return logger


class LineLogger:
    """Takes lines for standard error."""

    def msg(self, line: str) -> None:
        octets = f"{line}\n".encode(errors="backslashreplace")
        LOG_QUEUE.put(partial(write_standard_error, octets), len(octets))

    debug = info = warning = error = critical = msg


def _is_standard_error(stream: TextIO) -> bool:
    try:
        return stream.fileno() == STANDARD_ERROR
    except (OSError, ValueError):
        return False


def _style(stream: TextIO) -> str:
    """Return what fits where the lines go: the journal, a terminal, or anything else."""
    if stream is sys.stderr and to_journal():
        return "journal"
    return "console" if stream.isatty() else "json"


def _renderers(style: str, stream: TextIO) -> list[Any]:
    if style == "journal":
        return [_printable, as_fields]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    if style == "json":
        return [stamp, structlog.processors.JSONRenderer()]
    return [
        stamp,
        _printable,
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), sort_keys=False),
    ]


_Key = tuple[type[e.Event], Any]
"""An event, and the value that it is limited by."""


class EventLog:
    """Writes events; some are limited, and what was left out is said a second later."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger.bind()
        self._least = next(level for level in LEVEL_NAMES.values() if logger.is_enabled_for(level))
        self._shares: Shares[_Key] = Shares(MAX_LINES_PER_SECOND, MAX_LINES_OF_A_HOST)
        self._second = -1

    def write(self, events: Iterable[e.Event], now: float) -> None:
        """Log events; never fails, whatever happened to the stream."""
        if int(now) != self._second:
            self._second = int(now)
            self._begin_second(now)
        for event in events:
            kind, level = type(event), level_of(event)
            if level >= self._least and (kind not in LIMITED_BY or self._may_log(kind, event)):
                self._log(level, event.name, fields_of(event))

    def _begin_second(self, now: float) -> None:
        """Say what is missing."""
        for (kind, value), count in self._shares.begin(now).items():
            fields = {LIMITED_BY[kind]: _plain(value), "count": count}
            self._log(LEVELS[kind], f"{kind.name}_not_logged", fields)
        if lost := LOG_QUEUE.take_lost():
            self._logger.warning("log_lines_lost", count=lost)

    def _may_log(self, kind: type[e.Event], event: Any) -> bool:
        key = (kind, getattr(event, LIMITED_BY[kind]))
        return self._shares.take(key, getattr(event, "remote", ""))

    def _log(self, level: int, name: str, fields: dict[str, object]) -> None:
        try:
            self._logger.log(level, name, **fields)
        except (OSError, ValueError):
            return  # the reader of our log is gone or the disk is full; the keys go on


def level_of(event: e.Event) -> int:
    """Return the level of a kind of event, or of what some of the kind are."""
    kind = type(event)
    known = _LEVEL_OF_SOME.get(kind)
    return known[1] if known is not None and known[0](event) else LEVELS[kind]


def fields_of(event: e.Event) -> dict[str, object]:
    """Return an event's fields as plain values; empty texts are left out."""
    names = _NAMES[type(event)]
    return {n: _plain(value) for n in names if (value := getattr(event, n)) != ""}


def text_of(event: e.Event) -> str:
    """Return an event's fields in one line that can be printed."""
    return as_text(_printable(None, "", fields_of(event)))


def _plain(value: object) -> object:
    if type(value) in (str, int, bool):
        return value
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name
    return list(value) if isinstance(value, tuple) else value


def _printable(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep a peer's octets from moving the cursor or beginning a line of their own."""
    for name, value in line.items():
        if isinstance(value, str) and not value.isprintable():
            line[name] = ascii(value)
        elif isinstance(value, list):
            line[name] = [printable(str(one)) for one in value]
    return line
