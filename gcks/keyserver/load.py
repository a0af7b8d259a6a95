"""What registrations cost the server's one thread, and how many may be under way for it.

A half-open IKE SA is a promise to process a GSA_AUTH before the SA times out.  Who is
let in beyond what can be kept costs a key exchange, times out, and comes again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gcks.group.spread import DEFAULT_COST_SECONDS
from gcks.keyserver.ike_sa import HalfOpen
from gcks.keyserver.settings import ServerSettings

WHOLE_PER_AUTH: Final = 2.5
"""What a registration costs in all, by its GSA_AUTH in the engine: IKE_SA_INIT, commit, log
line and closing come to it (584 us of the process for 236 us with PSK, bench_registration)."""
BACKLOG_SECONDS: Final = 5.0
"""Work that may wait.  A newcomer's datagrams stand in line behind it three times, for the
cookie, IKE_SA_INIT and GSA_AUTH: that must be well below the time that half-open IKE SAs have."""
LEAST_BACKLOG: Final = 100
"""Half-open IKE SAs that are let in, however slow the server is."""
SENDERS_RESERVE: Final = 0.25
"""Of the limit, beyond it: for known senders."""
_RESERVED_SHARE: Final = SENDERS_RESERVE / (1 + SENDERS_RESERVE)
"""The same, of both together."""
PROMPT_SECONDS: Final = 2.0
"""A GSA_AUTH in hand so soon after IKE_SA_INIT says that the server keeps up."""
_WEIGHT: Final = 1 / 32
"""Of the newest value in a mean."""
_SMALL_WEIGHT: Final = 1 / 1024
_LEAST_COST_SECONDS: Final = 1e-6
_OUTLIER: Final = 10.0
"""Times the mean: what takes longer was held up by something else, and counts so much."""


def unmetered() -> float:
    """Stand still: for a meter where time is virtual."""
    return 0.0


class Load:
    """Exponentially weighted means; `meter()` gives seconds, of any origin.

    A meter that stands still measures nothing, and the default goes on to count.
    """

    __slots__ = ("_meter", "_promised_seconds", "_waited_seconds", "cost_seconds")

    def __init__(self, meter: Callable[[], float]) -> None:
        self._meter = meter
        self.cost_seconds = DEFAULT_COST_SECONDS
        """Mean of a whole registration, by GSA_AUTH or IKE_AUTH up to the answer."""
        self._promised_seconds = DEFAULT_COST_SECONDS
        """Mean of what becomes of a half-open IKE SA: nothing where its peer never comes."""
        self._waited_seconds = 0.0
        """Mean time from IKE_SA_INIT to GSA_AUTH."""

    def measure(self, half: HalfOpen, work: Callable[[], bool], waited: float) -> None:
        """Do a step of a registration; learn what it cost once `work` says that it is done.

        What raises counts nothing: strangers can send garbage to any half-open IKE SA.
        """
        began = self._meter()
        done = work()
        half.spent_seconds += self._meter() - began
        if done:
            self.learn(half.spent_seconds * WHOLE_PER_AUTH, waited)

    def learn(self, cost: float, waited: float) -> None:
        """Take in a registration's cost and its time from IKE_SA_INIT to GSA_AUTH, in seconds."""
        self._waited_seconds = _mean(self._waited_seconds, waited)
        cost = min(cost, self.cost_seconds * _OUTLIER)
        if cost > 0:
            self.cost_seconds = _mean(self.cost_seconds, cost)
            self._promised_seconds = _mean(self._promised_seconds, cost)

    def abandoned(self) -> None:
        """Count a half-open IKE SA whose GSA_AUTH never came.

        While others are prompt it is the peer's doing: without this a few addresses
        that only ever begin would keep everybody out.  Else it may be ours, and to let
        more of them in would be worse; but not where that goes on and on and nobody else
        comes.
        """
        if self._waited_seconds < PROMPT_SECONDS:
            self._promised_seconds = _mean(self._promised_seconds, 0.0)
        self._waited_seconds = _mean(self._waited_seconds, 0.0, _SMALL_WEIGHT)

    def backlog_limit(self, settings: ServerSettings) -> int:
        """Return beyond how many half-open IKE SAs only known senders may begin."""
        in_time = BACKLOG_SECONDS / max(self._promised_seconds, _LEAST_COST_SECONDS)
        # Where the operator's limit comes first, a fifth of it is what senders have.
        most = settings.max_half_open - int(settings.max_half_open * _RESERVED_SHARE)
        return min(most, max(LEAST_BACKLOG, int(in_time)))

    def senders_limit(self, settings: ServerSettings) -> int:
        """Return beyond how many half-open IKE SAs nobody may begin."""
        return int(self.backlog_limit(settings) * (1 + SENDERS_RESERVE))


def _mean(before: float, value: float, weight: float = _WEIGHT) -> float:
    return before + (value - before) * weight
