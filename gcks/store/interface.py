"""What the daemon asks of a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from gcks.journal import JournalEntry


class Store(Protocol):
    """All methods raise `LocalError` with what the operator should do."""

    def load(self) -> Iterator[JournalEntry]:
        """Yield what the journal has left: entries, group by group, that bring all back."""

    def load_group(self, name: str) -> tuple[JournalEntry, ...]:
        """Return what the journal has left of one group; nothing where there is none."""

    def apply(self, entries: Sequence[JournalEntry]) -> None:
        """Apply entries in order, all or none; durable on return."""

    def close(self) -> None: ...
