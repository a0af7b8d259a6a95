"""IKE_SA_INIT from the first request to keys: sent again, tried again, and worked for.

RFC 7296 sections 1.2, 2.1, 2.6, 2.7 and 2.21.1; RFC 8019 section 7.1.  Anybody on
the way could have forged the responses, so nothing they can cause is unbounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from gcks.datagrams import Path
from gcks.errors import Discard, DropReason, GcksError, PeerError
from gcks.iana import ExchangeType
from gcks.ike.channel import addressed
from gcks.ike.puzzle import PuzzleSolver
from gcks.ike.retransmission import PendingRequest, first_transmission
from gcks.member.change import MemberChange
from gcks.member.ike_sa_init import (
    ExchangeFailed,
    IkeSa,
    InitAttempt,
    begin,
    complete,
    read_puzzle,
    read_retry,
    refusal,
    repeats_cookie,
    with_solution,
)
from gcks.member.progress import Ended
from gcks.member.settings import MemberSettings, Transport
from gcks.wire.header import HEADER_OCTETS, MAJOR_VERSION, Header
from gcks.wire.payloads import Payload, decode_chain

TRIES_PER_SLICE: Final = 4096
"""Some 5 ms of work on a puzzle."""
TRIES_BEFORE_TCP: Final = 3
"""Over UDP, where TCP is to be tried next (RFC 9329 section 5.1)."""


class Initiation:
    """One attempt to agree on keys with the server."""

    def __init__(
        self, settings: MemberSettings, path: Path, entropy: Callable[[int], bytes]
    ) -> None:
        self._settings, self._path, self._entropy = settings, path, entropy
        self._attempt = begin(
            settings.ike_proposals,
            path,
            entropy,
            fragmentation=settings.fragment_octets is not None,
        )
        self._pending: PendingRequest | None = None
        self._doubt: ExchangeFailed | None = None
        self._solver: PuzzleSolver | None = None
        """At work on the puzzle that came with the cookie of the attempt."""

    @property
    def spi_i(self) -> bytes:
        return self._attempt.spi_i

    @property
    def next_timeout(self) -> float:
        """When the request is sent again or given up; at once while there is a puzzle."""
        if self._pending is None or self._solver is not None:
            return 0.0
        return self._pending.due

    def start(self, now: float, change: MemberChange) -> None:
        """Send the request, or the one that takes its place."""
        request = (self._attempt.request,)
        settings, transport = self._settings.retransmission, self._settings.transport
        hasty = transport is Transport.AUTO and not self._path.stream
        tries = TRIES_BEFORE_TCP if hasty else None
        self._pending = first_transmission(
            ExchangeType.IKE_SA_INIT, 0, request, settings, now, tries=tries
        )
        change.transmits += addressed(request, self._path)

    def handle_timeout(self, now: float, change: MemberChange) -> Ended | None:
        """Retransmit with exponential back-off, or give up (RFC 7296 section 2.4)."""
        if self._solver is not None:
            self._solve(self._solver, now, change)
            return None
        pending = self._pending
        if pending is None or pending.due > now:
            return None
        if self._doubt is not None:
            return Ended(self._doubt.cause, self._doubt.hint)
        if pending.exhausted:
            return unanswered(pending, self._path, first=True)
        self._pending = pending.repeated(self._settings.retransmission, now)
        # Over TCP the connection may have failed: what is sent again opens another.
        change.transmits += addressed(pending.datagrams, self._path)
        return None

    def _solve(self, solver: PuzzleSolver, now: float, change: MemberChange) -> None:
        """Work on the puzzle for some milliseconds; rekeys don't wait longer for it."""
        solution = solver.work(TRIES_PER_SLICE)
        if solution is not None:
            self._solver = None
            offer = self._settings.ike_proposals
            self._attempt = with_solution(self._attempt, solution, offer, self._path)
            self.start(now, change)

    def receive(
        self, datagram: bytes, header: Header, path: Path, now: float, change: MemberChange
    ) -> IkeSa | None:
        """Read the response; return the keys, or None where it asks for another request.

        A refusal only ends the attempt if nothing better has come until the next
        retransmission (RFC 7296 section 2.21.1).  Raises `Discard` and `WireError`.
        """
        self._check(header, path)
        payloads = decode_chain(header.next_payload, datagram[HEADER_OCTETS:])
        if repeats_cookie(self._attempt, payloads):
            raise Discard(DropReason.REPLAY, "a cookie that was given back already")
        offer = self._settings.ike_proposals
        try:
            retry = read_retry(self._attempt, payloads, offer, self._path)
            refused = refusal(payloads)
            if retry is not None:
                self._follow(retry, payloads, now, change)
                return None
            if refused is not None:
                self._doubt = refused
                raise Discard(DropReason.UNPROVED_REFUSAL, refused.cause)
            return complete(
                self._attempt, datagram, header, payloads, offer, path=path, entropy=self._entropy
            )
        except Discard:
            raise
        except GcksError as error:
            self._doubt = _as_failure(error)
            raise Discard(DropReason.MALFORMED, self._doubt.cause) from error

    def _follow(
        self, retry: InitAttempt, payloads: Sequence[Payload], now: float, change: MemberChange
    ) -> None:
        """Send the changed request, or first solve the puzzle that it needs."""
        self._attempt, self._solver = retry, None
        puzzle = read_puzzle(retry, payloads, self._settings.max_puzzle_difficulty)
        if puzzle is not None and retry.cookie is not None:
            self._solver = PuzzleSolver(puzzle, retry.cookie, self._entropy)
        else:
            self.start(now, change)

    def _check(self, header: Header, path: Path) -> None:
        if header.from_initiator:
            raise Discard(DropReason.WRONG_ROLE, "our own messages come back")
        if not header.is_response or header.exchange != ExchangeType.IKE_SA_INIT:
            raise Discard(DropReason.UNEXPECTED_EXCHANGE, "before the IKE_SA_INIT response")
        if self._pending is None or header.message_id:
            raise Discard(DropReason.OUT_OF_WINDOW, "a response that nobody waits for")
        if path.remote.host != self._path.remote.host:
            raise Discard(DropReason.UNKNOWN_SPI, "IKE_SA_INIT response from elsewhere")
        if header.major != MAJOR_VERSION:
            raise Discard(DropReason.UNKNOWN_VERSION)


def unanswered(pending: PendingRequest, path: Path, *, first: bool = False) -> Ended:
    """Tell that nobody answers; `first`: not even once, so another transport may do."""
    exchange, over = ExchangeType(pending.exchange), "TCP" if path.stream else "UDP"
    return Ended(
        f"no answer to {exchange} from {path.remote} over {over} after {pending.sent} tries",
        "check that the server runs, its address and port, and the firewalls between",
        unanswered=first,
    )


def _as_failure(error: GcksError) -> ExchangeFailed:
    if isinstance(error, ExchangeFailed):
        return error
    hint = error.hint if isinstance(error, PeerError) else ""
    return ExchangeFailed(f"the IKE_SA_INIT response is unacceptable: {error}", hint)
