"""Everybody who is told of events: log, metrics, control socket, audit log, a screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry

from gcks.daemon.audit_trail import AuditTrail
from gcks.daemon.config.loaded import ControlOptions, LogOptions
from gcks.daemon.control.event_lines import Wanted
from gcks.daemon.control.listener import Answer, ControlSocket, NumberedRequest, Read, open_control
from gcks.daemon.http import serve_metrics
from gcks.daemon.logs import EventLog, configure
from gcks.datagrams import Endpoint
from gcks.events import Event

R = TypeVar("R", bound=NumberedRequest)
Watch = Callable[[Sequence[Event]], None]


class Metrics(Protocol):
    """What a daemon counts."""

    registry: CollectorRegistry

    def count(self, events: Iterable[Event]) -> None: ...


class Audience(Generic[R]):
    """Tells each event once to everybody, in the same order in both daemons."""

    def __init__(self, logs: LogOptions, watch: Watch | None) -> None:
        """`watch`: a screen, if there is one."""
        self._log = EventLog(configure(logs))
        self._watch = watch
        self._early: list[Event] | None = []
        """What was told before the control socket could be opened; None: that is over."""
        self._metrics: Metrics | None = None
        self._http: asyncio.Server | None = None
        self._control: ControlSocket[R] | None = None
        self.audit: AuditTrail | None = None

    async def show(self, metrics: Metrics, endpoint: Endpoint | None) -> None:
        """Count from now on, and show that where `endpoint` says.  Raises `LocalError`."""
        self._metrics = metrics
        if endpoint is not None:
            self._http = await serve_metrics(endpoint, metrics.registry)

    async def listen(
        self, options: ControlOptions | None, read: Read[R], answer: Answer[R]
    ) -> None:
        """Open the control socket.  Raises `LocalError`."""
        self._control = await open_control(options, read, answer, self.tell)
        if self._control is not None and self._early is not None:
            self._control.tell(self._early)
        self._early = None

    def use_logs(self, logs: LogOptions) -> None:
        """Log from now on as another configuration says."""
        self._log = EventLog(configure(logs))

    def tell(self, events: Sequence[Event]) -> None:
        now = time.monotonic()
        if self._metrics is not None:
            self._metrics.count(events)
        events = [*events, *self._log.write(events, now)]
        if self._watch is not None:
            self._watch(events)
        if self._control is not None:
            self._control.tell(events)
        elif self._early is not None:
            self._early += events
        if self.audit is not None:
            self.audit.write(events, now)

    def note(self, event: Event) -> None:
        """Tell what the edge itself has to say."""
        self.tell((event,))

    def last_events(self, most: int, wanted: Wanted) -> list[dict[str, Any]]:
        """Return what happened, for the control socket."""
        return self._control.recent.last(most, wanted) if self._control is not None else []

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
        if self._control is not None:
            self._control.close()
        if self.audit is not None:
            self.audit.close()
            self.audit = None
