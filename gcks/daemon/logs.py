"""Events as log lines: one event, one line, stable names; structlog, JSON or console.

What strangers can cause is counted in the metrics without limit and logged a few
times a second only, for each reason by itself: whoever can send datagrams must not
be able to fill a disk, nor to hide one kind of trouble behind another.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, MutableMapping
from dataclasses import fields
from enum import Enum
from functools import partial
from typing import Any, Final, TextIO

import structlog

from gcks import events as e
from gcks.daemon.config.loaded import LogOptions
from gcks.daemon.journald import JournalLogger, as_fields, as_text, to_journal
from gcks.daemon.log_queue import LOG_QUEUE, STANDARD_ERROR, write_standard_error
from gcks.daemon.log_quota import Shares
from gcks.wire.printable import printable

LEVEL_NAMES: Final = {
    level.name.lower(): level for level in e.Level if level is not e.Level.CRITICAL
}
"""The levels that can be asked for; what is critical can't be left out."""
_NAMES: Final = {kind: tuple(field.name for field in fields(kind)) for kind in e.KINDS}


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


_Key = tuple[type[e.Event], str, Any]
"""A kind of event, the field that it is limited by, and its value."""


class EventLog:
    """Writes events; some are limited, and what was left out is said a second later."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger.bind()
        self._least = next(level for level in LEVEL_NAMES.values() if logger.is_enabled_for(level))
        self._shares: Shares[_Key] = Shares()
        self._second = -1

    def write(self, events: Iterable[e.Event], now: float) -> tuple[e.Event, ...]:
        """Log events; return what the log says of itself, for who reads something else.

        Never fails, whatever happened to the stream.
        """
        own: tuple[e.Event, ...] = ()
        if int(now) != self._second:
            self._second = int(now)
            own = self._begin_second(now)
        for event in (*own, *events):
            level = event.level
            if level >= self._least and (event.limit is None or self._may_log(event, event.limit)):
                self._log(level, event.name, fields_of(event))
        return own

    def _begin_second(self, now: float) -> tuple[e.Event, ...]:
        """Say what the limits have left out; return what else is missing."""
        for (kind, field, value), count in self._shares.begin(now).items():
            told = {field: _plain(value), "count": count}
            self._log(kind.usual_level, f"{kind.name}_not_logged", told)
        lost = LOG_QUEUE.take_lost()
        return (e.LogLinesLost(lost),) if lost else ()

    def _may_log(self, event: e.Event, limit: e.Limit) -> bool:
        key = (type(event), limit.by, getattr(event, limit.by))
        return self._shares.take(key, getattr(event, "remote", ""), limit.log)

    def _log(self, level: int, name: str, told: dict[str, object]) -> None:
        try:
            self._logger.log(level, name, **told)
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
        elif isinstance(value, list):
            line[name] = [printable(str(item)) for item in value]
    return line
