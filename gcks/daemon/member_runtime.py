"""The group member at the edge: unicast and multicast sockets, clock, data plane."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from gcks import __version__
from gcks.daemon.addresses import own_addresses
from gcks.daemon.config.loaded import MemberConfig
from gcks.daemon.control.event_lines import Wanted
from gcks.daemon.control.listener import ControlSocket, open_control
from gcks.daemon.control.member_answers import MemberRequest, answer_member, read_member_request
from gcks.daemon.credential_watch import CredentialWatch
from gcks.daemon.http import serve_metrics
from gcks.daemon.key_log_file import KeyLogFile
from gcks.daemon.logs import EventLog, configure
from gcks.daemon.metrics import MemberMetrics
from gcks.daemon.multicast import check_receiver, multicast_receiver
from gcks.daemon.process import run_to_end
from gcks.daemon.sa_worker import SaWorker
from gcks.daemon.systemd import ServiceManager
from gcks.daemon.tcp import Connection
from gcks.daemon.udp import UdpPort, bind_udp
from gcks.datagrams import Endpoint, Path, Transmit
from gcks.dataplane.choose import make_data_plane
from gcks.errors import LocalError
from gcks.events import DatagramDropped, Event, MemberStarted, MemberStopping
from gcks.member.change import MemberChange
from gcks.member.data_plane import DataPlaneCommand, JoinMulticast, LeaveMulticast
from gcks.member.engine import MemberEngine
from gcks.member.status import MemberStatus

STOP_SECONDS: Final = 2.0
"""How long a stopping member waits for the GCKS to hear that it leaves."""

LEAVE_SECONDS: Final = 5.0
"""The same where an operator has ordered it."""
_TICK_SECONDS: Final = 0.05
_NOT_TOLD: Final = (
    "left here, but the server {} couldn't be told ({}): it counts this member in until its group "
    "starts over, or `gcks exclude` shuts it out there"
)

PROGRAM: Final = "gcks-member"
Watch = Callable[[Sequence[Event]], None]


class MemberRuntime:
    """One running member; everything happens on one event loop."""

    def __init__(
        self,
        config: MemberConfig,
        *,
        watch: Watch | None = None,
        key_log: KeyLogFile | None = None,
        rehearses: bool = False,
    ) -> None:
        """Prepare; `rehearses`: it may be told to lose datagrams, for a demonstration."""
        self.config = config
        self._rehearses, self._deaf_until = rehearses, 0.0
        self._watch, self._key_log = watch, key_log
        self._logger: Any = configure(config.logs)
        if key_log is not None:
            key_log.warn(self._logger)
        self._log = EventLog(self._logger)
        self._manager = ServiceManager()
        self._ports: dict[Endpoint, UdpPort] = {}
        self._joined: dict[Endpoint, tuple[UdpPort, int]] = {}
        self._connection: Connection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._stopped = asyncio.Event()
        self._cause = ""
        self._failure: LocalError | None = None
        self._control: ControlSocket[MemberRequest] | None = None

    async def run(self, ready: Callable[[], object] | None = None) -> None:
        """Be a member until told to stop.  Raises `LocalError`."""
        local, natt = self._open()
        settings = self.config.settings
        check_receiver(settings.interface, local.host)
        settings = replace(
            settings,
            local=local,
            local_natt_port=natt,
            data_addresses=settings.data_addresses or own_addresses(),
        )
        self.engine = MemberEngine(
            settings,
            self.config.credentials,
            self.config.ceiling,
            entropy=os.urandom,
            wall=time.time,
            jitter=_jitter,
        )
        self._plane = make_data_plane(self.config.data_plane)
        self._sas = SaWorker(self._plane, self._tell)
        self.metrics = MemberMetrics(self.status, lambda: self.engine.credentials)
        http = None
        if self.config.metrics is not None:
            http = await serve_metrics(self.config.metrics, self.metrics.registry)
        worker = asyncio.create_task(self._sas.run())
        watch = CredentialWatch(
            self.config.credential_source, self.engine.renew_credentials, self._logger
        )
        watch.start()
        self._control = await open_control(
            self.config.control, read_member_request, partial(answer_member, self), self._logger
        )
        self._signals()
        self._feed_watchdog()
        self.metrics.loop_lag.start()
        self._tell((self._started(),))
        self._carry_out(self.engine.start(time.monotonic()))
        if ready is not None:
            ready()
        self._manager.ready(str(settings.identity))
        await self._stopped.wait()
        watch.stop()
        await self._close(worker, http)
        if self._failure is not None:
            raise self._failure

    def _open(self) -> tuple[Endpoint, int]:
        """Bind a socket for each of the two kinds of port; return where."""
        settings = self.config.settings
        host = settings.local.host or _source_address(settings.server)
        ordinary = self._port(bind_udp(Endpoint(host, settings.local.port)))
        natt = self._port(bind_udp(Endpoint(host, settings.local_natt_port)), natt=True)
        self._ports = {port.local: port for port in (ordinary, natt)}
        return ordinary.local, natt.local.port

    def last_events(self, most: int, wanted: Wanted) -> list[dict[str, Any]]:
        """Return what happened, for the control socket."""
        return self._control.recent.last(most, wanted) if self._control is not None else []

    def status(self) -> MemberStatus:
        return self._sas.marked(self.engine.status(time.monotonic()))

    def _started(self) -> MemberStarted:
        settings = self.config.settings
        groups = tuple(str(one.id) for one in settings.groups)
        server, config = str(settings.server), str(self.config.source or "--dev")
        return MemberStarted(__version__, config, str(settings.identity), server, groups)

    def _port(self, sock: socket.socket, *, natt: bool = False) -> UdpPort:
        return UdpPort(sock, self._receive, self._dropped, natt=natt)

    def _signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop, f"stopped by {number.name}")

    def stop(self, cause: str = "told to") -> None:
        """Give up what is held, and end."""
        self._cause = self._cause or cause
        self._stopped.set()

    async def leave(self) -> None:
        """Leave the groups by an operator's order, and end.

        Raises `LocalError` where the server couldn't be told.
        """
        self._cause = cause = "an operator's order to leave"
        self._carry_out(self.engine.leave(time.monotonic(), cause, insist=True))
        await self._depart(LEAVE_SECONDS, lambda: self.engine.departing)
        self.stop(cause)
        if self.engine.untold:
            raise LocalError(_NOT_TOLD.format(self.config.settings.server, self.engine.untold))

    async def _depart(self, seconds: float, goes_on: Callable[[], bool]) -> None:
        """Let the engine tell the server that this member leaves; not for ever."""
        try:
            async with asyncio.timeout(seconds):
                while goes_on():
                    await asyncio.sleep(_TICK_SECONDS)
        except TimeoutError:
            cause = f"no answer within {seconds:.0f} s"
            self._carry_out(self.engine.give_up(cause, time.monotonic()))

    async def _close(self, worker: asyncio.Task[None], http: asyncio.Server | None) -> None:
        self._manager.stopping()
        self.metrics.loop_lag.stop()
        cause = str(self._failure) if self._failure is not None else self._cause
        self._tell((MemberStopping(cause, failed=self._failure is not None),))
        if self._control is not None:
            self._control.close()
        self._carry_out(self.engine.leave(time.monotonic(), cause))
        await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._sas.settled()
        await self._depart(STOP_SECONDS, lambda: self._timer_at is not None)
        worker.cancel()
        await self._plane.close()
        if http is not None:
            http.close()
        if self._connection is not None:
            self._connection.close()
        for port in (*self._ports.values(), *(port for port, _ in self._joined.values())):
            port.close()

    def _feed_watchdog(self) -> None:
        if self._manager.watchdog_seconds is not None:
            self._manager.watchdog()
            interval = self._manager.watchdog_seconds / 3
            asyncio.get_running_loop().call_later(interval, self._feed_watchdog)

    # --- the loop -------------------------------------------------------------------

    def _receive(self, datagram: bytes, path: Path) -> None:
        self._carry_out(self.engine.receive(datagram, path, time.monotonic()))

    def _receive_multicast(self, datagram: bytes, path: Path) -> None:
        if time.monotonic() >= self._deaf_until:
            self._receive(datagram, path)

    def deafen(self, seconds: float) -> None:
        """Lose all multicast for a while.  Raises `LocalError` but in a demonstration."""
        if not self._rehearses:
            raise LocalError("this member doesn't run for gcks demo")
        self._deaf_until = time.monotonic() + seconds

    def _timeout(self) -> None:
        self._timer_at = None
        try:
            outcome = self.engine.handle_timeout(time.monotonic())
        except Exception as error:
            # A member that looks alive and follows nothing would be worse.
            self._fail(LocalError(f"internal error: {error!r}"))
            return
        self._carry_out(outcome)

    def _carry_out(self, outcome: MemberChange) -> None:
        if self._key_log is not None:
            self._key_log.add(outcome.keys)
        for command in outcome.data_plane:
            self._command(command)
        for transmit in outcome.transmits:
            self._send(transmit)
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

    def _dropped(self, event: DatagramDropped) -> None:
        self._tell((event,))

    def _send(self, transmit: Transmit) -> None:
        if transmit.path.stream:
            self._over_tcp(transmit)
            return
        port = self._ports.get(transmit.path.local)
        if port is not None:
            port.send(transmit.octets, transmit.path)

    def _over_tcp(self, transmit: Transmit) -> None:
        if self._connection is None:
            path = transmit.path
            self._connection = Connection(
                path.local.host, path.remote, self._receive, self._dropped
            )
        self._connection.send(transmit.octets, transmit.path)

    def _set_timer(self, at: float | None) -> None:
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, at
        if at is not None:
            delay = max(0.0, at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._timeout)

    # --- the data plane -------------------------------------------------------------

    def _command(self, command: DataPlaneCommand) -> None:
        try:
            if isinstance(command, JoinMulticast):
                self._join(command)
            elif isinstance(command, LeaveMulticast):
                self._leave(command)
            else:
                self._sas.put(command)
        except LocalError as error:
            self._fail(error)

    def _join(self, command: JoinMulticast) -> None:
        group = Endpoint(command.address, command.port)
        port, count = self._joined.get(group, (None, 0))
        if port is None:
            local = next(iter(self._ports)).host
            sock = multicast_receiver(group, command.interface, local)
            port = UdpPort(sock, self._receive_multicast, self._dropped, natt=False)
        self._joined[group] = (port, count + 1)

    def _leave(self, command: LeaveMulticast) -> None:
        group = Endpoint(command.address, command.port)
        found = self._joined.pop(group, None)
        if found is None:
            return
        port, count = found
        if count > 1:
            self._joined[group] = (port, count - 1)
        else:
            port.close()

    def _fail(self, error: LocalError) -> None:
        self._failure = error
        self._stopped.set()


def _jitter(limit: float) -> float:
    return random.SystemRandom().uniform(0.0, limit)


def _source_address(server: Endpoint) -> str:
    """Return the address that this host uses towards the server."""
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(tuple(server))
        except OSError as error:
            raise LocalError(f"no route to the key server {server}: {error.strerror}") from None
        return str(sock.getsockname()[0])


def run(config: MemberConfig, key_log: KeyLogFile | None = None, *, rehearses: bool = False) -> int:
    """Run a member to its end; return the exit code."""
    runtime = partial(MemberRuntime, config, key_log=key_log, rehearses=rehearses)
    return run_to_end(lambda: runtime().run(), PROGRAM)
