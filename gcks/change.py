"""What one call into an engine decides: plain data that the edge and the front carry out.

Everything in `journal` is made durable *before* any of `transmits` leaves.  There is
one type for the consequences of a decision, from the group that makes it to the edge
that carries it out, so that nothing can be lost where one record is copied into another.
A call makes a `Change`, hands it down, and whoever decides something writes it there;
what a part decides on its own trial is joined by `Change.add`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gcks.datagrams import Transmit
from gcks.errors import LocalError
from gcks.events import Event
from gcks.journal import JournalEntry


@dataclass(frozen=True, slots=True)
class MakeKey:
    """A key pair is to be made beside the loop; the result is its PKCS#8 DER."""

    algorithm: str
    """As in a policy: "rsa-pss"."""


@dataclass(frozen=True, slots=True)
class LoadGroup:
    """A group is to be read from the store again; the result is its journal entries."""

    group: str


Need = MakeKey | LoadGroup
"""What a decision may wait for."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A decision goes on when what it needs is there: `resume(token, result, now)`.

    The edge meets the need once everything in the same `Change` and before it is durable.
    Where the need can't be met, the result is a `LocalError` that says why.
    """

    token: int
    need: Need


@dataclass(slots=True)
class Change:
    """The consequences of one call, in the order in which they were decided."""

    journal: list[JournalEntry] = field(default_factory=list)
    transmits: list[Transmit] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    waits: list[Waiting] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)
    """Tokens that nothing waits for any more: requests that were paused for them go on."""
    to_push: dict[str, None] = field(default_factory=dict)
    """Groups whose SAs have changed: GMs that are rekeyed in-band are to be told; in order."""
    parted: list[tuple[str, str]] = field(default_factory=list)
    """Group and identity of members that are none any more: nothing is pushed to them."""
    deleted_inband: list[str] = field(default_factory=list)
    """Groups whose GMs that are rekeyed in-band are told that all SAs are deleted."""
    unproved: list[str] = field(default_factory=list)
    """Identities that could not authenticate any more: their IKE SAs are deleted."""
    refusal: LocalError | None = None
    """Why an order was refused; what is in the change was decided all the same."""
    next_timeout: float | None = None
    """Monotonic seconds at which `handle_timeout` wants to be called; None: not at all."""

    def add(self, other: Change) -> None:
        """Append all that a decision led to; `refusal` and `next_timeout` are the caller's."""
        self.journal += other.journal
        self.transmits += other.transmits
        self.events += other.events
        self.waits += other.waits
        self.resumed += other.resumed
        self.to_push |= other.to_push
        self.parted += other.parted
        self.deleted_inband += other.deleted_inband
        self.unproved += other.unproved
