"""Who is no longer a member, and how the others go on without (RFC 9838 sections 2.4.3, 3.2.1).

With a key tree one message makes new keys for everybody else; it changes nothing
but the Rekey SA.  A second one, under the new Rekey SA, brings new Data-Security
SAs: the first could still be read by those it shuts out.  Without a tree they know
the key that wraps all others: the group starts over, and everybody registers again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from math import inf
from typing import Final

from gcks.crypto.key_wrap import kwk_octets
from gcks.events import Event, GroupEnded, GroupStartedOver, MemberLeft
from gcks.journal import (
    GroupRemoved,
    JournalEntry,
    MemberRemoved,
    MembersRemoved,
    RenewalDue,
    SenderIdsReserved,
)
from gcks.keyserver.groups.copies import Due
from gcks.keyserver.groups.exclusions import CERTIFICATE, Exclusions
from gcks.keyserver.groups.globs import Globs
from gcks.keyserver.groups.group_outcome import GroupOutcome, merged
from gcks.keyserver.groups.key_tree import TreeChange
from gcks.keyserver.groups.policy import LKH, GroupPolicy
from gcks.keyserver.groups.rekeying import delete_everything
from gcks.keyserver.groups.renewing import RenewedSas
from gcks.keyserver.groups.restoring import terms_of
from gcks.keyserver.groups.sa_set import REKEY
from gcks.keyserver.groups.sender_ids import SenderIdCounter
from gcks.keyserver.groups.spi import SpiPool
from gcks.keyserver.groups.tree_keeper import MAX_STALE_LEAVES, NO_LEAF, TreeKeeper

EXCLUDED: Final = "excluded"
MAX_EXCLUDED: Final = 4096
"""At one time: more take longer, message after message, than all need to register again."""


LEAVING_HINTS: Final = {
    "NO_PROPOSAL_CHOSEN": "it refuses the group's policy and its own log says what of it: raise "
    "its ceiling, or change the group",
    "AUTHENTICATION_FAILED": "it doesn't accept this server's certificate, key or identity; its "
    "own log says why",
}
"""What to do about members that leave, by the notification that they leave with."""


class Way(Enum):
    """How a group goes on without members that it has excluded."""

    AS_IT_IS = "nothing"
    NEW_DATA_SAS = "new Data-Security SAs"
    """They were rekeyed in-band, and know no Rekey SA."""
    TREE = "the key tree"
    START_OVER = "everybody registers again"


class ExcludingGroup(RenewedSas):
    """SAs with members that come and go."""

    def __init__(
        self,
        policy: GroupPolicy,
        spis: SpiPool,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
    ) -> None:
        super().__init__(policy, spis, entropy, wall)
        self.sender_ids = SenderIdCounter(policy.sender_id_bits)
        self.exclusions = Exclusions(self.name)
        """Whom the operator has shut out."""
        self._tree = self._plant(policy)
        self._shut_out_at = inf
        """When the tree is changed: exclusions until then share a message."""
        self._renew_data_at = inf
        """When those who were shut out lose the Data-Security SAs, too."""
        self._start_over_at = inf
        self._numbered: set[str] = set()
        """Names of SAs whose only sender has begun to number packets."""

    def _plant(self, policy: GroupPolicy) -> TreeKeeper | None:
        if policy.rekey is None or policy.key_management != LKH:
            return None
        return TreeKeeper(self.name, kwk_octets(policy.rekey.kwa), self._entropy)

    def _use(self, policy: GroupPolicy) -> None:
        super()._use(policy)
        self.sender_ids.limit = 1 << policy.sender_id_bits

    @property
    def _departures_at(self) -> float:
        return min(self._shut_out_at, self._renew_data_at, self._start_over_at)

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """Say what the group is about to do because somebody is gone."""
        waiting = {
            "a rekey that shuts members out": self._shut_out_at,
            "new Data-Security SAs": self._renew_data_at,
            "everybody's registration": self._start_over_at,
        }
        return tuple(what for what, at in waiting.items() if at < inf)

    @property
    def can_exclude(self) -> bool:
        """Tell whether single members can be shut out without troubling all others."""
        return self._tree is not None or self.policy.rekey is None

    # --- leaving ----------------------------------------------------------------------

    def leave(self, identity: str, cause: str, now: float) -> GroupOutcome:
        """Remove a GM that says it leaves (section 2.3.2).

        It still knows its keys: it is shut out at once only where the policy says
        so, else with the next change of the tree.
        """
        if identity not in self.members:
            return GroupOutcome()
        journal, event = self._remove(identity, cause)
        stale = len(self._tree.stale) if self._tree is not None else 0
        if stale and (self.policy.forward_access or stale >= MAX_STALE_LEAVES):
            self._plan_shutting_out(now)
        elif self.policy.forward_access:
            soon = now + self.policy.exclusion_window_seconds
            self._renew_data_at = min(self._renew_data_at, soon)
            journal.append(RenewalDue(self.name, due=True))  # no stale leaf tells it
        return GroupOutcome(tuple(journal), (), (event,))

    def order_exclusion(
        self,
        kind: str,
        names: Iterable[str],
        now: float,
        by: str,
        *,
        about: str = "",
        immediate: bool = False,
        found: Sequence[str] | None = None,
    ) -> GroupOutcome:
        """Shut out whom the operator names, members or not, until the exclusion is lifted.

        `kind`, `names` and `about` as in `ExclusionSaved`; `found` is what `named` says of them,
        where that is known.  Raises `LocalError`, and then nothing
        has changed.
        """
        names = tuple(names)
        journal = self.exclusions.add(kind, names, self._wall(), by, about)
        excluded = self.exclude(self.named(kind, names) if found is None else found, now)
        if immediate and self._shut_out_at < inf:
            self._shut_out_at = now
        return merged([GroupOutcome(tuple(journal)), excluded])

    def lift_exclusion(self, kind: str, names: Iterable[str]) -> GroupOutcome:
        """Let them register again.  Raises `LocalError` for what isn't excluded."""
        return GroupOutcome(tuple(self.exclusions.lift(kind, names)))

    def named(self, kind: str, names: Sequence[str]) -> list[str]:
        """Return the members that the names of an exclusion stand for."""
        if kind == CERTIFICATE:
            return self.members.holders({bytes.fromhex(name) for name in names})
        return self.members.named(Globs(names))

    def exclude(self, identities: Iterable[str], now: float, cause: str = EXCLUDED) -> GroupOutcome:
        """Shut members out: they read nothing that is sent after the group has changed its keys."""
        journal: list[JournalEntry] = []
        events: list[Event] = []
        excluded = [one for one in identities if one in self.members]
        way = self.way_without(excluded, self.policy)
        for identity in excluded:
            removed, event = self._remove(identity, cause)
            journal += removed
            events.append(event)
        outcome = GroupOutcome(
            tuple(journal), (), tuple(events), excluded=tuple((self.name, one) for one in excluded)
        )
        return merged([outcome, self._go(way, now)])

    def way_without(self, identities: Sequence[str], policy: GroupPolicy) -> Way:
        """Tell how the group goes on when these members are excluded under that policy."""
        if not identities:
            return Way.AS_IT_IS
        leaves = sum(not self._is_inband(one, policy) for one in identities)
        if not leaves:
            return Way.NEW_DATA_SAS
        stale = len(self._tree.stale) if self._tree is not None else 0
        if self._tree is None or stale + leaves > MAX_EXCLUDED:
            return Way.START_OVER
        return Way.TREE

    def _is_inband(self, identity: str, policy: GroupPolicy) -> bool:
        """Tell whether a member is rekeyed over its IKE SA, and knows no Rekey SA."""
        member = self.members.get(identity)
        return policy.is_inband(sender=member is not None and member.sender)

    def _go(self, way: Way, now: float) -> GroupOutcome:
        """Take the keys from those that were removed.

        At once but with a tree, whose stale leaves are in the journal: a killed server
        must not forget it.
        """
        if way is Way.START_OVER:
            return self._start_over(now)
        if way is Way.NEW_DATA_SAS:
            return self._renew([name for name in self._all_names() if name != REKEY], now)
        if way is Way.TREE:
            self._plan_shutting_out(now)
        return GroupOutcome()

    def _remove(self, identity: str, cause: str) -> tuple[list[JournalEntry], MemberLeft]:
        journal: list[JournalEntry] = [MemberRemoved(self.name, identity)]
        member = self.members.get(identity)
        if self._tree is not None and member is not None and member.leaf != NO_LEAF:
            journal += self._tree.unseat(member.leaf)
        self.members.remove(identity)
        address = member.address if member is not None else ""
        hint = LEAVING_HINTS.get(cause, "")
        return journal, MemberLeft(self.name, identity, address, cause, len(self.members), hint)

    def _plan_shutting_out(self, now: float) -> None:
        self._shut_out_at = min(self._shut_out_at, now + self.policy.exclusion_window_seconds)

    def _remind(self, now: float) -> GroupOutcome:
        """Remind nobody of SAs that are about to be replaced because somebody knows them."""
        if min(self._shut_out_at, self._renew_data_at) < inf:
            self._reminders.take()
            return GroupOutcome()
        return super()._remind(now)

    # --- going on without ---------------------------------------------------------------

    def _departures_due(self, now: float) -> list[GroupOutcome]:
        outcomes: list[GroupOutcome] = []
        if now >= self._start_over_at:
            outcomes.append(self._start_over(now))
        if now >= self._shut_out_at:
            outcomes.append(self._shut_out(now))
        if now >= self._renew_data_at:
            self._renew_data_at = inf
            # Who must not learn the policy either gets to know one KEK less (section 3.2.1).
            names = self._all_names()
            hidden = self.policy.hide_policy
            outcomes.append(self._renew([n for n in names if hidden or n != REKEY], now))
            settled = self._tree.settled() if self._tree is not None else []
            settled.append(RenewalDue(self.name, due=False))
            outcomes.append(GroupOutcome(tuple(settled)))
        return outcomes

    def _shut_out(self, now: float) -> GroupOutcome:
        """Send the one message that everybody but those who left can follow.

        Where one has no room for all of them, each of several leaves every member
        with a Rekey SA of its own, and the next comes over that.
        """
        if self._tree is None:
            return GroupOutcome()
        someone_left = bool(self._tree.stale)
        change, journal = self._tree.change()
        rekey = self.policy.rekey
        until = now + (rekey.spread_seconds if rekey is not None else 0.0)
        self._shut_out_at = until if self._tree.stale else inf
        if someone_left:
            self._renew_data_at = until  # once all copies of this are out
        return merged([GroupOutcome(tuple(journal)), self._renew_by_tree(change, now)])

    def _renew_by_tree(self, change: TreeChange, now: float) -> GroupOutcome:
        """Renew the Rekey SA alone; its SA_KEY is wrapped under the keys of the tree."""
        if not change.tops:
            return GroupOutcome(tuple(self._replace([REKEY], [], now)))  # nobody to tell
        return super()._renew([REKEY], now, change)

    def _renew(
        self, names: Iterable[str], now: float, change: TreeChange | None = None
    ) -> GroupOutcome:
        """Renew SAs; who has left meanwhile is shut out with the Rekey SA."""
        wanted = list(dict.fromkeys(names))
        tree = self._tree
        if change is not None or REKEY not in wanted or tree is None or not tree.wants_change:
            return super()._renew(wanted, now, change)
        first = self._shut_out(now)
        configured = self._all_names()
        later = configured if self._renew_data_at < inf else [REKEY]
        rest = [name for name in wanted if name not in later]
        return merged([first, super()._renew(rest, now)]) if rest else first

    def _start_over(self, now: float, policy: GroupPolicy | None = None) -> GroupOutcome:
        """Delete all SAs, forget all members, number senders from zero (sections 2.4.3, 2.5.1).

        What registration alone tells may change with it: the group goes on under `policy`.
        """
        self._start_over_at = self._renew_data_at = self._shut_out_at = inf
        self._brought_rekey_sa = None
        over, count = self.sas.current.get(REKEY), len(self.members)
        journal: list[JournalEntry] = []
        if over is not None:
            journal += self._tell(delete_everything(), over, self._take_message_id(), now)
        self._reminders.end()  # nobody knows the new SAs yet
        dismissed = self._rekeyed_inband()
        self.members.clear()
        self._numbered.clear()
        self.sender_ids.next = 0
        journal += [MembersRemoved(self.name), SenderIdsReserved(self.name, 0)]
        journal.append(RenewalDue(self.name, due=False))
        if policy is not None:
            journal += self._begin_terms(policy)
        elif self._tree is not None:
            self._tree.clear()
        names = self._all_names()
        journal += self._replace(names, [n for n in self.sas.current if n not in names], now)
        dropped = [sa for sa in self.sas.replaced if sa is not over]
        self.sas.replaced.clear()
        journal += self.sas.deleted(dropped)
        event = GroupStartedOver(self.name, count)
        told = GroupOutcome(
            tuple(journal), (), (event, *self._created_events()), dismissed=dismissed
        )
        return merged([told, self._send_due(now)])

    def _begin_terms(self, policy: GroupPolicy) -> list[JournalEntry]:
        """Take over what only those that register from now on are told."""
        before = terms_of(self.policy).authentication
        self._use(policy)
        self._tree = self._plant(policy)
        journal: list[JournalEntry] = [terms_of(policy)]
        if terms_of(policy).authentication != before:
            journal += self._make_auth_key(policy.rekey)
        return journal

    def end(self, now: float) -> GroupOutcome:
        """Delete all SAs of a group that is no longer served (section 2.4.3).

        All copies go out at once: there will be nobody to send them later.
        """
        over, due = self.sas.current.get(REKEY), Due()
        if over is not None:
            self._tell(delete_everything(), over, self._take_message_id(), now)
            due = self._outbox.take_all()
        event = GroupEnded(self.name, len(self.members))
        events = (event, *due.events)
        gone = (GroupRemoved(self.name),)
        return GroupOutcome(gone, tuple(due.transmits), events, dismissed=self._rekeyed_inband())

    def _rekeyed_inband(self) -> tuple[tuple[str, str], ...]:
        """Return who is told over its IKE SA that everything is deleted."""
        if self.policy.rekey is not None and not self.policy.inband_senders:
            return ()
        return tuple((self.name, one) for one in self.members.identities())
