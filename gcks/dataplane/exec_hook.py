"""The data plane that runs a command for each change, with one JSON object on its input.

The object has `schema_version` 1, `command` (install_sa, activate_sa or
remove_sa) and the command's fields; octets are hexadecimal.  It holds the keys,
since a hook that installs SAs needs them: a hook must not log its input.

`label`, `aggfrag` and `ipcomp` are "" and null unless `data_plane.features` says
that the hook can do them; then it must, or nobody can read the packets.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, Final

from gcks.dataplane.interface import SaCommand
from gcks.errors import LocalError
from gcks.iana import IpcompTransform
from gcks.member.data_plane import InstallSa, RemoveSa
from gcks.wire.sa_usage import AggFrag, IpComp
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform

SCHEMA_VERSION: Final = 1
_MAX_ERROR_CHARACTERS: Final = 200
_MAX_ERROR_OCTETS: Final = 4 * _MAX_ERROR_CHARACTERS
_READ_OCTETS: Final = 1 << 16
_LAST_READS: Final = 16
"""A pipe holds no more."""
_ENVIRONMENT: Final = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ")
"""What a hook gets of the daemon's environment, in which secrets may stand."""


def as_json(command: SaCommand) -> str:
    """Return the JSON object of a command, on one line."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(command).__name__).lower()
    fields = {f.name: _plain(getattr(command, f.name)) for f in dataclasses.fields(command)}
    return json.dumps({"schema_version": SCHEMA_VERSION, "command": name, **fields})


def _transform(value: Transform) -> object:
    return {
        "type": value.type,
        "id": value.id,
        "key_length": value.key_length,
        "name": str(value),
    }


def _selector(value: TrafficSelector) -> object:
    return {
        "start_address": value.start_address.hex(),
        "end_address": value.end_address.hex(),
        "ip_protocol": value.ip_protocol,
        "start_port": value.start_port,
        "end_port": value.end_port,
        "text": str(value),
    }


def _aggfrag(value: AggFrag) -> object:
    return {"dont_fragment": value.dont_fragment}


def _ipcomp(value: IpComp) -> object:
    name = str(IpcompTransform(value.transform))
    return {"cpi": value.cpi, "transform": value.transform, "name": name}


_PLAIN: Final[dict[type, Callable[[Any], object]]] = {
    bytes: bytes.hex,
    Transform: _transform,
    TrafficSelector: _selector,
    AggFrag: _aggfrag,
    IpComp: _ipcomp,
}


def _plain(value: object) -> object:
    if type(value) in _PLAIN:
        return _PLAIN[type(value)](value)
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name.lower()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


class _Complaint:
    """The end of what a hook writes to standard error, even if it writes much or leaves it open."""

    def __init__(self) -> None:
        self._fd, self.end = os.pipe()
        os.set_blocking(self._fd, False)
        self._tail = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._take)

    def _take(self) -> bool:
        """Read what there is; tell whether there may be more."""
        try:
            octets = os.read(self._fd, _READ_OCTETS)
        except BlockingIOError:
            return False
        if not octets:
            self._loop.remove_reader(self._fd)  # the end
            return False
        self._tail = (self._tail + octets)[-_MAX_ERROR_OCTETS:]
        return True

    def close(self) -> str:
        """Return it."""
        os.close(self.end)
        for _ in range(_LAST_READS):
            if not self._take():
                break
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        return self._tail.decode(errors="replace").strip()[-_MAX_ERROR_CHARACTERS:]


class ExecDataPlane:
    """Runs the hook once per command, one after the other."""

    def __init__(self, command: Sequence[str], timeout_seconds: float) -> None:
        if not command:
            raise LocalError("data_plane.command is empty; name the hook to run")
        self._command = tuple(command)
        self._timeout = timeout_seconds
        self._installed: dict[tuple[int, bytes], InstallSa] = {}

    async def apply(self, command: SaCommand) -> None:
        """Run the hook.  Raises `LocalError` where it can't be run, fails or takes too long."""
        key = (command.protocol, command.spi)
        if isinstance(command, InstallSa):
            self._installed[key] = command
        elif isinstance(command, RemoveSa):
            self._installed.pop(key, None)
        await self._run(as_json(command).encode())

    async def _run(self, octets: bytes) -> None:
        """Run the hook until it ends; nobody waits for processes that it leaves running."""
        complaint = _Complaint()
        try:
            process = await self._start(octets, complaint)
            try:
                async with asyncio.timeout(self._timeout):
                    await process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
                raise LocalError(f"the hook took longer than {self._timeout:g} s") from None
        finally:
            said = complaint.close()
        if process.returncode:
            raise LocalError(f"the hook failed with {process.returncode}: {said}")

    async def _start(self, octets: bytes, complaint: _Complaint) -> asyncio.subprocess.Process:
        """Start the hook; its input is in memory, so that nobody waits until it reads."""
        with os.fdopen(os.memfd_create("sa"), "w+b", buffering=0) as given:
            given.write(octets)
            given.seek(0)
            try:
                return await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=given,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=complaint.end,
                    env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                    start_new_session=True,
                )
            except OSError as error:
                cause = f"can't run the hook {self._command[0]}: {error.strerror}"
                raise LocalError(cause) from None

    async def close(self) -> None:
        """Tell the hook to remove what is left."""
        for sa in tuple(self._installed.values()):
            await self.apply(RemoveSa(sa.group, sa.protocol, sa.spi))
