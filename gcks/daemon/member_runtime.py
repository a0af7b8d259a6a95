"""The group member at the edge: unicast and multicast sockets, clock, data plane."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from gcks import __version__
from gcks.daemon.addresses import own_addresses
from gcks.daemon.audience import Audience, Watch
from gcks.daemon.config.loaded import MemberConfig
from gcks.daemon.control.event_lines import Wanted
from gcks.daemon.control.member_answers import MemberRequest, answer_member, read_member_request
from gcks.daemon.credential_watch import CredentialWatch
from gcks.daemon.engine_loop import EngineLoop
from gcks.daemon.key_log_file import KeyLogFile
from gcks.daemon.member_sockets import MemberSockets
from gcks.daemon.metrics import MemberMetrics
from gcks.daemon.multicast import check_receiver
from gcks.daemon.multicast_joins import MulticastJoins
from gcks.daemon.process import run_to_end
from gcks.daemon.sa_worker import SaWorker
from gcks.daemon.service import Service
from gcks.dataplane.choose import make_data_plane
from gcks.errors import LocalError
from gcks.events import MemberStarted, MemberStopping
from gcks.member.change import MemberChange
from gcks.member.data_plane import DataPlaneCommand, JoinMulticast, LeaveMulticast
from gcks.member.engine import MemberEngine
from gcks.member.settings import MemberSettings
from gcks.member.status import MemberStatus

STOP_SECONDS: Final = 2.0
"""How long a stopping member waits for the GCKS to hear that it leaves."""

LEAVE_SECONDS: Final = 5.0
"""The same where an operator has ordered it."""
_LOOK_SECONDS: Final = 0.05
_NOT_TOLD: Final = (
    "left here, but the server {} couldn't be told ({}): it counts this member in until its group "
    "starts over, or `gcks exclude` shuts it out there"
)

PROGRAM: Final = "gcks-member"


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
        self.config, self._rehearses = config, rehearses
        self._audience: Audience[MemberRequest] = Audience(config.logs, watch)
        self._key_log = key_log
        if key_log is not None:
            key_log.warn(self._audience.tell)
        self._service = Service()

    async def run(self, ready: Callable[[], object] | None = None) -> None:
        """Be a member until told to stop.  Raises `LocalError`."""
        config, audience = self.config, self._audience
        self._handle_signals()  # they count from the very start
        self._sockets = MemberSockets(config.settings)
        local = self._sockets.local
        check_receiver(config.settings.interface, local.host)
        self.engine = self._make_engine()
        self._sas = SaWorker(make_data_plane(config.data_plane), audience.tell)
        self.metrics = MemberMetrics(
            self.status,
            lambda: self.engine.credentials,
            send_errors=lambda: self._sockets.send_errors,
        )
        await audience.show(self.metrics, config.metrics)
        self._loop: EngineLoop[MemberChange] = EngineLoop(
            self.engine, self._carry, self._service.fail
        )
        receive, drop = self._loop.receive, audience.note
        self._joins = MulticastJoins(local.host, receive, drop, rehearses=self._rehearses)
        self._sas.start()
        await audience.listen(config.control, read_member_request, partial(answer_member, self))
        self._sockets.open(receive, drop)
        credentials = CredentialWatch(
            config.credential_source, self.engine.renew_credentials, audience.tell
        )
        credentials.start()
        await self._belong(ready)
        credentials.stop()
        await self._close()
        self._service.raise_failure()

    async def _belong(self, ready: Callable[[], object] | None) -> None:
        self.metrics.loop_lag.start()
        self._audience.note(self._started())
        self._loop.decide(self.engine.start)
        if ready is not None:
            ready()
        self._service.ready(str(self.config.settings.identity))
        await self._service.wait_for_the_end()
        failed = self._service.failure is not None
        self._audience.note(MemberStopping(self._service.cause, failed=failed))

    def _make_engine(self) -> MemberEngine:
        return MemberEngine(
            self._settings(),
            self.config.credentials,
            self.config.ceiling,
            entropy=os.urandom,
            wall=time.time,
            jitter=_jitter,
        )

    def _settings(self) -> MemberSettings:
        """Return what was configured, with what the sockets were given."""
        settings = self.config.settings
        return replace(
            settings,
            local=self._sockets.local,
            local_natt_port=self._sockets.natt_port,
            data_addresses=settings.data_addresses or own_addresses(),
        )

    def _started(self) -> MemberStarted:
        settings = self.config.settings
        groups = tuple(str(membership.id) for membership in settings.groups)
        server, config = str(settings.server), str(self.config.source or "--dev")
        return MemberStarted(__version__, config, str(settings.identity), server, groups)

    def _handle_signals(self) -> None:
        self._service.stop_on(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    # --- the end --------------------------------------------------------------------

    def stop(self, cause: str = "told to") -> None:
        """Give up what is held, and end."""
        self._service.stop(cause)

    async def leave(self) -> None:
        """Leave the groups by an operator's order, and end.

        Raises `LocalError` where the server couldn't be told.
        """
        cause = "an operator's order to leave"
        self._loop.decide(partial(self.engine.leave, cause=cause, insist=True))
        await self._depart(LEAVE_SECONDS, lambda: self.engine.departing)
        self.stop(cause)
        if self.engine.untold:
            raise LocalError(_NOT_TOLD.format(self.config.settings.server, self.engine.untold))

    async def _depart(self, seconds: float, goes_on: Callable[[], bool]) -> None:
        """Let the engine tell the server that this member leaves; not for ever."""
        try:
            async with asyncio.timeout(seconds):
                while goes_on():
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            cause = f"no answer within {seconds:.0f} s"
            self._loop.decide(partial(self.engine.give_up, cause))

    async def _close(self) -> None:
        self._service.close()
        self.metrics.loop_lag.stop()
        self._audience.close()
        # An engine that has broken down says nothing; the SAs are removed all the same.
        with contextlib.suppress(LocalError):
            self._loop.decide(partial(self.engine.leave, cause=self._service.cause))
        await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._sas.settled()
        with contextlib.suppress(LocalError):
            await self._depart(STOP_SECONDS, lambda: self._loop.next_timeout is not None)
        self._loop.stop()
        self._sockets.close()
        self._joins.close()
        try:
            await self._sas.close()
        except LocalError as error:
            self._service.fail(error)  # unless there was a cause before

    # --- carrying out ---------------------------------------------------------------

    def _carry(self, outcome: MemberChange) -> None:
        if self._key_log is not None:
            self._key_log.add(outcome.keys)
        for command in outcome.data_plane:
            self._command(command)
        for transmit in outcome.transmits:
            self._sockets.send(transmit)
        if outcome.events:
            self._audience.tell(outcome.events)

    def _command(self, command: DataPlaneCommand) -> None:
        try:
            if isinstance(command, JoinMulticast):
                self._joins.join(command)
            elif isinstance(command, LeaveMulticast):
                self._joins.leave(command)
            else:
                self._sas.put(command)
        except LocalError as error:
            self._service.fail(error)

    # --- what is asked of the running member ----------------------------------------

    def deafen(self, seconds: float) -> None:
        """Lose all multicast for a while.  Raises `LocalError` but in a demonstration."""
        self._joins.deafen(seconds)

    def last_events(self, most: int, wanted: Wanted) -> list[dict[str, Any]]:
        """Return what happened, for the control socket."""
        return self._audience.last_events(most, wanted)

    def status(self) -> MemberStatus:
        return self._sas.marked(self.engine.status(time.monotonic()))


def _jitter(limit: float) -> float:
    return random.SystemRandom().uniform(0.0, limit)


def run(config: MemberConfig, key_log: KeyLogFile | None = None, *, rehearses: bool = False) -> int:
    """Run a member to its end; return the exit code."""
    runtime = partial(MemberRuntime, config, key_log=key_log, rehearses=rehearses)
    return run_to_end(lambda: runtime().run(), PROGRAM)
