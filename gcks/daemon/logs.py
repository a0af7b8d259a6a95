"""Events as log lines: one event, one line, stable names; structlog, JSON or console.

What strangers can cause is counted in the metrics without limit and logged a few
times a second only, for each reason by itself: whoever can send datagrams must not
be able to fill a disk, nor to hide one kind of trouble behind another.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections import Counter
from collections.abc import Iterable, MutableMapping
from enum import Enum
from typing import Any, Final, TextIO

import structlog

from gcks import events as e
from gcks.daemon.config.loaded import LogOptions
from gcks.daemon.journald import JournalLogger, as_fields, as_text, to_journal

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
    e.MemberLeft: logging.INFO,
    e.MemberCertificateEnded: logging.WARNING,
    e.GroupStartedOver: logging.WARNING,
    e.MembersLockedOut: logging.WARNING,
    e.SenderIdsLow: logging.WARNING,
    e.OperatorExcluded: logging.INFO,
    e.OperatorOrdered: logging.INFO,
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
    e.LeftGroup: logging.INFO,
}
_NAMES: Final = {kind: tuple(f.name for f in dataclasses.fields(kind)) for kind in LEVELS}
LIMITED_BY: Final[dict[type[e.Event], str]] = {
    e.DatagramDropped: "reason",
    e.RequestRefused: "notify",
    e.RegistrationRefused: "reason",
}
"""Events that strangers can cause, and the field (an enumeration) each is limited by."""
MAX_LINES_PER_SECOND: Final = 5
"""For one event and one value of that field."""
MAX_LINES_OF_A_HOST: Final = 2
"""Of those: one noisy peer doesn't hide the others."""
_LEVEL_NAMES: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(options: LogOptions, stream: TextIO | None = None) -> structlog.typing.BindableLogger:
    """Set up structlog for the process and return the logger; `stream`: not standard error."""
    stream = stream or sys.stderr
    style = _style(stream) if options.format == "auto" else options.format
    factory: Any = structlog.PrintLoggerFactory(stream)
    if style == "journal":
        journal = JournalLogger(options.program)
        factory = lambda *_: journal  # noqa: E731
    structlog.configure(
        processors=[structlog.processors.add_log_level, *_renderers(style, stream)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVEL_NAMES[options.level]),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )
    logger: structlog.typing.BindableLogger = structlog.get_logger()
    return logger


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
    return [stamp, _printable, structlog.dev.ConsoleRenderer(colors=stream.isatty())]


_Key = tuple[type[e.Event], Any]
"""An event, and the value that it is limited by."""


class EventLog:
    """Writes events; some are limited, and what was left out is said a second later."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger.bind()
        self._shown = {kind for kind, level in LEVELS.items() if logger.is_enabled_for(level)}
        self._second = -1
        self._lines: dict[_Key, list[str]] = {}
        """The hosts that the lines of this second are about."""
        self._left_out: Counter[_Key] = Counter()

    def write(self, events: Iterable[e.Event], now: float) -> None:
        """Log events; never fails, whatever happened to the stream."""
        if int(now) != self._second:
            self._begin_second(int(now))
        for event in events:
            kind = type(event)
            if kind in self._shown and (kind not in LIMITED_BY or self._may_log(kind, event)):
                self._log(LEVELS[kind], event.name, fields_of(event))

    def _may_log(self, kind: type[e.Event], event: Any) -> bool:
        key = (kind, getattr(event, LIMITED_BY[kind]))
        hosts = self._lines.setdefault(key, [])
        host = event.remote.rpartition(":")[0]
        if len(hosts) >= MAX_LINES_PER_SECOND or hosts.count(host) >= MAX_LINES_OF_A_HOST:
            self._left_out[key] += 1
            return False
        hosts.append(host)
        return True

    def _begin_second(self, second: int) -> None:
        left_out, self._left_out = self._left_out, Counter()
        self._lines, self._second = {}, second
        for (kind, value), count in left_out.items():
            fields = {LIMITED_BY[kind]: _plain(value), "count": count}
            self._log(LEVELS[kind], f"{kind.name}_not_logged", fields)

    def _log(self, level: int, name: str, fields: dict[str, object]) -> None:
        try:
            self._logger.log(level, name, **fields)
        except (OSError, ValueError):
            return  # the reader of our log is gone or the disk is full; the keys go on


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
    return line
