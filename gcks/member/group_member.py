"""One group from the member's side: what it holds, and when it registers again.

What a message means is judged elsewhere (`registration`, `rekey`, `inband`); here is what
then becomes of the group.  `_enter` is the only place where the phase, and so what is held,
is replaced: everything is computed before, and nothing can fail after, so that an error
never leaves half of a change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from gcks.datagrams import Path
from gcks.events import (
    LeftGroup,
    NothingToSendOn,
    PolicyRefused,
    RegisterAgain,
    Registered,
    Registering,
    RegistrationAttemptFailed,
    Reregistering,
    StrangeRekeysSeen,
)
from gcks.member.change import MemberChange
from gcks.member.data_plane import Direction
from gcks.member.decision import Excluded, Followed, Loss, RekeyDecision
from gcks.member.delay import Reach
from gcks.member.difference import commands_between
from gcks.member.history import History
from gcks.member.holding import NOTHING, Holding
from gcks.member.opening import KeySource
from gcks.member.phases import (
    STATES,
    Attempt,
    AwaitingAnswer,
    AwaitingRekeys,
    AwaitingTurn,
    Left,
    MembershipState,
    Phase,
    advanced,
    attempt_of,
    begun,
    emptied,
    healed,
    held_in,
    joined,
    next_timeout,
    planned,
    with_holding,
    with_loss,
)
from gcks.member.planning import Planner
from gcks.member.reception import STRANGE, Reception
from gcks.member.registration import judge_registration
from gcks.member.rekey_reading import RekeyMessage
from gcks.member.terms import Terms
from gcks.wire.payloads import Payload

MAX_PAST_SPIS: Final = 8
"""Rekey SAs remembered after their end."""
BEYOND_CEILING: Final = "raise this member's ceiling or features, or lower the group's policy"
_NOTHING_TO_SEND_ON: Final = (
    "the group has no SA for these sources; set local.data_addresses to where data is sent from,"
    " or let the key server's policy allow it"
)


class GroupMember:
    """The state machine of one group; the engine asks it what is due."""

    def __init__(self, terms: Terms, jitter: Callable[[float], float]) -> None:
        """Prepare; `jitter(limit)` returns a random number of seconds in [0, limit]."""
        self.terms = terms
        self.name = terms.name
        self.phase: Phase = AwaitingTurn(None)
        self.counted_in = False
        """Whether the GCKS may count this member in."""
        self.history = History()
        self.reception = Reception()
        self.planner = Planner(terms.membership, terms.settings, jitter)
        self.past_rekey_spis: deque[bytes] = deque(maxlen=MAX_PAST_SPIS)
        """Rekey SAs that are over: late copies over them are nothing new."""

    # --- looking ------------------------------------------------------------------

    @property
    def state(self) -> MembershipState:
        """What the group waits for."""
        return STATES[type(self.phase)]

    @property
    def holding(self) -> Holding:
        """What is held, in whatever phase; `NOTHING` where a phase holds nothing."""
        return held_in(self.phase)

    @property
    def registered(self) -> bool:
        """Tell whether the GCKS may send something for this group over the IKE SA."""
        return isinstance(self.phase, AwaitingAnswer | AwaitingRekeys)

    @property
    def due(self) -> float:
        """When the next registration is due, or was; `inf`: no need."""
        attempt = attempt_of(self.phase)
        return inf if attempt is None else attempt.at

    def wants_registration(self, now: float) -> bool:
        """Tell whether a registration is due and none is under way."""
        return self.due <= now and not isinstance(self.phase, AwaitingAnswer)

    def next_timeout(self, *, free: bool) -> float:
        """Return when `handle_timeout` or, if the IKE SA is `free`, a registration is due."""
        return next_timeout(self.phase, free=free)

    # --- from phase to phase --------------------------------------------------------

    def _enter(self, phase: Phase, change: MemberChange) -> None:
        """Begin a phase: what is held changes here only, and the data plane with it."""
        before, after = self.holding, held_in(phase)
        commands = tuple(commands_between(self.name, before, after))
        kept = {sa.spi for sa in after.rekey_sas}
        past = [sa.spi for sa in before.rekey_sas if sa.spi not in kept]
        # What follows can't fail.
        self.phase = phase
        self.past_rekey_spis.extend(past)
        change.data_plane += commands

    # --- when to register ---------------------------------------------------------

    def handle_timeout(self, now: float, change: MemberChange) -> None:
        """Advance the SAs, and notice those that expire without having been replaced."""
        phase = self.phase
        if isinstance(phase, AwaitingRekeys) and phase.again is None:
            expiring = phase.holding.soft_expiry(now)
            if expiring is not None:
                cause, ends_at = expiring
                loss = Loss(RegisterAgain.SA_EXPIRING, cause)
                self.reregister(loss, now, change, recoverable=True, ends_at=ends_at)
        self._enter(advanced(self.phase, now), change)

    def register_now(self, cause: str, now: float, change: MemberChange) -> None:
        """Make a registration due at once, also for a group that was left."""
        phase = AwaitingTurn(None) if isinstance(self.phase, Left) else self.phase
        self._enter(planned(phase, Attempt(now, cause)), change)

    def begin_registration(self, now: float, change: MemberChange) -> None:
        """Note that a registration is begun."""
        phase = begun(self.phase, now)
        server = str(self.terms.settings.server)
        change.events.append(Registering(self.name, server, phase.asked.cause))
        self._enter(phase, change)

    def reregister(
        self,
        loss: Loss,
        now: float,
        change: MemberChange,
        *,
        recoverable: bool = False,
        reach: Reach = Reach.EVERYBODY,
        ends_at: float = inf,
    ) -> None:
        """Register again after a random delay; what is held still works until `ends_at`.

        A `recoverable` loss is made good by a rekey that arrives meanwhile, and by a
        registration that is planned or under way.
        """
        if isinstance(self.phase, Left) or (recoverable and self.due < inf):
            return
        attempt = self.planner.again(
            loss, self.holding, now, recoverable=recoverable, reach=reach, ends_at=ends_at
        )
        self._tell_again(loss, attempt, now, change)
        self._enter(with_loss(self.phase, attempt), change)

    def _tell_again(self, loss: Loss, attempt: Attempt, now: float, change: MemberChange) -> None:
        """Say why to register again, and when."""
        hint = self.reception.blocked_hint(self.holding.current_rekey)
        if loss.why is RegisterAgain.SA_EXPIRING:
            self.reception.hint = hint
        self.history.last_error = loss.cause
        delay = round(attempt.at - now, 3)
        change.events.append(Reregistering(self.name, loss.why, loss.cause, delay, hint))

    # --- rekeys -----------------------------------------------------------------------

    def note_message(self, message: RekeyMessage, change: MemberChange) -> None:
        """Note that an authentic GSA_REKEY has come, whatever it says: it counts once."""
        holding = self.holding.with_message(message.message_id, message.datagram)
        self._enter(with_holding(self.phase, holding), change)
        self.reception.missed += message.missed
        self.planner.delay.heard(message.payloads)

    def follow_rekey(self, decision: RekeyDecision, now: float, change: MemberChange) -> None:
        """Do what a GSA_REKEY leads to."""
        if isinstance(decision, Excluded):
            self.exclude(decision, now, change)
            return
        self.history.rekeys += not decision.received.reminder
        self.reception.came(now)
        self._follow(decision, healed(self.phase), now, change)

    def follow_push(self, decision: RekeyDecision, now: float, change: MemberChange) -> None:
        """Do what a GSA_INBAND_REKEY leads to."""
        if isinstance(decision, Excluded):
            self.exclude(decision, now, change)
            return
        self.history.rekeys += 1
        self.reception.last_at = now
        self._follow(decision, self.phase, now, change)

    def _follow(self, followed: Followed, phase: Phase, now: float, change: MemberChange) -> None:
        """Hold what was decided, in that phase."""
        self._enter(with_holding(phase, followed.holding), change)
        change.keys += followed.keys
        change.events.append(followed.received)
        if followed.loss is not None:
            self.reregister(followed.loss, now, change)
        self._enter(advanced(self.phase, now), change)

    def refuse_rekey(self, cause: str, now: float, change: MemberChange) -> None:
        """Ask for another policy: what a rekey brought is beyond the ceiling.

        The GCKS SHOULD hear of it (section 2.3.2): the answer to a registration gets
        NO_PROPOSAL_CHOSEN, unless a rekey has healed it by then.
        """
        change.events.append(PolicyRefused(self.name, cause, BEYOND_CEILING))
        why = f"a rekey brought a policy that is refused: {cause}"
        self.reregister(Loss(RegisterAgain.POLICY_REFUSED, why), now, change, recoverable=True)
        self.history.last_error = cause

    def lose_rekey(self, cause: str, reach: Reach, now: float, change: MemberChange) -> None:
        """Register again, unless a rekey comes that tells what this one did."""
        if isinstance(self.phase, AwaitingRekeys):
            loss = Loss(RegisterAgain.REKEY_LOST, cause)
            self.reregister(loss, now, change, recoverable=True, reach=reach)

    def notice_strange_rekey(self, path: Path, now: float, change: MemberChange) -> None:
        """Someone sends rekeys of an SA that we don't have to where ours are sent."""
        rekey = self.holding.current_rekey
        if rekey is None or self.due < inf:
            return  # it registers again anyway
        if self.reception.strange_came(rekey, path, now):
            change.events.append(StrangeRekeysSeen(self.name, str(path.remote), STRANGE))

    # --- leaving and exclusion -------------------------------------------------------

    def exclude(self, excluded: Excluded, now: float, change: MemberChange) -> None:
        """Give up every key at once, and register again (section 2.4.3)."""
        if excluded.received is not None:
            change.events.append(excluded.received)
        loss = excluded.loss
        attempt = self.planner.again(loss, NOTHING, now, reach=excluded.reach)
        self._enter(emptied(self.phase, attempt), change)
        self._tell_again(loss, attempt, now, change)
        if loss.why is not RegisterAgain.IKE_SA_CLOSED:
            self.counted_in = False

    def leave(self, cause: str, change: MemberChange) -> None:
        """Give up every key and stay away; who never got in leaves nothing."""
        self._enter(Left(), change)
        if self.history.registrations:
            change.events.append(LeftGroup(self.name, cause))

    # --- what became of a registration ------------------------------------------------

    def accept_registration(
        self, payloads: Sequence[Payload], source: KeySource, now: float, change: MemberChange
    ) -> None:
        """Take over the policy and keys of a registration response (section 2.3.3).

        `source` has KWA and GSK_w of the IKE SA.  Raises GcksError, and then everything
        is as it was.
        """
        decision = judge_registration(self.terms, self.holding, payloads, source, now)
        self._enter(joined(self.phase, decision.holding), change)
        change.keys += decision.keys
        self.counted_in = True
        self.history.registered()
        self.planner.registered(now)
        self.reception.registered()
        self.planner.delay.registered(payloads)
        server, sender_ids = str(self.terms.settings.server), decision.holding.sender_ids
        change.events.append(Registered(self.name, server, decision.data_sas, sender_ids))
        self._check_sending(decision.holding, change)

    def _check_sending(self, holding: Holding, change: MemberChange) -> None:
        """Tell where a sender can't send: a packet that silently goes nowhere is hard to find."""
        sas, role = holding.data_sas, self.terms.role(holding)
        if role.sender and sas and all(sa.install.direction is Direction.IN for sa in sas):
            change.events.append(NothingToSendOn(self.name, role.addresses, _NOTHING_TO_SEND_ON))

    def attempt_interrupted(self, now: float, change: MemberChange) -> None:
        """Register again at once, over a new IKE SA: this one was closed under our hands."""
        if isinstance(self.phase, AwaitingAnswer):
            again = self.phase.again or Attempt(now, "the IKE SA was closed")
            self._enter(planned(self.phase, again), change)

    def attempt_failed(self, cause: str, hint: str, now: float, change: MemberChange) -> None:
        """Try again later; what is still held stays until it expires."""
        delay, server = self._try_again(cause, now, change), str(self.terms.settings.server)
        change.events.append(RegistrationAttemptFailed(self.name, server, cause, hint, delay))

    def policy_refused(self, cause: str, now: float, change: MemberChange) -> None:
        """Try again later: the answer to a registration is beyond the ceiling."""
        delay = self._try_again(cause, now, change)
        change.events.append(PolicyRefused(self.name, cause, BEYOND_CEILING, delay))

    def _try_again(self, cause: str, now: float, change: MemberChange) -> float:
        """Plan the next attempt; return the seconds until then."""
        attempt = self.planner.retry(now)
        self._enter(planned(self.phase, attempt), change)
        self.history.last_error = cause
        return round(attempt.at - now, 3)

    def was_refused(self) -> None:
        """Note that the GCKS didn't take this member in; an older membership may stand."""
        self.counted_in = self.history.registrations > 0
