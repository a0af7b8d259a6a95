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
from collections.abc import Callable, Sequence
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
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )
        except OSError as error:
            raise LocalError(f"can't run the hook {self._command[0]}: {error.strerror}") from None
        try:
            async with asyncio.timeout(self._timeout):
                _, complaint = await process.communicate(octets)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise LocalError(f"the hook took longer than {self._timeout:g} s") from None
        if process.returncode:
            said = complaint.decode(errors="replace").strip()[-_MAX_ERROR_CHARACTERS:]
            raise LocalError(f"the hook failed with {process.returncode}: {said}")

    async def close(self) -> None:
        """Tell the hook to remove what is left."""
        for sa in tuple(self._installed.values()):
            await self.apply(RemoveSa(sa.group, sa.protocol, sa.spi))
