"""The protected messages of one IKE SA, for both roles: windows, repetitions, fragments.

RFC 7296 sections 2.1 to 2.3, RFC 7383.  A channel knows nothing of what an
exchange means; it hands out authentic payload chains and seals what its owner
answers or asks.  Window size 1 in both directions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from gcks.datagrams import Path, Transmit
from gcks.errors import Discard, DropReason, LocalError
from gcks.iana import PayloadType
from gcks.ike.fragments import Reassembly
from gcks.ike.protect import Fragment, IkeProtection, Inner
from gcks.ike.retransmission import PendingRequest, Retransmission, first_transmission
from gcks.ike.window import RequestWindow, WindowVerdict
from gcks.wire.header import FLAG_INITIATOR, FLAG_RESPONSE, Header
from gcks.wire.payloads import Payload


class Request(NamedTuple):
    """A new authentic request of the peer; `respond` is to follow."""

    exchange: int
    first: int
    chain: bytes


class Response(NamedTuple):
    """The authentic response to our request."""

    exchange: int
    first: int
    chain: bytes


class Repeated(NamedTuple):
    """A retransmitted request; the same response goes out again."""

    datagrams: tuple[bytes, ...]


Received = Request | Response | Repeated | None
"""None: a fragment, and others are missing; or a repetition of what is in hand."""


def addressed(datagrams: Iterable[bytes], path: Path) -> tuple[Transmit, ...]:
    """Return datagrams to send along a path, in their order."""
    return tuple(Transmit(octets, path) for octets in datagrams)


class Channel:
    """One IKE SA's messages.  `initiator` tells whether we are its original initiator."""

    __slots__ = (
        "_reassembly", "fragment_octets", "initiator", "next_message_id", "path", "pending",
        "protection", "window",
    )  # fmt: skip

    def __init__(
        self,
        protection: IkeProtection,
        path: Path,
        *,
        initiator: bool,
        fragment_octets: int | None = None,
        first_message_id: int = 0,
        expected_message_id: int = 0,
    ) -> None:
        """`fragment_octets` is the size above which we fragment; None: not negotiated."""
        self.protection, self.path, self.initiator = protection, path, initiator
        self.fragment_octets = fragment_octets
        self.next_message_id = first_message_id
        self.window = RequestWindow(expected_message_id)
        self.pending: PendingRequest | None = None
        self._reassembly: Reassembly | None = None

    # --- receiving ------------------------------------------------------------------

    def receive(self, header: Header, datagram: bytes, now: float) -> Received:
        """Take one datagram of this SA (RFC 7296 sections 2.1 to 2.3).

        `datagram` is all of it, `header` its own.  Raises `Discard` for what is
        replayed, forged or not ours, and `WireError` for a broken layout outside the
        encrypted part; either way the peer sees nothing.
        """
        if header.from_initiator == self.initiator:
            raise Discard(DropReason.WRONG_ROLE, _WRONG_ROLE[self.initiator])
        if header.is_response:
            return self._response(header, datagram, now)
        return self._request(header, datagram, now)

    def _request(self, header: Header, datagram: bytes, now: float) -> Received:
        verdict = self.window.judge(header.message_id)
        if verdict is WindowVerdict.IN_HAND:
            return None
        if verdict is WindowVerdict.OUTSIDE:
            raise Discard(DropReason.OUT_OF_WINDOW, f"Message ID {header.message_id}")
        repeated = verdict is WindowVerdict.REPEATED
        if header.next_payload == PayloadType.SKF:
            return self._request_fragment(header, datagram, now, repeated=repeated)
        first, chain = self.protection.open(datagram, header)
        if repeated:
            return Repeated(self.window.response or ())
        self._reassembly = None
        return Request(header.exchange, first, chain)

    def _request_fragment(
        self, header: Header, datagram: bytes, now: float, *, repeated: bool
    ) -> Received:
        """RFC 7383 section 2.6.1: only the first fragment brings the response again."""
        fragment = self._open_fragment(header, datagram)
        if repeated:
            return Repeated(self.window.response or ()) if fragment.number == 1 else None
        whole = self._add(fragment, header, now)
        return whole and Request(header.exchange, whole.first, whole.octets)

    def _response(self, header: Header, datagram: bytes, now: float) -> Received:
        pending = self.pending
        if pending is None:
            raise Discard(DropReason.OUT_OF_WINDOW, "a response that nobody waits for")
        if (header.exchange, header.message_id) != (pending.exchange, pending.message_id):
            raise Discard(DropReason.OUT_OF_WINDOW, f"a response with ID {header.message_id}")
        if header.next_payload == PayloadType.SKF:
            whole = self._add(self._open_fragment(header, datagram), header, now)
            if whole is None:
                return None
            first, chain = whole.first, whole.octets
        else:
            first, chain = self.protection.open(datagram, header)
        self.pending = self._reassembly = None
        return Response(header.exchange, first, chain)

    def _open_fragment(self, header: Header, datagram: bytes) -> Fragment:
        if self.fragment_octets is None:
            raise Discard(DropReason.MALFORMED, "a fragment, but fragmentation was not negotiated")
        return self.protection.open_fragment(datagram, header)

    def _add(self, fragment: Fragment, header: Header, now: float) -> Inner | None:
        if self._reassembly is None:
            self._reassembly = Reassembly()
        return self._reassembly.add(
            fragment, is_response=header.is_response, message_id=header.message_id, now=now
        )

    @property
    def held_octets(self) -> int:
        """Return how many octets of an incomplete message are held."""
        return self._reassembly.octets if self._reassembly is not None else 0

    def pause(self) -> None:
        """Take the request in hand as yet to be answered: its repetitions are absorbed."""
        self.window.in_hand = True

    # --- sending --------------------------------------------------------------------

    def respond(
        self, exchange: int, payloads: Sequence[Payload], path: Path | None = None
    ) -> tuple[Transmit, ...]:
        """Answer the request in hand, and keep the answer for its repetitions.

        It goes along `path`, where that isn't the channel's.
        """
        flags = FLAG_RESPONSE | self._role
        datagrams = self._seal(exchange, flags, self.window.expected, payloads)
        self.window.answered(datagrams)
        return addressed(datagrams, path or self.path)

    def request(
        self,
        exchange: int,
        payloads: Sequence[Payload],
        settings: Retransmission,
        now: float,
        *,
        tries: int | None = None,
    ) -> tuple[Transmit, ...]:
        """Send a request; the one before must have been answered.

        Raises `LocalError` where one is under way.
        """
        if self.pending is not None:
            raise LocalError("a request is under way")
        message_id, self.next_message_id = self.next_message_id, self.next_message_id + 1
        datagrams = self._seal(exchange, self._role, message_id, payloads)
        self.pending = first_transmission(
            exchange, message_id, datagrams, settings, now, tries=tries
        )
        return addressed(datagrams, self.path)

    def repeat(self, settings: Retransmission, now: float) -> tuple[Transmit, ...] | None:
        """Send the request under way again; None where all tries are used up."""
        pending = self.pending
        if pending is None or pending.exhausted:
            return None
        self.pending = pending.repeated(settings, now)
        if self.path.stream:
            return ()  # RFC 9329 section 6.2: TCP repeats; only the time runs out
        return addressed(pending.datagrams, self.path)

    def say(self, exchange: int, payloads: Sequence[Payload]) -> tuple[Transmit, ...]:
        """Send a request once, and wait for nothing: the SA ends here."""
        datagrams = self._seal(exchange, self._role, self.next_message_id, payloads)
        return addressed(datagrams, self.path)

    @property
    def _role(self) -> int:
        return FLAG_INITIATOR if self.initiator else 0

    def _seal(
        self, exchange: int, flags: int, message_id: int, payloads: Sequence[Payload]
    ) -> tuple[bytes, ...]:
        whole = self.path.stream  # nothing is fragmented over TCP
        max_octets = None if whole else self.fragment_octets
        return self.protection.seal_messages(exchange, flags, message_id, payloads, max_octets)


_WRONG_ROLE: Final = {True: "our own messages come back", False: "the initiator flag is missing"}
