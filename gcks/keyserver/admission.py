"""Who may begin an IKE SA, and at what price (RFC 7296 sections 2.4 and 2.6, RFC 8019).

No state is kept of a peer before it has passed; what it costs to refuse one is
less than what it cost to ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gcks.change import Change
from gcks.datagrams import Path, Transmit
from gcks.errors import Discard, DropReason, PeerError
from gcks.events import CookieRequired, Event, IkeSaInitAnswered, PuzzleRequired
from gcks.iana import NotifyType
from gcks.ike.cookie import NO_PUZZLE, CookieJar
from gcks.ike.puzzle import is_solved
from gcks.keyserver import ike_sa_init
from gcks.keyserver.admission_steps import Ladder, Step
from gcks.keyserver.configured import Configured
from gcks.keyserver.failures import Refusals
from gcks.keyserver.ike_sa_table import IkeSaTable
from gcks.keyserver.load import Load
from gcks.keyserver.prefixes import address_of
from gcks.keyserver.priority import KnownSenders
from gcks.keyserver.rates import Rates
from gcks.wire.header import HEADER_OCTETS, NO_SPI, Header
from gcks.wire.notify import Notify
from gcks.wire.payloads import decode_chain
from gcks.wire.puzzle import Puzzle, PuzzleSolution

COUNTED: Final = (
    "cookies_returned", "cookies_wrong", "puzzles_solved", "puzzles_wrong", "puzzles_unsolved",
    "over_rate", "over_limit", "senders_preferred",
)  # fmt: skip
UNSOLVED_PER_SECOND: Final = 5.0
"""Peers let in without a solution while puzzles are set: some can't solve any (RFC 8019 7.1)."""
_UNSOLVED: Final = "unsolved"


