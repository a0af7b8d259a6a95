"""The groups' side of the key server: each group's one writer, and their common clock.

The front asks with values and is answered with values; what follows from an answer is in
the `Change` that it hands in.  A group is not served while it waits for its first key, or
for its journal after an error that nobody expected: `NotReady` says what is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from math import inf
from typing import cast

from gcks.change import Change, LoadGroup, MakeKey
from gcks.crypto.signature import SigningKey
from gcks.errors import InvalidGroupId, LocalError, PeerError, RefusalReason, origin
from gcks.events import (
    GroupDelayed,
    GroupEnded,
    GroupReadAgain,
    OperatorExcluded,
    OperatorReadmitted,
)
from gcks.group.spread import default_cost
from gcks.journal import GroupRemoved, JournalEntry
from gcks.keyserver.commands import Exclude, GroupCommand, RekeyGroup
from gcks.keyserver.groups import admitting, beginning, departing, due, taking_over
from gcks.keyserver.groups.certificate_end import REVOKED, end_memberships, watch_certificates
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.due_times import DueTimes
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.membership import Member
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.policy_change import PolicyChange
from gcks.keyserver.groups.registration import AdmissionRequest, Admitted, Keys
from gcks.keyserver.groups.signing_keys import needs_first_key
from gcks.keyserver.groups.spi import SpiPool
from gcks.keyserver.groups.state import GroupState, fold
from gcks.keyserver.groups.waiting import (
    RETRY_SECONDS,
    Failures,
    GroupFailed,
    NextPolicy,
    NotReady,
    SpareKey,
    Unready,
    Wants,
)


class Groups:
    """All groups by name (the group ID in text form), and when each is due."""

    __slots__ = (
        "_cost", "_due", "_entropy", "_failures", "_spis", "_wall", "_wants", "by_name",
        "removes_on_certificate_end",
    )  # fmt: skip

    def __init__(
        self,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
        cost: Callable[[], float] = default_cost,
    ) -> None:
        """`cost()` gives the seconds of the server that a registration takes."""
        self._entropy, self._wall, self._cost = entropy, wall, cost
        self._spis = SpiPool(entropy)
        self.by_name: dict[str, Group] = {}
        """The groups that decide."""
        self._due, self._failures, self._wants = DueTimes(), Failures(), Wants()
        self.removes_on_certificate_end = False
        """Whether a member is removed whose certificate has ended; else it is only told."""

    @property
    def next_timeout(self) -> float:
        """When the first group has something to do (monotonic seconds)."""
        return self._due.next

    # --- beginning, reload ----------------------------------------------------------------

    def start(
        self,
        policies: Mapping[str, GroupPolicy],
        stored: Iterable[JournalEntry],
        now: float,
        change: Change,
    ) -> None:
        """Create or restore every group; what is stored and no longer configured goes."""
        states = self._fold(stored, now)
        for name in [name for name in states if name not in policies]:
            _remove(name, len(states.pop(name).members), change)
        for policy in policies.values():
            self._begin(policy, states.pop(policy.name, None), now, change)

    def _fold(self, entries: Iterable[JournalEntry], now: float) -> dict[str, GroupState]:
        return fold(entries, now - self._wall(), self._spis, self._entropy)

    def _begin(
        self, policy: GroupPolicy, stored: GroupState | None, now: float, change: Change
    ) -> None:
        """Begin a group, for the first time or again, or have its first key made before."""
        kind = needs_first_key(policy, stored)
        if kind is not None:
            self._wants.begin(policy, MakeKey(kind), change, stored)
        else:
            self._begin_with(policy, stored, None, now, change)

    def _begin_with(
        self,
        policy: GroupPolicy,
        stored: GroupState | None,
        key: tuple[str, SigningKey] | None,
        now: float,
        change: Change,
    ) -> None:
        state = stored or GroupState(policy.name, self._spis, self._entropy)
        group = Group(policy, state, self._cost)
        group.spare_key = key
        self.by_name[policy.name] = group
        with suppress(GroupFailed), self.deciding(group, now, change) as decision:
            if stored is not None:
                beginning.go_on(decision)
            else:
                beginning.begin(decision)

    def reload(self, policies: Mapping[str, GroupPolicy], now: float, change: Change) -> None:
        """Take over changed policies."""
        for name in [name for name in self.by_name if name not in policies]:
            with suppress(GroupFailed), self.deciding(self.by_name[name], now, change) as decision:
                departing.end(decision)
            self.by_name.pop(name, None)
            self._due.set(name, inf)
        for name in [name for name in self._wants.unready if name not in policies]:
            self._wants.drop(name, change)
            _remove(name, 0, change)
        for policy in policies.values():
            self._take_over(policy, now, change)

    def _take_over(self, policy: GroupPolicy, now: float, change: Change) -> None:
        group, unready = self.by_name.get(policy.name), self._wants.unready.get(policy.name)
        if unready is not None and isinstance(unready.need, LoadGroup):
            unready.policy = policy  # under that one it will be read again
            return
        unready = self._wants.drop(policy.name, change)
        if group is None:
            self._begin(policy, unready.stored if unready is not None else None, now, change)
            return
        kind = needs_first_key(policy, group.state)
        if kind is not None:
            self._wants.want(NextPolicy(policy), MakeKey(kind), change)
            return
        with suppress(GroupFailed), self.deciding(group, now, change) as decision:
            taking_over.take_over(decision, policy)

    def plan(self, policies: Mapping[str, GroupPolicy]) -> Iterator[PolicyChange]:
        """Say what `reload` will do, group by group."""
        for name, group in list(self.by_name.items()):
            if name not in policies:
                yield PolicyChange(name, len(group.state.members), ends=True)
        for name, new in policies.items():
            known = self.by_name.get(name)
            if known is not None:
                yield taking_over.plan(known, new)
            else:
                yield PolicyChange(name, 0, begins=True)

    # --- what the front asks --------------------------------------------------------------

    def admit(self, request: AdmissionRequest, now: float, change: Change) -> Admitted:
        """Admit a GM.  Raises `PeerError`, and `NotReady` while the group can't decide."""
        with self.deciding(self.expect(request.group), now, change) as decision:
            return admitting.admit(decision, request)

    def leave(self, name: str, identity: str, cause: str, now: float, change: Change) -> None:
        """Remove a GM that says it leaves.  Raises `InvalidGroupId` and `NotReady`."""
        with self.deciding(self.expect(name), now, change) as decision:
            departing.leave(decision, identity, cause)

    def member(self, name: str, identity: str) -> Member | None:
        """Return what is kept of a member of a group."""
        group = self.by_name.get(name)
        return group.state.members.get(identity) if group is not None else None

    def push(
        self, name: str, identity: str, address: str, now: float, *, sender: bool
    ) -> Keys | None:
        """Return what a GM that is rekeyed in-band is told now; None: there is no such group.

        Raises `AuthorizationFailed` where it may no longer be a member.
        """
        group = self.by_name.get(name)
        if group is None:
            return None
        return admitting.push(group, identity, address, now, sender=sender)

    def expect(self, name: str) -> Group:
        """Return a group that can decide.  Raises `InvalidGroupId` and `NotReady`."""
        group, unready = self.by_name.get(name), self._wants.unready.get(name)
        if group is not None:
            return group
        if unready is not None:
            raise NotReady(unready.token)
        raise InvalidGroupId(
            f"there is no group {name}", RefusalReason.UNKNOWN_GROUP, hint="compare the group IDs"
        )

    # --- orders and certificates ------------------------------------------------------------

    def command(self, order: GroupCommand, now: float, change: Change) -> None:
        """Carry out an operator's order.

        Raises `LocalError`, and then nothing has changed but, after an error that nobody
        expected, that the group is read again.
        """
        group = self._named(order.group)
        with self.deciding(group, now, change) as decision:
            if isinstance(order, RekeyGroup):
                due.rekey(decision)
            elif isinstance(order, Exclude):
                decision.tell(
                    OperatorExcluded(group.name, order.kind, order.names, order.by, order.about)
                )
                departing.order_exclusion(
                    decision, order.kind, order.names, order.by,
                    about=order.about, immediate=order.immediate, members=order.members,
                )  # fmt: skip
            else:
                departing.lift_exclusion(decision, order.kind, order.names)
                decision.tell(OperatorReadmitted(group.name, order.kind, order.names, order.by))

    def _named(self, name: str) -> Group:
        group = self.by_name.get(name)
        if group is not None:
            return group
        if name in self._wants.unready:
            raise LocalError(f"the group {name} is not ready yet; try again in a moment")
        known = ", ".join(self.by_name) or "none at all"
        raise LocalError(f"there is no group {name}; there is {known}")

    def revoke(self, references: Set[bytes], now: float, change: Change) -> None:
        """Apply the operator's choice to members whose certificates are among the references."""
        for group in list(self.by_name.values()) if references else ():
            holders = group.state.members.holders(references)
            if holders:
                with suppress(GroupFailed), self.deciding(group, now, change) as decision:
                    end_memberships(decision, holders, REVOKED)

    # --- time, and what was waited for ------------------------------------------------------

    def handle_timeout(self, now: float, change: Change) -> None:
        """Let every group that is due do its work."""
        for name in self._due.pop_due(now):
            group = self.by_name.get(name)
            if group is None:
                self._wants.ask(name, change)
                continue
            with suppress(GroupFailed), self.deciding(group, now, change) as decision:
                self._prepare_key(decision)
                due.do_due(decision)

    def _prepare_key(self, decision: Decision) -> None:
        """Have the next key that signs made ahead of time."""
        group, rekey = decision.group, decision.group.policy.rekey
        if rekey is not None and decision.now >= group.next_key_at:
            group.key_asked = True
            want = SpareKey(group.name, rekey.authentication)
            self._wants.want(want, MakeKey(want.kind), decision.change)

    def resume(self, token: int, result: object, now: float, change: Change) -> None:
        """Go on with what a group has waited for; a `LocalError` says why it isn't there."""
        want = self._wants.get(token)
        if isinstance(result, LocalError) and isinstance(want, Unready):
            self._due.set(want.policy.name, now + RETRY_SECONDS)
            change.events.append(GroupDelayed(want.policy.name, str(result)))
            return
        self._wants.met(token)
        if isinstance(want, Unready):
            change.resumed.append(token)
            self._resume_unready(want, result, now, change)
        elif isinstance(want, NextPolicy):
            self._resume_policy(want.policy, result, now, change)
        elif isinstance(want, SpareKey):
            self._resume_spare(want, result, now, change)

    def _resume_unready(self, want: Unready, result: object, now: float, change: Change) -> None:
        if isinstance(want.need, MakeKey):
            key = want.need.algorithm, SigningKey.from_pkcs8(cast(bytes, result), own=True)
            self._begin_with(want.policy, want.stored, key, now, change)
        else:
            entries = cast(Iterable[JournalEntry], result)
            stored = self._fold(entries, now).get(want.policy.name)
            self._begin(want.policy, stored, now, change)
            change.to_push[want.policy.name] = None  # what had to wait meanwhile

    def _resume_policy(
        self, policy: GroupPolicy, result: object, now: float, change: Change
    ) -> None:
        group = self.by_name.get(policy.name)
        if isinstance(result, LocalError):
            change.events.append(GroupDelayed(policy.name, str(result)))
        elif group is not None and policy.rekey is not None:
            key = SigningKey.from_pkcs8(cast(bytes, result), own=True)
            group.spare_key = policy.rekey.authentication, key
            with suppress(GroupFailed), self.deciding(group, now, change) as decision:
                taking_over.take_over(decision, policy)

    def _resume_spare(self, want: SpareKey, result: object, now: float, change: Change) -> None:
        group = self.by_name.get(want.group)
        if group is None:
            return
        group.key_asked = False
        if isinstance(result, LocalError):
            change.events.append(GroupDelayed(group.name, str(result)))
            group.key_again_at = now + RETRY_SECONDS
        else:
            group.spare_key = want.kind, SigningKey.from_pkcs8(cast(bytes, result), own=True)
        self._due.set(group.name, group.next_timeout)

    # --- one decision -----------------------------------------------------------------------

    @contextmanager
    def deciding(self, group: Group, now: float, change: Change) -> Iterator[Decision]:
        """Hand over what a decision has led to, whether it ends in a refusal or not.

        After an error that nobody expected nothing of it counts, and the group is read again:
        raises `GroupFailed`.
        """
        decision = Decision(
            group, Change(), now=now, wall=self._wall(), entropy=self._entropy, spis=self._spis
        )
        group.removes_on_certificate_end = self.removes_on_certificate_end
        try:
            yield decision
        except (PeerError, LocalError):
            self._settle(decision, change)
            raise
        except Exception as error:
            self._distrust(group, origin(error), now, change)
            raise GroupFailed(f"internal error: {origin(error)}") from error
        self._settle(decision, change)

    def _settle(self, decision: Decision, change: Change) -> None:
        watch_certificates(decision)
        change.add(decision.change)
        self._due.set(decision.name, decision.group.next_timeout)

    def _distrust(self, group: Group, cause: str, now: float, change: Change) -> None:
        """Drop the memory of a group, and have it read again; later if it fails often."""
        name, delay = group.name, self._failures.delay(group.name, now)
        change.events.append(GroupReadAgain(name, cause, delay))
        self._wants.drop(name, change)
        self.by_name.pop(name, None)
        self._wants.begin(group.policy, LoadGroup(name), None if delay else change, None)
        self._due.set(name, now + delay if delay else inf)


def _remove(name: str, members: int, change: Change) -> None:
    """Forget a stored group that is configured no more; nobody is there to tell its members."""
    change.journal.append(GroupRemoved(name))
    change.events.append(GroupEnded(name, members))
