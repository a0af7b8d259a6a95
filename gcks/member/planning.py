"""When to register, and when to register again (RFC 9838 section 2.4.3)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from gcks.member.decision import Loss
from gcks.member.delay import Delay, Reach
from gcks.member.holding import Holding
from gcks.member.phases import Attempt
from gcks.member.settings import GroupMembership, MemberSettings


class Planner:
    """For one group: knows what the server told of its load, and how attempts went so far."""

    __slots__ = ("_jitter", "_retry", "delay", "failures", "registered_at")

    def __init__(
        self,
        membership: GroupMembership,
        settings: MemberSettings,
        jitter: Callable[[float], float],
    ) -> None:
        """Prepare; `jitter(limit)` returns a random number of seconds in [0, limit]."""
        self._jitter, self._retry = jitter, settings.retry
        self.delay = Delay(settings.reregister_jitter_seconds, sender=membership.sender)
        self.failures = 0
        """Attempts in a row that have failed."""
        self.registered_at = -inf
        """Monotonic seconds of the last registration."""

    def registered(self, now: float) -> None:
        """Note a registration: earlier failures are over."""
        self.failures, self.registered_at = 0, now

    def again(
        self,
        loss: Loss,
        holding: Holding,
        now: float,
        *,
        recoverable: bool = False,
        reach: Reach = Reach.EVERYBODY,
        ends_at: float = inf,
    ) -> Attempt:
        """Choose a random delay; what is held still works until `ends_at`.

        Half of the time until something ends that nothing replaces is left for the
        registration.  The shortest interval keeps a hostile or confused server from
        driving us in a circle.
        """
        in_time = max(0.0, min(ends_at, holding.next_gap()) - now) / 2
        limit = min(self.delay.most_seconds(reach), in_time)
        earliest = self.registered_at + self._retry.first_seconds
        return Attempt(max(now + self._jitter(limit), earliest), loss.cause, recoverable)

    def retry(self, now: float) -> Attempt:
        """Count a failure, and choose a delay that grows with each."""
        delay = self._retry.delay(self.failures + 1)
        attempt = Attempt(now + delay + self._jitter(delay / 4), "retry")
        self.failures += 1
        return attempt
