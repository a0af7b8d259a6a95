"""What one call into the member decides: a `Change` with what its data plane and a key log get."""

from __future__ import annotations

from dataclasses import dataclass, field

from gcks.change import Change
from gcks.group.sa_key_log_entry import KeyLogEntry
from gcks.member.data_plane import DataPlaneCommand


@dataclass(slots=True)
class MemberChange(Change):
    """Execute `data_plane` in order, then send `transmits`."""

    data_plane: list[DataPlaneCommand] = field(default_factory=list)
    keys: list[KeyLogEntry] = field(default_factory=list)
    """Keys that are now in use, for a key log, if the operator wants one."""

    def add(self, other: Change) -> None:
        """Append all that another decision led to; `next_timeout` is the caller's to set."""
        Change.add(self, other)
        if isinstance(other, MemberChange):
            self.data_plane += other.data_plane
            self.keys += other.keys
