"""What the daemon asks of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gcks.journal import JournalEntry, StoredGroup


class Store(Protocol):
    """All methods raise `LocalError` with what the operator should do."""

    def load(self) -> tuple[StoredGroup, ...]:
        """Return every group as the journal left it."""

    def load_group(self, name: str) -> StoredGroup | None:
        """Return one group as the journal left it; None where it left nothing of it."""

    def apply(self, entries: Sequence[JournalEntry]) -> None:
        """Apply entries in order, all or none; durable on return."""

    def close(self) -> None: ...
