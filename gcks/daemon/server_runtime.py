"""The key server at the edge: sockets and clock in, group commit, then datagrams out."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from typing import Any, Final

from gcks import __version__
from gcks.daemon import pktinfo
from gcks.daemon.audit_trail import AuditTrail
from gcks.daemon.commit import CommitPipeline
from gcks.daemon.config.loaded import ServerConfig
from gcks.daemon.control.event_lines import Wanted
from gcks.daemon.control.listener import ControlSocket, open_control
from gcks.daemon.control.plan import needs_restart
from gcks.daemon.control.requests import Request, read_request
from gcks.daemon.control.server_answers import answer
from gcks.daemon.credential_watch import CredentialWatch
from gcks.daemon.http import serve_metrics
from gcks.daemon.inherited import Inherited
from gcks.daemon.key_log_file import KeyLogFile
from gcks.daemon.logs import EventLog, configure
from gcks.daemon.metrics import ServerMetrics
from gcks.daemon.multicast import configure_sender
from gcks.daemon.pktinfo import any_of
from gcks.daemon.process import raise_descriptor_limit, run_to_end
from gcks.daemon.reloading import Loader, Reloads
from gcks.daemon.senders import Sender, Senders, close_others, make_senders
from gcks.daemon.systemd import ServiceManager
from gcks.daemon.tcp import DESCRIPTORS_KEPT, MAX_STREAMS, Streams, bind_tcp
from gcks.daemon.udp import UdpPort, bind_udp, framed
from gcks.datagrams import Endpoint, Path, Transmit
from gcks.errors import LocalError
from gcks.events import (
    DatagramDropped,
    Event,
    Reloaded,
    ReloadRefused,
    ServerStarted,
    ServerStopping,
)
from gcks.ike.credentials import Credentials
from gcks.keyserver.commands import Command, Reload, RenewCredentials
from gcks.keyserver.engine import Engine, ServerStatus
from gcks.outcome import Outcome
from gcks.store.sqlite import SqliteStore

TICK_SECONDS: Final = 0.02
"""Timeouts are rounded up to it: many IKE SAs that end together cost one wake-up."""

Ready = Callable[["ServerRuntime"], None]
Watch = Callable[[Sequence[Event]], None]


_MOVED: Final = (
    "the rekey source was changed while the server was down; members register again"
    " when their SAs expire, or change it back and move it by a reload"
)


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
        self._watch, self._key_log = watch, key_log
        self._logger: Any = configure(config.logs)
        if key_log is not None:
            key_log.warn(self._logger)
        self._log = EventLog(self._logger)
        self._manager = ServiceManager()
        self._ports: dict[Endpoint, UdpPort] = {}
        self._senders: Senders = {}
        self._streams = Streams(self._receive, self._dropped)
        self._rekeys_not_sent = 0
        self._held_back = False
        self._reloads = Reloads(
            reload,
            self._reload,
            self._manager,
            lambda cause: self._tell((ReloadRefused(cause),)),
        )
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._stopped = asyncio.Event()
        self._cause = ""
        self._failure: LocalError | None = None
        self._control: ControlSocket[Request] | None = None
        self._audit: AuditTrail | None = None
        self.started_at = time.monotonic()

    async def run(self, ready: Ready | None = None) -> None:
        """Serve until told to stop.  Raises `LocalError` where it can't start or go on."""
        config = self.config
        self._handle_signals()  # they count from the very start
        raise_descriptor_limit(MAX_STREAMS + DESCRIPTORS_KEPT)
        sockets, tcp = self._bind()
        self._store = SqliteStore(config.store_path, config.master_key)
        if config.audit is not None:
            self._audit = AuditTrail(config.audit, self._logger)
        stored = self._store.load()
        if self._key_log is not None:
            self._key_log.restored(stored)
        now = time.monotonic()
        self.engine = Engine(
            config.settings,
            config.credentials,
            config.groups,
            stored,
            entropy=os.urandom,
            wall=time.time,
            now=now,
            key_log=self._key_log,
            meter=time.perf_counter,
        )
        self.metrics = self._measured()
        http = (
            await serve_metrics(config.metrics, self.metrics.registry) if config.metrics else None
        )
        self.pipeline = CommitPipeline(
            self._store, self._send, self._fail, self.metrics.commit_seconds.observe
        )
        self._open(sockets)
        for sock in tcp:
            await self._streams.listen(sock)
        self._control = await open_control(
            config.control, read_request, partial(answer, self), self._logger
        )
        self._carry_out(self.engine.start(now))
        self._credentials = CredentialWatch(config.credential_source, self._renew, self._logger)
        self._credentials.start()
        await self.pipeline.drain()
        if self._failure is None:
            await self._serve(ready)
        await self._close(http)
        if self._failure is not None:
            raise self._failure

    def _measured(self) -> ServerMetrics:
        return ServerMetrics(
            self.status,
            lambda: self.engine.groups,
            commits=lambda: self.pipeline.commits,
            send_errors=lambda: (
                self._rekeys_not_sent + sum(port.send_errors for port in self._ports.values())
            ),
            streams=lambda: (len(self._streams), self._streams.refused),
            limits=lambda: self.engine.settings.limits,
            credentials=lambda: self.engine.credentials,
        )

    def _handle_signals(self) -> None:
        self._stop_on(signal.SIGTERM, signal.SIGINT)
        if self._reloads.possible:
            self._handle(self._reloads.signal, signal.SIGHUP)
        else:  # there is no file to read again: the terminal is gone
            self._stop_on(signal.SIGHUP)

    async def _serve(self, ready: Ready | None) -> None:
        self._feed_watchdog()
        self.metrics.loop_lag.start()
        self._tell((self._started(),))
        if ready is not None:
            ready(self)
        self._manager.ready(self._summary())
        self._reloads.begin()
        await self._stopped.wait()
        failure = self._failure
        cause = str(failure) if failure is not None else self._cause
        self._tell((ServerStopping(cause, failed=failure is not None),))

    def _started(self) -> ServerStarted:
        config, identity = str(self.config.source or "--dev"), str(self.config.settings.identity)
        listening, groups = self.config.listening, len(self.engine.groups)
        return ServerStarted(__version__, config, identity, listening, groups)

    def _summary(self) -> str:
        count = len(self.engine.groups)
        return f"serving {count} group{'s' if count != 1 else ''}"

    # --- beginning and end ------------------------------------------------------------

    def _bind(self) -> tuple[list[tuple[socket.socket, bool]], list[socket.socket]]:
        """Bind every port, UDP and TCP, or none; what the service manager has bound is taken."""
        bound: list[tuple[socket.socket, bool]] = []
        tcp: list[socket.socket] = []
        inherited = Inherited()
        try:
            for listener in self.config.listeners:
                for port, natt in (
                    *((p, False) for p in listener.ike),
                    *((p, True) for p in listener.natt),
                ):
                    local = Endpoint(listener.address, port)
                    bound.append((inherited.udp(local) or bind_udp(local), natt))
                for port in listener.tcp:
                    local = Endpoint(listener.address, port)
                    tcp.append(inherited.tcp(local) or bind_tcp(local))
            sockets = [sock for sock, _ in bound]
            self._senders = make_senders(self.config.groups.values(), sockets)
        except LocalError:
            for sock in (*(one for one, _ in bound), *tcp):
                sock.close()
            raise
        finally:
            rest = inherited.close_rest()
        if rest:
            self._logger.warning("sockets_not_used", sockets=rest, hint="see listen in gcks.yaml")
        return bound, tcp

    def _open(self, bound: list[tuple[socket.socket, bool]]) -> None:
        for sock, natt in bound:
            port = UdpPort(sock, self._receive, self._dropped, natt=natt)
            self._ports[port.local] = port

    def _handle(self, action: Callable[[], None], *numbers: signal.Signals) -> None:
        for number in numbers:
            asyncio.get_running_loop().add_signal_handler(number, action)

    def _stop_on(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            self._handle(partial(self.stop, f"stopped by {number.name}"), number)

    def stop(self, cause: str = "told to") -> None:
        self._cause = self._cause or cause
        self._stopped.set()

    async def _close(self, http: asyncio.Server | None) -> None:
        self._manager.stopping()
        self._pause()
        self.metrics.loop_lag.stop()
        self._credentials.stop()
        self._reloads.stop()
        if self._timer is not None:
            self._timer.cancel()
        if self._failure is None:
            await self.pipeline.drain()
        if http is not None:
            http.close()
        if self._control is not None:
            self._control.close()
        self._streams.close()
        for port in self._ports.values():
            port.close()
        for sender in self._senders.values():
            sender.socket.close()
        self.pipeline.close()
        self._store.close()
        if self._audit is not None:
            self._audit.close()

    def _fail(self, error: LocalError) -> None:
        self._failure = error
        self._stopped.set()

    def _feed_watchdog(self) -> None:
        if self._manager.watchdog_seconds is not None:
            self._manager.watchdog()
            interval = self._manager.watchdog_seconds / 3
            asyncio.get_running_loop().call_later(interval, self._feed_watchdog)

    # --- reload ---------------------------------------------------------------------

    async def reload_now(self) -> None:
        """Take over the configuration file.  Raises `LocalError`, and nothing has changed."""
        await self._reloads.now()

    async def load(self, path: pathlib.Path | None) -> ServerConfig:
        """Read the server's own configuration file again, or another.  Raises `LocalError`."""
        return await self._reloads.load(path)

    def _reload(self, config: ServerConfig) -> None:
        self._check_reload(config)
        self._take_over(config)
        self.config = config
        self._credentials.use(config.credential_source)
        self._logger = configure(config.logs)
        self._log = EventLog(self._logger)
        self._reopen_audit(config.audit)
        self._tell((Reloaded(len(config.groups)),))
        self._manager.ready(self._summary())

    def _reopen_audit(self, path: pathlib.Path | None) -> None:
        """Go on in a new file: after a rotation, or where the configuration says so."""
        before = self._audit
        if before is not None and path == before.path:
            before.reopen()
            return
        try:
            self._audit = AuditTrail(path, self._logger) if path is not None else None
        except LocalError as error:
            self._logger.error("audit_failed", path=str(path), cause=str(error))
            return  # what was recorded before goes on to be
        if before is not None:
            before.close()

    def now(self) -> float:
        return time.monotonic()

    def _take_over(self, config: ServerConfig) -> None:
        """Open what the new groups send from, then let the engine decide.  Raises `LocalError`."""
        before, known = self._senders, [port.socket for port in self._ports.values()]
        known += [one.socket for one in before.values() if one.socket not in known]
        senders = make_senders(config.groups.values(), known)
        # What replaced policies still have to say goes to the old address.
        self._senders = {**before, **senders}
        try:
            self.command(Reload(config.settings, config.credentials, config.groups))
        except LocalError:
            self._senders = before
            close_others([one.socket for one in senders.values()], known)
            raise

    def _renew(self, credentials: Credentials) -> None:
        self.command(RenewCredentials(credentials))

    def _check_reload(self, config: ServerConfig) -> None:
        changed = needs_restart(self.config, config)
        if changed:
            raise LocalError(f"{', '.join(changed)} can't change while running; restart gcks")

    def last_events(self, most: int, wanted: Wanted) -> list[dict[str, Any]]:
        """Return what happened, for the control socket."""
        return self._control.recent.last(most, wanted) if self._control is not None else []

    def status(self) -> ServerStatus:
        return self.engine.status(time.monotonic())

    # --- the loop -------------------------------------------------------------------

    def command(self, command: Command) -> None:
        """Give the engine an operator's command.  Raises `LocalError`."""
        self._carry_out(self.engine.command(command, time.monotonic()))

    def _receive(self, datagram: bytes, path: Path) -> None:
        self._carry_out(self.engine.receive(datagram, path, time.monotonic()))

    def _dropped(self, event: DatagramDropped) -> None:
        self._tell((event,))

    def _timeout(self) -> None:
        self._timer_at = None
        try:
            outcome = self.engine.handle_timeout(time.monotonic())
        except LocalError as error:
            self._fail(error)  # a server that looks alive and never rekeys would be worse
            return
        self._carry_out(outcome)

    def _carry_out(self, outcome: Outcome) -> None:
        if self._key_log is not None:
            self._key_log.journal(outcome.journal)
        if outcome.journal or outcome.transmits:
            self.pipeline.submit(outcome.journal, outcome.transmits)
            if self.pipeline.full and not self._held_back:
                self._hold_back()
        if outcome.events:
            self._tell(outcome.events)
        self._set_timer(outcome.next_timeout)

    def _tell(self, events: Sequence[Event]) -> None:
        self.metrics.count(events)
        self._log.write(events, time.monotonic())
        if self._watch is not None:
            self._watch(events)
        if self._control is not None:
            self._control.tell(events)
        if self._audit is not None:
            self._audit.write(events, time.monotonic())

    def note(self, event: Event) -> None:
        """Log and record what the edge itself has to say."""
        self._tell((event,))

    def _set_timer(self, at: float | None) -> None:
        if at is not None:
            at = ceil(at / TICK_SECONDS) * TICK_SECONDS
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, at
        if at is not None:
            delay = max(0.0, at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._timeout)

    def _hold_back(self) -> None:
        """The disk is behind: leave datagrams to the kernel until it has caught up."""
        self._held_back = True
        self._pause()

    def _pause(self) -> None:
        for port in self._readers():
            port.pause()

    def _read_again(self) -> None:
        self._held_back = False
        for port in self._readers():
            port.resume()

    def _readers(self) -> tuple[UdpPort | Streams, ...]:
        return (*self._ports.values(), self._streams)

    def _send(self, transmits: Sequence[Transmit]) -> None:
        for transmit in transmits:
            if self._sent(transmit) and transmit.awaited is not None:
                self.metrics.sent(transmit.awaited, time.monotonic())
        if self._held_back and not self.pipeline.full and not self._stopped.is_set():
            self._read_again()

    def _sent(self, transmit: Transmit) -> bool:
        """Send one datagram; tell whether there was a way for it."""
        if transmit.multicast:
            return self._multicast(transmit)
        if transmit.path.stream:
            self._streams.send(transmit.octets, transmit.path)
            return True
        port = self._port_of(transmit.path.local)
        if port is not None:
            port.send(transmit.octets, transmit.path)
        return port is not None

    def _port_of(self, local: Endpoint) -> UdpPort | None:
        """Return the port with that address, or the one for all addresses."""
        return self._ports.get(local) or self._ports.get(Endpoint(any_of(local.host), local.port))

    def _multicast(self, transmit: Transmit) -> bool:
        found = self._sender(transmit.path)
        if found is None:
            self._rekeys_not_sent += 1
            self._logger.error(
                "rekey_not_sent", destination=str(transmit.path.remote), cause=_MOVED
            )
            return False
        sock, group, rekey = found
        try:
            configure_sender(sock, rekey.source.host, rekey.interface, rekey.ttl)
            octets = framed(transmit.octets, transmit.path)
            pktinfo.send(sock, octets, rekey.source.host, transmit.path.remote)
        except (LocalError, OSError) as error:
            # An interface that is gone may come back: the next copy or rekey tries again.
            self._rekeys_not_sent += 1
            self._logger.error("rekey_not_sent", group=group, cause=str(error))
            return False
        return True

    def _sender(self, path: Path) -> Sender | None:
        """Return what reaches `path`: of its destination, else of its source.

        The members of a group whose rekey address was changed while the server
        was down still listen at the old one.
        """
        found = self._senders.get(path.remote)
        if found is not None:
            return found
        same_source = (one for one in self._senders.values() if one.rekey.source == path.local)
        return next(same_source, None)


def serve(config: ServerConfig, **options: Any) -> int:
    """Run a key server to its end; return the exit code."""
    return run_to_end(lambda: ServerRuntime(config, **options).run())
