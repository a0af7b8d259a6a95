"""What a change of a group asks of the edge: plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gcks.datagrams import Transmit
from gcks.events import Event
from gcks.journal import JournalEntry


@dataclass(frozen=True, slots=True)
class GroupOutcome:
    """What a change of the group asks of the edge."""

    journal: tuple[JournalEntry, ...] = ()
    transmits: tuple[Transmit, ...] = ()
    events: tuple[Event, ...] = ()
    renewed: str = ""
    """The group whose SAs have changed: its GMs that are rekeyed in-band are to be told."""
    excluded: tuple[tuple[str, str], ...] = ()
    """Group and identity of members that are none any more: they are rekeyed in-band no longer."""
    dismissed: tuple[tuple[str, str], ...] = ()
    """Group and identity of members that are told in-band that all SAs are deleted."""


def merged(outcomes: Sequence[GroupOutcome]) -> GroupOutcome:
    """Join outcomes in their order."""
    return GroupOutcome(
        tuple(entry for outcome in outcomes for entry in outcome.journal),
        tuple(transmit for outcome in outcomes for transmit in outcome.transmits),
        tuple(event for outcome in outcomes for event in outcome.events),
        next((outcome.renewed for outcome in outcomes if outcome.renewed), ""),
        tuple(one for outcome in outcomes for one in outcome.excluded),
        tuple(one for outcome in outcomes for one in outcome.dismissed),
    )