class Admission:
    """Answers IKE_SA_INIT requests."""

    __slots__ = (
        "_configured", "_cookies", "_entropy", "_ike_sas", "_ladder", "_load", "_rates",
        "_refusals", "_senders", "counts",
    )  # fmt: skip

    def __init__(
        self,
        configured: Configured,
        ike_sas: IkeSaTable,
        load: Load,
        senders: KnownSenders,
        *,
        entropy: Callable[[int], bytes],
        now: float,
    ) -> None:
        self._configured, self._ike_sas, self._load = configured, ike_sas, load
        self._senders, self._entropy = senders, entropy
        self._cookies = CookieJar(entropy, now)
        self._ladder = Ladder(now)
        self._rates = Rates()
        self._refusals = Refusals()
        self.counts = dict.fromkeys(COUNTED, 0)
        """What became of cookies and puzzles."""

    @property
    def step(self) -> Step:
        """The step of the ladder that the server has reached."""
        return self._ladder.reached

    def answer(
        self, header: Header, datagram: bytes, path: Path, now: float, change: Change
    ) -> None:
        """Answer a request.  Raises `Discard` and `WireError` for what gets no answer."""
        octets = self._answer(header, datagram, path, now, change)
        change.transmits.append(Transmit(octets, path))

    def _answer(
        self, header: Header, datagram: bytes, path: Path, now: float, change: Change
    ) -> bytes:
        if header.is_response or not header.from_initiator:
            raise Discard(DropReason.WRONG_ROLE, "an IKE_SA_INIT response")
        if header.spi_r != NO_SPI or header.spi_i == NO_SPI or header.message_id:
            raise Discard(DropReason.MALFORMED, "SPIs or Message ID of an IKE_SA_INIT request")
        half = self._ike_sas.find_init(header.spi_i, path)
        if half is not None:
            if half.request != datagram:
                raise Discard(DropReason.REPLAY, "another IKE_SA_INIT with the same SPI")
            return half.response
        if len(datagram) > ike_sa_init.MAX_REQUEST_OCTETS:
            raise Discard(DropReason.OVERSIZED, f"an IKE_SA_INIT request of {len(datagram)} octets")
        payloads = decode_chain(header.next_payload, datagram[HEADER_OCTETS:])
        try:
            request = ike_sa_init.read_request(header, payloads, datagram, path)
            return self._demand(request, now, change) or self._admit(request, now, change)
        except PeerError as error:
            change.events += self._refusals.events(header, path, error, now)
            return ike_sa_init.answer_in_clear(header, Notify(error.notify, error.data))

    def _demand(self, request: ike_sa_init.InitRequest, now: float, change: Change) -> bytes | None:
        """Ask for what the peer has yet to prove; None: it has proved enough.

        Raises `Discard` for a wrong puzzle solution, and for peers without one
        beyond the few that are let in all the same.
        """
        remote, settings = request.path.remote, self._configured.settings
        peer, rate = address_of(remote.host), settings.rate_per_address
        limit = self._load.backlog_limit(settings)
        step = self._ladder.step(remote.host, self._ike_sas, settings, limit, now)
        if not self._rates.has(peer, rate, now):
            step = max(step, Step.COOKIE)  # it may be that somebody else uses its address
        set_before = self._read_cookie(request, now)
        if step is Step.OPEN:
            return None
        if set_before is None or (step is Step.PUZZLE and not set_before.difficulty):
            return self._ask(step, request, now, change)
        if step is Step.PUZZLE:
            self._check_solution(set_before, request, now)
        if not self._rates.has(peer, rate, now):
            self.counts["over_rate"] += 1
            raise Discard(
                DropReason.LIMIT, "too many IKE SAs from one address (ike.rate_per_address)"
            )
        return None

    def _read_cookie(self, request: ike_sa_init.InitRequest, now: float) -> Puzzle | None:
        """Return the puzzle set with a cookie that is ours; None without such a cookie."""
        if not request.cookie:
            return None
        made = (request.nonce, request.path.remote, request.header.spi_i)
        puzzle = self._cookies.accepts(request.cookie, *made, now)
        self.counts["cookies_wrong" if puzzle is None else "cookies_returned"] += 1
        if puzzle is not None:
            self._ladder.returned()
        return puzzle

    def _ask(
        self, step: Step, request: ike_sa_init.InitRequest, now: float, change: Change
    ) -> bytes:
        """N(COOKIE) [N(PUZZLE)]: fewer octets than any request has."""
        puzzle = NO_PUZZLE
        if step is Step.PUZZLE:
            difficulty = self._configured.settings.puzzle_difficulty
            puzzle = Puzzle(ike_sa_init.offered_prf(request), difficulty)
        made = (request.nonce, request.path.remote, request.header.spi_i)
        notifies = [Notify(NotifyType.COOKIE, self._cookies.make(*made, now, puzzle))]
        remote = str(request.path.remote)
        event: Event = CookieRequired(remote)
        if puzzle.difficulty:
            notifies.append(Notify(NotifyType.PUZZLE, puzzle.encode_data()))
            event = PuzzleRequired(remote, puzzle.difficulty)
        self._ladder.demanded()
        change.events.append(event)
        return ike_sa_init.answer_in_clear(request.header, *notifies)

    def _check_solution(self, puzzle: Puzzle, request: ike_sa_init.InitRequest, now: float) -> None:
        """RFC 8019 section 7.1.4; who can't solve puzzles gets what little is left for it."""
        solution = request.contents.maybe(PuzzleSolution)
        if solution is not None and is_solved(puzzle, request.cookie, solution.data):
            self.counts["puzzles_solved"] += 1
        elif solution is not None:
            self.counts["puzzles_wrong"] += 1
            raise Discard(DropReason.LIMIT, "a wrong puzzle solution")
        elif not self._rates.take(_UNSOLVED, UNSOLVED_PER_SECOND, now):
            self.counts["puzzles_unsolved"] += 1
            raise Discard(DropReason.LIMIT, "the puzzle is not solved")

    def _admit(self, request: ike_sa_init.InitRequest, now: float, change: Change) -> bytes:
        remote, settings = request.path.remote, self._configured.settings
        self._check_room(remote.host, now)
        half = ike_sa_init.accept(
            request,
            ike_sa_init.negotiate(request, settings),
            self._configured,
            spi_r=self._ike_sas.draw_spi(),
            nonce=self._entropy(ike_sa_init.NONCE_OCTETS),
            now=now,
        )
        self._rates.take(address_of(remote.host), settings.rate_per_address, now)
        self._ike_sas.add(half)
        change.events.append(IkeSaInitAnswered(str(remote)))
        return half.response

    def _check_room(self, address: str, now: float) -> None:
        """Let in what can be served in time, and known senders a little beyond.

        A crowded network doesn't keep them out either: others crowd it.  The ladder
        demands cookies long before any limit is reached, so that by now the address is
        proved.  Raises `Discard`: an answer would cost more, and peers ask again.
        """
        ike_sas, load, settings = self._ike_sas, self._load, self._configured.settings
        try:
            ike_sas.check_room(address, settings, load.backlog_limit(settings))
        except Discard:
            if not self._senders.prefer(address, now):
                self.counts["over_limit"] += 1
                raise
            ike_sas.check_total(settings, load.senders_limit(settings))
            self.counts["senders_preferred"] += 1
