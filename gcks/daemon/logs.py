"""Events as log lines: one event, one line, stable names; structlog, JSON or console.

Drops are counted in the metrics without limit and logged a few times a second
only: whoever can send datagrams must not be able to fill a disk.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, TextIO

import structlog

from gcks import events as e
from gcks.daemon.config.loaded import LogOptions

LEVELS: Final[dict[type[e.Event], int]] = {
    e.DatagramDropped: logging.INFO,
    e.RequestRefused: logging.INFO,
    e.IkeSaInitAnswered: logging.DEBUG,
    e.CookieRequired: logging.DEBUG,
    e.IkeSaClosed: logging.DEBUG,
    e.MemberRegistered: logging.INFO,
    e.RegistrationRefused: logging.WARNING,
    e.MemberLeft: logging.INFO,
    e.SaCreated: logging.INFO,
    e.SaDeleted: logging.INFO,
    e.RekeySent: logging.INFO,
    e.SenderIdsExhausted: logging.ERROR,
    e.GroupStarted: logging.INFO,
    e.Registering: logging.INFO,
    e.Registered: logging.INFO,
    e.RegistrationFailedEvent: logging.WARNING,
    e.PolicyRefused: logging.ERROR,
    e.RekeyReceived: logging.INFO,
    e.Reregistering: logging.WARNING,
    e.LeftGroup: logging.INFO,
}
_NAMES: Final = {kind: tuple(f.name for f in dataclasses.fields(kind)) for kind in LEVELS}
MAX_DROP_LINES_PER_SECOND: Final = 5
_LEVEL_NAMES: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(options: LogOptions, stream: TextIO | None = None) -> structlog.typing.BindableLogger:
    """Set up structlog for the process and return the logger."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if options.format == "json"
        else structlog.dev.ConsoleRenderer(colors=(stream or sys.stderr).isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVEL_NAMES[options.level]),
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    logger: structlog.typing.BindableLogger = structlog.get_logger()
    return logger


class EventLog:
    """Writes events; drops are limited, and what was left out is said."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger.bind()
        self._shown = {kind for kind, level in LEVELS.items() if logger.is_enabled_for(level)}
        self._second = -1
        self._drops = 0

    def write(self, events: Iterable[e.Event], now: float) -> None:
        for event in events:
            if type(event) not in self._shown:
                continue
            if isinstance(event, e.DatagramDropped) and not self._may_log_drop(now):
                continue
            self._logger.log(LEVELS[type(event)], event.name, **fields_of(event))

    def _may_log_drop(self, now: float) -> bool:
        if int(now) != self._second:
            left_out = self._drops - MAX_DROP_LINES_PER_SECOND
            if left_out > 0:
                self._logger.info("datagrams_dropped_not_logged", count=left_out)
            self._second, self._drops = int(now), 0
        self._drops += 1
        return self._drops <= MAX_DROP_LINES_PER_SECOND


def fields_of(event: e.Event) -> dict[str, object]:
    """Return an event's fields as plain values; empty texts are left out."""
    names = _NAMES[type(event)]
    return {n: _plain(value) for n in names if (value := getattr(event, n)) != ""}


def _plain(value: object) -> object:
    if type(value) in (str, int, bool):
        return value
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name
    return list(value) if isinstance(value, tuple) else value
