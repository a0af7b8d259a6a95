"""The data plane that installs nothing: for trying out, and for members that only watch."""

from __future__ import annotations

from gcks.dataplane.interface import SaCommand


class NoDataPlane:
    async def apply(self, command: SaCommand) -> None:
        """Accept the command and do nothing."""

    async def close(self) -> None:
        """Nothing was installed."""
