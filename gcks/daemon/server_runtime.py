"""The key server at the edge: sockets and clock in, group commit, then datagrams out."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from gcks import __version__
from gcks.change import Change
from gcks.daemon.audience import Audience, Watch
from gcks.daemon.audit_trail import AuditTrail, reopened
from gcks.daemon.carrier import Carrier
from gcks.daemon.commit import CommitPipeline
from gcks.daemon.config.loaded import ServerConfig
from gcks.daemon.control.event_lines import Wanted
from gcks.daemon.control.plan import needs_restart
from gcks.daemon.control.requests import Request, read_request
from gcks.daemon.control.server_answers import answer
from gcks.daemon.credential_watch import CredentialWatch
from gcks.daemon.engine_loop import EngineLoop
from gcks.daemon.key_log_file import KeyLogFile
from gcks.daemon.metrics import ServerMetrics
from gcks.daemon.process import raise_descriptor_limit, run_to_end
from gcks.daemon.reloading import Loader, Reloads
from gcks.daemon.server_sockets import ServerSockets
from gcks.daemon.service import Service
from gcks.daemon.tcp import DESCRIPTORS_KEPT, MAX_STREAMS
from gcks.errors import LocalError
from gcks.events import Event, Reloaded, ReloadRefused, ServerStarted, ServerStopping
from gcks.ike.credentials import Credentials
from gcks.journal import JournalEntry
from gcks.keyserver.commands import Command, Reload, RenewCredentials
from gcks.keyserver.engine import Engine
from gcks.keyserver.status import ServerStatus
from gcks.store.sqlite import SqliteStore

Ready = Callable[["ServerRuntime"], None]


class ServerRuntime:
    """One running key server; everything happens on one event loop."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        reload: Loader | None = None,
        watch: Watch | None = None,
        key_log: KeyLogFile | None = None,
    ) -> None:
        self.config = config
        self._audience: Audience[Request] = Audience(config.logs, watch)
        self._key_log = key_log
        if key_log is not None:
            key_log.warn(self._audience.tell)
        self._service = Service()
        self._reloads = Reloads(
            reload,
            self._reload,
            self._service.manager,
            lambda cause: self.note(ReloadRefused(cause)),
        )
        self.started_at = time.monotonic()

    async def run(self, ready: Ready | None = None) -> None:
        """Serve until told to stop.  Raises `LocalError` where it can't start or go on."""
        config, audience = self.config, self._audience
        self._handle_signals()  # they count from the very start
        raise_descriptor_limit(MAX_STREAMS + DESCRIPTORS_KEPT)
        self._sockets = ServerSockets(config.listeners, config.groups.values(), audience.tell)
        store = SqliteStore(config.store_path, config.master_key)
        if config.audit is not None:
            audience.audit = AuditTrail(config.audit, audience.tell)
        self.engine = self._make_engine(store.load())
        self.metrics = self._measured()
        await audience.show(self.metrics, config.metrics)
        self._carrier = self._make_carrier(store)
        self._loop: EngineLoop[Change] = EngineLoop(
            self.engine, self._carrier.carry, self._service.fail
        )
        await audience.listen(config.control, read_request, partial(answer, self))
        self._sockets.open(self._loop.receive, self.note)
        self._loop.decide(self.engine.start)
        await self._sockets.listen()
        self._credentials = CredentialWatch(config.credential_source, self._renew, audience.tell)
        self._credentials.start()
        await self.pipeline.drain()
        begins = self._service.failure is None
        if begins:
            await self._serve(ready)
        await self._stop_deciding()
        if begins:
            self.note(ServerStopping(self._service.cause, failed=self._service.failure is not None))
        self._close()
        self._service.raise_failure()

    async def _serve(self, ready: Ready | None) -> None:
        self.metrics.loop_lag.start()
        self.note(self._started())
        if ready is not None:
            ready(self)
        self._service.ready(self._summary())
        self._reloads.begin()
        await self._service.wait_for_the_end()

    def _started(self) -> ServerStarted:
        config, identity = str(self.config.source or "--dev"), str(self.config.settings.identity)
        return ServerStarted(
            __version__, config, identity, self.config.listening, len(self.config.groups)
        )

    def _summary(self) -> str:
        count = len(self.config.groups)
        return f"serving {count} group{'s' if count != 1 else ''}"

    # --- beginning and end ------------------------------------------------------------

    def _handle_signals(self) -> None:
        self._service.stop_on(signal.SIGTERM, signal.SIGINT)
        if self._reloads.possible:
            self._service.handle(self._reloads.signal, signal.SIGHUP)
        else:  # there is no file to read again: the terminal is gone
            self._service.stop_on(signal.SIGHUP)

    def _make_engine(self, stored: Iterator[JournalEntry]) -> Engine:
        if self._key_log is not None:
            stored = self._key_log.restored(stored)
        return Engine(
            self.config.settings,
            self.config.credentials,
            self.config.groups,
            stored,
            entropy=os.urandom,
            wall=time.time,
            now=time.monotonic(),
            key_log=self._key_log,
            meter=time.perf_counter,
        )

    def _measured(self) -> ServerMetrics:
        return ServerMetrics(
            self.status,
            lambda: self.engine.group_names,
            commits=lambda: self.pipeline.commits,
            send_errors=lambda: self._sockets.send_errors,
            streams=lambda: self._sockets.streams,
            limits=lambda: self.engine.settings.limits,
            credentials=lambda: self.engine.credentials,
        )

    def _make_carrier(self, store: SqliteStore) -> Carrier:
        return Carrier(
            store,
            self._sockets,
            self.metrics,
            resume=self._resume,
            fail=lambda error: self._loop.break_down(error),
            key_log=self._key_log,
            tell=self._audience.tell,
        )

    @property
    def pipeline(self) -> CommitPipeline:
        return self._carrier.pipeline

    def stop(self, cause: str = "told to") -> None:
        self._service.stop(cause)

    async def _stop_deciding(self) -> None:
        """Carry out what is decided, and no more."""
        self._service.close()
        self._credentials.stop()
        self._reloads.stop()
        self.metrics.loop_lag.stop()
        self._loop.stop()
        self._carrier.stop()
        if self._service.failure is None:
            await self.pipeline.drain()

    def _close(self) -> None:
        self._audience.close()
        self._sockets.close()
        self._carrier.close()

    # --- reload ---------------------------------------------------------------------

    async def reload_now(self) -> None:
        """Take over the configuration file, until that is durable.

        Raises `LocalError`, and nothing has changed.
        """
        await self._reloads.now()
        await self.pipeline.committed()

    async def load(self, path: pathlib.Path | None) -> ServerConfig:
        """Read the server's own configuration file again, or another.  Raises `LocalError`."""
        return await self._reloads.load(path)

    def _reload(self, config: ServerConfig) -> None:
        changed = needs_restart(self.config, config)
        if changed:
            raise LocalError(f"{', '.join(changed)} can't change while running; restart gcks")
        with self._sockets.with_senders_of(config.groups.values()):
            self.command(Reload(config.settings, config.credentials, config.groups))
        self.config = config
        self._credentials.use(config.credential_source)
        audience = self._audience
        audience.use_logs(config.logs)
        audience.audit = reopened(audience.audit, config.audit, audience.tell)
        waiting = tuple(sorted(self.engine.waiting_groups))
        reloaded = Reloaded(len(config.groups), waiting)
        self.pipeline.submit([], [], partial(self.note, reloaded))  # behind what it has led to
        self._service.manager.ready(self._summary())

    # --- what is asked of the running server ------------------------------------------

    def command(self, command: Command) -> None:
        """Give the engine an operator's command.  Raises `LocalError`."""
        change = self._loop.decide(partial(self.engine.command, command))
        if change.refusal is not None:
            raise change.refusal

    async def order(self, command: Command) -> None:
        """Have an operator's command carried out: what it has led to is durable and sent.

        Raises `LocalError`.
        """
        self.command(command)
        await self.pipeline.committed()

    def _renew(self, credentials: Credentials) -> None:
        self.command(RenewCredentials(credentials))

    def _resume(self, token: int, result: object) -> None:
        self._loop.decide(partial(self.engine.resume, token, result))

    def note(self, event: Event) -> None:
        """Log and record what the edge itself has to say."""
        self._audience.note(event)

    def last_events(self, most: int, wanted: Wanted) -> list[dict[str, Any]]:
        """Return what happened, for the control socket."""
        return self._audience.last_events(most, wanted)

    def now(self) -> float:
        return time.monotonic()

    def status(self) -> ServerStatus:
        return self.engine.status(time.monotonic())


def serve(config: ServerConfig, **options: Any) -> int:
    """Run a key server to its end; return the exit code."""
    return run_to_end(lambda: ServerRuntime(config, **options).run())
