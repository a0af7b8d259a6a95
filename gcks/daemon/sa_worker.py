"""Carries out what a member asks of its data plane, in order, and tells what didn't work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from gcks.dataplane.interface import DataPlane, ReceiveOnly, SaCommand
from gcks.errors import LocalError
from gcks.events import DataPlaneFailed, Event, ReceivesOnly, SaChange
from gcks.iana import ProtocolId
from gcks.member.data_plane import ActivateSa, InstallSa, RemoveSa
from gcks.member.status import GroupStatus, MemberStatus

MAX_COMMANDS: Final = 10_000
"""Commands that wait; more means that the data plane hangs."""

_CHANGES: Final = {
    InstallSa: SaChange.INSTALL,
    ActivateSa: SaChange.ACTIVATE,
    RemoveSa: SaChange.REMOVE,
}
_Key = tuple[str, ProtocolId, bytes]


class SaWorker:
    """One command at a time; a failed one stops nothing."""

    def __init__(self, plane: DataPlane, tell: Callable[[Sequence[Event]], None]) -> None:
        self._plane, self._tell = plane, tell
        self._commands: asyncio.Queue[SaCommand] = asyncio.Queue(MAX_COMMANDS)
        self._missing: dict[_Key, str] = {}
        """SAs that should be installed and aren't, and why."""
        self._idle: dict[_Key, str] = {}
        """SAs that should be sent on and aren't, and why."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self.run())

    def put(self, command: SaCommand) -> None:
        """Take a command.  Raises `LocalError` where too many wait."""
        try:
            self._commands.put_nowait(command)
        except asyncio.QueueFull:
            raise LocalError("the data plane hangs: too many commands wait") from None

    async def settled(self) -> None:
        """Wait until nothing is left to do."""
        await self._commands.join()

    async def close(self) -> None:
        """Do nothing more, and remove what is installed."""
        if self._task is not None:
            self._task.cancel()
        await self._plane.close()

    async def run(self) -> None:
        while True:
            command = await self._commands.get()
            try:
                await self._apply(command)
            finally:
                self._commands.task_done()

    async def _apply(self, command: SaCommand) -> None:
        key = (command.group, command.protocol, command.spi)
        if isinstance(command, ActivateSa):
            if key in self._missing:
                return  # which was told
        else:
            self._missing.pop(key, None)
            self._idle.pop(key, None)
        try:
            await self._plane.apply(command)
        except ReceiveOnly as error:
            self._idle[key] = str(error)
            self._tell((ReceivesOnly(command.group, command.spi.hex(), str(error)),))
        except Exception as error:  # the SAs that follow are to be installed, and removed
            known = isinstance(error, LocalError)
            cause = str(error) if known else f"internal error: {type(error).__name__}"
            self._note(command, key, cause)

    def _note(self, command: SaCommand, key: _Key, cause: str) -> None:
        if isinstance(command, InstallSa):
            self._missing[key] = cause
        elif isinstance(command, ActivateSa):
            self._idle[key] = cause
        change = _CHANGES[type(command)]
        self._tell((DataPlaneFailed(command.group, change, command.spi.hex(), cause),))

    # --- what the screen shows ---------------------------------------------------------

    def marked(self, status: MemberStatus) -> MemberStatus:
        """Return the status as the data plane has it, and not as it was asked for."""
        if not self._missing and not self._idle:
            return status
        return replace(status, groups=tuple(map(self._marked, status.groups)))

    def _marked(self, group: GroupStatus) -> GroupStatus:
        missing, idle = _of_group(self._missing, group.group), _of_group(self._idle, group.group)
        sas = tuple(
            replace(sa, active_outbound=False) if sa.spi in missing or sa.spi in idle else sa
            for sa in group.data_sas
        )
        causes = [group.last_error, *missing.values(), *idle.values()]
        error = "; ".join(dict.fromkeys(filter(None, causes)))
        return replace(group, data_sas=sas, sas_not_installed=len(missing), last_error=error)


def _of_group(causes: Mapping[_Key, str], group: str) -> dict[str, str]:
    """Return the causes of one group by SPI, in hexadecimal."""
    return {spi.hex(): cause for (name, _, spi), cause in causes.items() if name == group}
