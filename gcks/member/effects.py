"""Collects what one call into the engine leads to, in order."""

from __future__ import annotations

from collections.abc import Iterable

from gcks.datagrams import Transmit
from gcks.events import Event
from gcks.group.sa_key_log_entry import KeyLogEntry
from gcks.member.data_plane import DataPlaneCommand


class Effects:
    """Lives for one call; the engine turns it into a `MemberOutcome`."""

    __slots__ = ("data_plane", "events", "keys", "transmits")

    def __init__(self) -> None:
        self.transmits: list[Transmit] = []
        self.events: list[Event] = []
        self.data_plane: list[DataPlaneCommand] = []
        self.keys: list[KeyLogEntry] = []

    def send(self, transmits: Iterable[Transmit]) -> None:
        """Add datagrams."""
        self.transmits.extend(transmits)

    def tell(self, event: Event) -> None:
        """Add an event."""
        self.events.append(event)

    def do(self, commands: Iterable[DataPlaneCommand]) -> None:
        """Add commands for the data plane, in order."""
        self.data_plane.extend(commands)

    def agree(self, keys: Iterable[KeyLogEntry]) -> None:
        """Add keys that are now in use, for a key log."""
        self.keys.extend(keys)
