"""One group as the GCKS keeps it: members, SAs, Sender-IDs, Message IDs, rekeys.

Every method that changes what a peer may see returns the journal entries that
must be durable first.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from gcks.crypto.key_wrap import kwk_octets
from gcks.crypto.signature import SigningKey
from gcks.errors import AuthorizationFailed, NoProposalChosen, RefusalReason, RegistrationFailed
from gcks.events import (
    Event,
    GroupStarted,
    MembersLockedOut,
    SenderIdsExhausted,
    SenderIdsLow,
)
from gcks.group.spread import SPREAD_VENDOR, spread_notify
from gcks.iana import Kwa
from gcks.journal import (
    GroupRemoved,
    JournalEntry,
    MembersRemoved,
    SenderIdsReserved,
    StoredGroup,
)
from gcks.keyserver.groups.authorization import authorize
from gcks.keyserver.groups.excluding import ExcludingGroup, Way
from gcks.keyserver.groups.group_outcome import GroupOutcome, merged
from gcks.keyserver.groups.key_tree import NodeKey
from gcks.keyserver.groups.live_sa import LiveSa
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.policy_change import (
    PolicyChange,
    changed_options,
    left_outside,
    locked_out,
    start_over_reasons,
)
from gcks.keyserver.groups.registration import (
    KeyWrap,
    Registration,
    RegistrationRequest,
    member_saved,
    registration_payloads,
)
from gcks.keyserver.groups.rekeying import deletes
from gcks.keyserver.groups.restoring import (
    can_go_on,
    claim_spis,
    clock_went_back,
    forget,
    load_sas,
    terms_of,
)
from gcks.keyserver.groups.sa_set import REKEY
from gcks.keyserver.groups.sag import first_mismatch, needs_of
from gcks.keyserver.groups.spi import SpiPool
from gcks.keyserver.groups.tree_keeper import NO_LEAF, MemberKeys
from gcks.keyserver.groups.usage_policy import check_announced
from gcks.wire.payloads import Payload

COALESCE_SECONDS = 1.0
"""SAs due within this time are renewed in one message."""

MIN_RENEWAL_SECONDS = 5.0
"""Age before which an SA isn't renewed because its sender came back: a member that
registers again and again must not make the whole group rekey as often."""

STALE_REKEY_SECONDS = 30.0
"""A stored rekey older than this is repeated and followed by a fresh one: lifetimes
count from receipt, and those of an old message would be skewed (section 2.4.1.3)."""


class Group(ExcludingGroup):
    """Use `Group.create` for a new group, `Group.restore` for one that goes on."""

    def __init__(
        self,
        policy: GroupPolicy,
        spis: SpiPool,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
    ) -> None:
        super().__init__(policy, spis, entropy, wall)
        self._needs, self._needs_inband = needs_of(policy), needs_of(policy, inband=True)
        self._renew_all_at = inf

    # --- beginning ------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        policy: GroupPolicy,
        spis: SpiPool,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
        now: float,
    ) -> tuple[Group, GroupOutcome]:
        """Make a new group with its first keys."""
        group = cls(policy, spis, entropy, wall)
        journal: list[JournalEntry] = [GroupRemoved(group.name), terms_of(policy)]
        journal += group._make_auth_key(policy.rekey)
        journal += group._create(group._all_names(), now)
        events = (GroupStarted(group.name, restored=False, members=0), *group._created_events())
        return group, GroupOutcome(tuple(journal), (), events)

    @classmethod
    def restore(
        cls,
        policy: GroupPolicy,
        stored: StoredGroup,
        spis: SpiPool,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
        now: float,
    ) -> tuple[Group, GroupOutcome]:
        """Go on with a stored group; no Sender-ID or Message ID is used again.

        Where the policy has terms that rekeys can't change, a fresh epoch begins.
        """
        group = cls(policy, spis, entropy, wall)
        group.sender_ids.next = stored.next_sender_id
        group.exclusions.restore(stored.exclusions)
        for member in stored.members:
            group.members.put(member)
        journal: list[JournalEntry] = [terms_of(policy)]
        claim_spis(group.sas, stored)
        goes_on = can_go_on(stored, policy)
        known = {saved.spi for saved in stored.sas}
        journal += group._load(stored, now) if goes_on else group._begin_anew(stored, now)
        fresh = [sa for sa in group.sas.current.values() if sa.spi not in known]
        outcome = group._adopt(now)
        started = GroupStarted(group.name, restored=goes_on, members=len(group.members))
        events = (started, *group._created_events(fresh), *outcome.events)
        return group, GroupOutcome((*journal, *outcome.journal), outcome.transmits, events)

    def _begin_anew(self, stored: StoredGroup, now: float) -> list[JournalEntry]:
        """Make new keys that nobody was told, under the SPIs that were announced."""
        journal = forget(stored.sas)
        self.sas.release(saved.spi for saved in stored.sas)
        journal += self._load_auth_key(stored)
        if self._tree is not None or stored.tree:
            self.members.clear()  # their leaves are of another tree
            journal.append(MembersRemoved(self.name))
        return journal + self._create(self._all_names(), now)

    def _load(self, stored: StoredGroup, now: float) -> list[JournalEntry]:
        wall = self._wall()
        journal = load_sas(self.sas, stored, now, wall, self._overlap())
        journal += self._load_auth_key(stored)
        if REKEY in self.sas.current:
            numbers = {r.spi: r.next_message_id for r in stored.next_message_ids}
            self.next_message_id = numbers.get(self.sas.rekey.spi, 0)
        elif self.policy.rekey is not None:
            journal += self._create([REKEY], now)
        self._numbered.update(sa.name for sa in self.policy.data_sas)
        if self._tree is not None:
            self._tree.restore(map(NodeKey._make, stored.tree), stored.stale_leaves)
            if self._tree.wants_change:
                self._plan_shutting_out(now)
        if stored.renewal_due:
            self._renew_data_at = now
        self._watch_sender_ids(now)
        self._repeat(stored, now)
        if clock_went_back(stored, wall):
            self._renew_all_at = now
        if REKEY in self.sas.current:
            self._plan_reminders(now)  # who missed what went out before the server was gone
        return journal

    def _load_auth_key(self, stored: StoredGroup) -> list[JournalEntry]:
        rekey, saved = self.policy.rekey, stored.auth_key
        if rekey is None or saved is None or saved.algorithm != rekey.authentication:
            return self._make_auth_key(rekey)
        self._use_auth_key(SigningKey.from_pkcs8(saved.private_key))
        self._auth_key_made_at = saved.made_at
        return []

    def _repeat(self, stored: StoredGroup, now: float) -> None:
        """Send rekeys again unless they are known to be out: nobody may have seen them."""
        rekey = self.policy.rekey
        if rekey is None or not stored.rekeys:
            return
        self.last_rekey_wall = stored.rekeys[-1].sent_at
        pending = [one for one in stored.rekeys if one.datagrams]
        for one in pending:
            self._outbox.add(one, rekey, now)
        if pending and self._wall() - pending[0].sent_at > STALE_REKEY_SECONDS:
            self._renew_all_at = now + rekey.spread_seconds + COALESCE_SECONDS

    def _adopt(self, now: float) -> GroupOutcome:
        """Bring SAs in line with a configuration that changed."""
        names = self._outdated(self.policy)
        return self._renew(names, now) if names else GroupOutcome()

    def _outdated(self, policy: GroupPolicy) -> list[str]:
        """Name the SAs that are not as the policy wants them, or not there."""
        stale = [n for n, sa in self.sas.current.items() if not self._is_current(n, sa, policy)]
        missing = [name for name in self._all_names(policy) if name not in self.sas.current]
        return list(dict.fromkeys((*stale, *missing)))

    def _is_current(self, name: str, sa: LiveSa, policy: GroupPolicy) -> bool:
        wanted = self._wanted_policy(name, sa.spi, policy)
        return wanted is not None and wanted.encode() == sa.policy.encode()

    # --- registration ---------------------------------------------------------------

    def register(self, request: RegistrationRequest, wrap: KeyWrap, now: float) -> Registration:
        """Admit a GM (RFC 9838 section 2.3.4).

        Raises `AuthorizationFailed`, `RegistrationFailed` or `NoProposalChosen`.
        """
        identity = str(request.identity)
        if self.exclusions.names(identity, request.certificates):
            raise AuthorizationFailed(
                f"the operator has excluded {identity}",
                RefusalReason.EXCLUDED,
                hint="lift it with `gcks readmit`",
            )
        role = authorize(self.policy, identity, request.address, sender=request.sender)
        again = identity in self.members
        if not again and len(self.members) >= self.policy.capacity:
            raise RegistrationFailed(
                f"the group is full: {self.policy.capacity} members",
                RefusalReason.GROUP_FULL,
                hint="raise the group's capacity",
            )
        inband = self.policy.is_inband(sender=role.is_sender)
        self._check_sag(request, inband=inband)
        self._check_key_wrap(wrap, inband=inband)
        renewed = self._hide_the_past(now) if not again else GroupOutcome()
        view = self._gsa.view(self.policy, self.sas, role, self.next_message_id, now)
        sender_ids = self._allocate(request.sender_id_count, now) if view.numbered else ()
        leaf, keys, journal = self._seat(identity, inband=inband, now=now)
        hint = self._behind(identity)
        at = self._wall()
        member = member_saved(self.name, identity, request, sender_ids, at, leaf)
        self.members.put(member)
        auth_key = None if inband else self._auth_key
        payloads = registration_payloads(view, self.policy, wrap, auth_key, sender_ids, keys)
        payloads = (*payloads, SPREAD_VENDOR, spread_notify(self.spread))
        journal = [*renewed.journal, *journal, member]
        if sender_ids:
            journal.append(SenderIdsReserved(self.name, self.sender_ids.next))
        events = (*renewed.events, *(self._watch_sender_ids(now) if sender_ids else ()))
        due = self._renew_numbered(identity, now) if request.sender else inf
        due = min(due, self._departures_at, now if renewed.journal else inf)
        return Registration(
            payloads,
            tuple(journal),
            events,
            sender_ids,
            again,
            len(self.members),
            due,
            request.sender,
            inband,
            hint,
            at,
        )

    def _behind(self, identity: str) -> str:
        """Say what to look at where a member comes back that was told new keys meanwhile."""
        member, rekey = self.members.get(identity), self.policy.rekey
        if member is None or rekey is None or self.policy.is_inband(sender=member.sender):
            return ""
        if all(sa.created_wall <= member.registered_at for sa in self.sas.current.values()):
            return ""
        return (
            "it comes back after a rekey; unless it was restarted, look whether multicast to "
            f"{rekey.destination} reaches it"
        )

    def inband_payloads(
        self, identity: str, address: str, wrap: KeyWrap, now: float, *, sender: bool
    ) -> tuple[Payload, ...]:
        """Return what a GM that is rekeyed in-band is told now (section 2.4.2.1).

        Raises `AuthorizationFailed` where it may no longer be a member.
        """
        role = authorize(self.policy, identity, address, sender=sender)
        view = self._gsa.view(self.policy, self.sas, role, 0, now, pushed=True)
        payloads = registration_payloads(view, self.policy, wrap, None, ())
        # No lifetime tells it when these are over (ruling 14; ruling 27: beside GSA and KD).
        gone = [sa for sa in self.sas.replaced if sa.name != REKEY]
        return (*payloads, spread_notify(self.spread), *deletes(gone))

    def _renew_numbered(self, identity: str, now: float) -> float:
        """Plan new SAs where an SA's only sender comes back; return when.

        Its sequence numbers may begin at 1 again, and receivers with replay
        protection (section 2.6) would drop its packets until the next rekey.
        """
        due = inf
        for name in self.policy.sas_numbered_by(identity):
            if name in self._numbered:
                sa = self.sas.current[name]
                early = max(now, sa.created_at + MIN_RENEWAL_SECONDS)
                due = min(due, self._early.setdefault(sa.spi, early))
            self._numbered.add(name)
        return due

    def _check_sag(self, request: RegistrationRequest, *, inband: bool) -> None:
        """A GM that is rekeyed in-band gets no Rekey SA and need not be able to do it."""
        if not self.policy.evaluate_sag:
            return
        check_announced(self.policy, request.announced)
        if request.sag is None:
            return
        mismatch = first_mismatch(request.sag, self._needs_inband if inband else self._needs)
        if mismatch is not None:
            raise NoProposalChosen(
                mismatch,
                RefusalReason.POLICY_UNSUPPORTED,
                hint="let the GM support it, or change the group's suites",
            )

    def _hide_the_past(self, now: float) -> GroupOutcome:
        """Make new keys for a newcomer: with the old ones it could read what it recorded.

        Newcomers within the window get the same ones.  The message goes out at once
        after the registration.
        """
        ages = [now - sa.created_at for sa in self.sas.current.values()]
        if not self.policy.backward_access or not self.members:
            return GroupOutcome()
        if max(ages, default=0.0) <= self.policy.exclusion_window_seconds:
            return GroupOutcome()
        return self._plan_renewal(self._all_names(), now)

    def _check_key_wrap(self, wrap: KeyWrap, *, inband: bool) -> None:
        """Ruling 3: keys of the tree are wrapped over both SAs, so they are of one size."""
        rekey = self.policy.rekey
        if self._tree is None or inband or rekey is None:
            return
        if kwk_octets(wrap.kwa) != kwk_octets(rekey.kwa):
            raise NoProposalChosen(
                f"the IKE SA's {Kwa(wrap.kwa)} has other keys than the Rekey SA's {Kwa(rekey.kwa)}",
                RefusalReason.POLICY_UNSUPPORTED,
                hint="let both use a key wrap of the same size",
            )

    def _seat(
        self, identity: str, *, inband: bool, now: float
    ) -> tuple[int, MemberKeys | None, list[JournalEntry]]:
        """Return the member's leaf, its keys, and what is to be kept."""
        tree, known = self._tree, self.members.get(identity)
        leaf = known.leaf if known is not None else NO_LEAF
        if tree is None:
            return NO_LEAF, None, []
        if inband:
            return NO_LEAF, None, tree.unseat(leaf)
        leaf, journal = tree.seat(leaf)
        if tree.tree.lacks_keys:
            self._plan_shutting_out(now)
        return leaf, tree.keys_of(leaf), journal

    def _allocate(self, requested: int, now: float) -> tuple[int, ...]:
        """Return Sender-IDs; where none is left the group has to start over (section 2.5.1)."""
        try:
            return self.sender_ids.allocate(requested, self.policy.max_sender_ids_per_request)
        except RegistrationFailed:
            self._start_over_at = min(self._start_over_at, now)
            raise

    def _watch_sender_ids(self, now: float) -> tuple[Event, ...]:
        """Tell that Sender-IDs run out; with the reserve the group starts over in good order.

        That is at the next rekey, when the members expect new keys anyway, and as long as
        nobody had to be refused.
        """
        if not self.sender_ids.left:
            return (SenderIdsExhausted(self.name),)
        if not self.sender_ids.is_low or self._start_over_at < inf:
            return ()
        self._start_over_at = self.renewal_due_at
        seconds = round(self._start_over_at - now, 1)
        return (SenderIdsLow(self.name, self.sender_ids.left, seconds),)

    # --- time -----------------------------------------------------------------------

    @property
    def next_timeout(self) -> float:
        """Monotonic seconds at which `handle_timeout` has something to do."""
        times = [sa.retire_at for sa in self.sas.replaced if sa.retire_at is not None]
        times += [self._outbox.next_at, self._reminders.next_at]
        return min(*times, self.renewal_due_at, self._renew_all_at, self._departures_at)

    def handle_timeout(self, now: float) -> GroupOutcome:
        """Send due copies, forget what is over, renew what is due."""
        gone = self.sas.forget_due(now)
        outcomes = [self._forgotten(gone)] if gone else []
        outcomes += self._departures_due(now)
        if now >= self._renew_all_at:
            outcomes.append(self.rekey(now))
        due = [
            name
            for name, sa in self.sas.current.items()
            if self.renew_at(name, sa) <= now + COALESCE_SECONDS
        ]
        if any(self.renew_at(name, self.sas.current[name]) <= now for name in due):
            outcomes.append(self._renew(due, now))
        if now >= self._reminders.next_at:
            outcomes.append(self._remind(now))
        outcomes.append(self._send_due(now))
        return merged(outcomes)

    def rekey(self, now: float) -> GroupOutcome:
        """Renew every SA of the group now."""
        self._renew_all_at = inf
        return self._renew(self._all_names(), now)

    # --- rekey ----------------------------------------------------------------------

    def plan(self, policy: GroupPolicy) -> PolicyChange:
        """Say what `replace_policy` will do."""
        reasons = start_over_reasons(self.policy, policy)
        outside = left_outside(self.members, self.policy, policy)
        if self.way_without(outside, policy) is Way.START_OVER:
            reasons = (*reasons, f"{len(outside)} excluded, and no key tree to do it with")
        lacking, unknown = locked_out(
            self.members, policy, needs_of(policy), needs_of(policy, inband=True)
        )
        names = self._all_names(policy)
        outdated = [] if reasons else self._outdated(policy)
        held = self.sas.current
        return PolicyChange(
            self.name,
            len(self.members),
            starts_over=reasons,
            created=tuple(n for n in outdated if n not in held),
            renewed=tuple(n for n in outdated if n in held and n in names),
            dropped=tuple(n for n in outdated if n not in names),
            grace_seconds=self._overlap(policy) if outdated else 0.0,
            excluded=outside,
            locked_out=lacking,
            unknown=unknown,
            options=changed_options(self.policy, policy),
        )

    def replace_policy(self, policy: GroupPolicy, now: float) -> GroupOutcome:
        """Take over a changed configuration; what changed is rekeyed at once."""
        if start_over_reasons(self.policy, policy):
            return self._start_over(now, policy)
        outside = left_outside(self.members, self.policy, policy)
        asks_more = needs_of(policy) != self._needs
        self._use(policy)
        told = self._tell_locked_out() if asks_more else GroupOutcome()
        return merged([told, self.exclude(outside, now), self._adopt(now)])

    def _tell_locked_out(self) -> GroupOutcome:
        lacking, _ = locked_out(self.members, self.policy, self._needs, self._needs_inband)
        if not lacking:
            return GroupOutcome()
        identity, cause = lacking[0]
        return GroupOutcome(events=(MembersLockedOut(self.name, len(lacking), identity, cause),))

    def _use(self, policy: GroupPolicy) -> None:
        super()._use(policy)
        self._needs, self._needs_inband = needs_of(policy), needs_of(policy, inband=True)
