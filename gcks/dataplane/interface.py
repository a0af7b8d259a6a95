"""What the member daemon asks of a data plane."""

from __future__ import annotations

from typing import Protocol

from gcks.errors import LocalError
from gcks.member.data_plane import ActivateSa, InstallSa, RemoveSa


class ReceiveOnly(LocalError):
    """The SA is installed and works inbound; this data plane can't send on it."""


SaCommand = InstallSa | ActivateSa | RemoveSa


class DataPlane(Protocol):
    """Carries out commands in the order given."""

    async def apply(self, command: SaCommand) -> None:
        """Carry out one command.  Raises `LocalError` naming cause and remedy.

        `ReceiveOnly` where the SA is installed all the same.
        """

    async def close(self) -> None:
        """Remove everything that was installed."""
