"""Groups that the GCKS is to be told of: this member leaves, or refuses their policy.

RFC 9838 section 2.3.2: HDR, SK{IDg, N} over an IKE SA.  One is opened for it where an
operator insists, by GSA_AUTH, which registers once more; the departures follow at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from gcks.iana import NotifyType
from gcks.member.group_member import GroupMember
from gcks.member.gsa_registration import departure_payloads
from gcks.wire.payloads import Payload

MAX_IKE_SAS: Final = 3
"""Tried in order to leave: on a bad network the server may close one before all is said."""


class Departures:
    """What is still to be said, one request after the other."""

    __slots__ = ("_queue", "_under_way", "insists", "leaving", "opened", "untold")

    def __init__(self) -> None:
        self._queue: deque[tuple[GroupMember, NotifyType]] = deque()
        self._under_way: GroupMember | None = None
        self.leaving = False
        """Whether the member leaves for good."""
        self.insists = False
        """Whether an IKE SA is opened to tell the GCKS."""
        self.opened = 0
        """How often that was tried."""
        self.untold = ""
        """Why the GCKS wasn't told; "" if it was."""

    @property
    def pending(self) -> bool:
        """Tell whether there is something left to say, or to be answered."""
        return bool(self._queue) or self._under_way is not None

    @property
    def may_open(self) -> bool:
        """Tell whether another IKE SA is worth a try."""
        return self.pending and self.insists and self.opened < MAX_IKE_SAS

    @property
    def first(self) -> GroupMember | None:
        """The group whose departure is next."""
        return self._queue[0][0] if self._queue else None

    def begin(self) -> None:
        """Take part again."""
        self.forget()
        self.leaving = self.insists = False
        self.untold, self.opened = "", 0

    def refuse(self, group: GroupMember) -> None:
        """Plan to say that a group's policy is unacceptable (section 2.3.1)."""
        self._queue.append((group, NotifyType.NO_PROPOSAL_CHOSEN))

    def leave(self, groups: Iterable[GroupMember], *, insists: bool) -> None:
        """Plan to leave every group that the GCKS may count us in."""
        self.leaving, self.insists = True, insists
        self._queue.clear()
        for group in groups:
            if group.counted_in and group is not self._under_way:
                self._queue.append((group, NotifyType.REGISTRATION_FAILED))

    def next(self) -> tuple[Payload, ...] | None:
        """Return what to say next, and note that it is said."""
        if not self._queue:
            return None
        self._under_way, reason = self._queue.popleft()
        return departure_payloads(self._under_way.terms.membership.id, reason)

    def answered(self) -> None:
        """Note the response: whatever it says, the GCKS knows."""
        if self._under_way is not None:
            self._under_way.counted_in = False
        self._under_way = None

    def interrupted(self) -> None:
        """Say again what was not answered when the IKE SA ended."""
        if self._under_way is not None:
            self._queue.appendleft((self._under_way, NotifyType.REGISTRATION_FAILED))
        self._under_way = None

    def forget(self, cause: str = "") -> None:
        """Say nothing any more, because of that."""
        if self.pending:
            self.untold = cause
        self._queue.clear()
        self._under_way = None
