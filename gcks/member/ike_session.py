"""The IKE SA from the member's side: one request under way, the server's requests answered.

RFC 7296 sections 1.2, 2.1 to 2.4, 2.21.  The session knows nothing of groups;
it reports what became of its request as a `Progress`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Final

from gcks.errors import Discard, DropReason, GcksError, PeerError, WireError
from gcks.iana import ExchangeType, NotifyType
from gcks.ike.channel import Channel, Repeated, Request, Response, addressed
from gcks.ike.retransmission import PendingRequest, first_transmission
from gcks.member.effects import Effects
from gcks.member.ike_sa_init import ExchangeFailed, IkeSa, begin, complete, read_retry, refusal
from gcks.member.informational import closes_ike_sa, error_response
from gcks.member.settings import MemberSettings
from gcks.outcome import Endpoint, Path
from gcks.wire.header import HEADER_OCTETS, Header
from gcks.wire.payloads import Payload, decode_chain

TRIES_WHEN_ESTABLISHED: Final = 4
"""The server may have closed the IKE SA long ago: find out quickly."""
FIRST_PROTECTED_MESSAGE_ID: Final = 1
MAJOR_VERSION: Final = 2
"""The minor version is ignored (RFC 7296 section 2.5)."""


class SessionState(Enum):
    """What the session expects next."""

    IKE_SA_INIT = "ike_sa_init"
    """Expects the IKE_SA_INIT response."""
    UNAUTHENTICATED = "gsa_auth"
    """Has keys; expects the GSA_AUTH response."""
    ESTABLISHED = "established"
    CLOSED = "none"


@dataclass(frozen=True, slots=True)
class KeysAgreed:
    """IKE_SA_INIT is done: GSA_AUTH may be sent."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The authentic payloads of the response to our protected request."""

    exchange: int
    payloads: tuple[Payload, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The session is over, and the request with it."""

    cause: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ClosedByServer:
    """The server deleted the IKE SA: normal with multicast rekey (RFC 9838 section 2.3.3)."""


Progress = KeysAgreed | Answered | Failed | ClosedByServer


class IkeSession:
    """One IKE SA, from the first request to its end."""

    def __init__(self, settings: MemberSettings, entropy: Callable[[int], bytes]) -> None:
        self._settings = settings
        self._entropy = entropy
        self._path = Path(settings.local, settings.server)
        self._attempt = begin(
            settings.ike_proposals,
            self._path,
            entropy,
            fragmentation=settings.fragment_octets is not None,
        )
        self._init: PendingRequest | None = None
        """IKE_SA_INIT, while it waits for its response."""
        self._channel: Channel | None = None
        self._doubt: ExchangeFailed | None = None
        self.state = SessionState.IKE_SA_INIT
        self.sa: IkeSa | None = None
        self.proved = False
        """Whether the server's AUTH was verified."""

    # --- sending ------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Tell whether a request of the next exchange can be sent."""
        return self.state is SessionState.ESTABLISHED and self._pending is None

    @property
    def _pending(self) -> PendingRequest | None:
        return self._channel.pending if self._channel is not None else self._init

    @property
    def next_timeout(self) -> float:
        """When the request under way is sent again, or given up."""
        return self._pending.due if self._pending is not None else inf

    def start(self, now: float, effects: Effects) -> None:
        """Send IKE_SA_INIT."""
        request = (self._attempt.request,)
        settings = self._settings.retransmission
        self._init = first_transmission(ExchangeType.IKE_SA_INIT, 0, request, settings, now)
        effects.send(addressed(request, self._path))

    def request(
        self, exchange: ExchangeType, payloads: Sequence[Payload], now: float, effects: Effects
    ) -> None:
        """Send a protected request; the one before must have been answered."""
        tries = TRIES_WHEN_ESTABLISHED if self.state is SessionState.ESTABLISHED else None
        settings = self._settings.retransmission
        effects.send(self._open().request(exchange, payloads, settings, now, tries=tries))

    def say(self, exchange: ExchangeType, payloads: Sequence[Payload], effects: Effects) -> None:
        """Send a protected request once, and don't wait: the session ends here."""
        effects.send(self._open().say(exchange, payloads))
        self.close()

    def authenticated(self) -> None:
        """Note that the server has proved who it is."""
        self.state = SessionState.ESTABLISHED
        self.proved = True

    def close(self) -> None:
        """End the session without a word."""
        self.state = SessionState.CLOSED
        self._init = self._channel = None

    def _open(self) -> Channel:
        if self._channel is None:
            raise ExchangeFailed("the IKE SA has no keys yet")
        return self._channel

    # --- time -----------------------------------------------------------------------

    def handle_timeout(self, now: float, effects: Effects) -> Progress | None:
        """Retransmit with exponential back-off, or give up (RFC 7296 section 2.4)."""
        pending = self._pending
        if pending is None or pending.due > now:
            return None
        if self._doubt is not None:
            return self._fail(self._doubt.cause, self._doubt.hint)
        if pending.exhausted:
            exchange = ExchangeType(pending.exchange)
            return self._fail(
                f"no answer to {exchange} from {self._path.remote} after {pending.sent} tries",
                "check that the server runs, its address and port, and the firewalls between",
            )
        self._repeat(pending, now, effects)
        return None

    def _repeat(self, pending: PendingRequest, now: float, effects: Effects) -> None:
        settings = self._settings.retransmission
        if self._channel is not None:
            effects.send(self._channel.repeat(settings, now) or ())
            return
        self._init = pending.repeated(settings, now)
        effects.send(addressed(pending.datagrams, self._path))

    def _fail(self, cause: str, hint: str) -> Failed:
        self.close()
        return Failed(cause, hint)

    # --- receiving --------------------------------------------------------------------

    def receive(
        self, datagram: bytes, header: Header, path: Path, now: float, effects: Effects
    ) -> Progress | None:
        """Take a unicast datagram.  Raises Discard or WireError for what isn't ours."""
        if header.spi_i != self._attempt.spi_i or self.state is SessionState.CLOSED:
            raise Discard(DropReason.UNKNOWN_SPI)
        if self._channel is None:
            return self._receive_init(datagram, header, path, now, effects)
        if header.spi_r != self._channel.protection.spi_r:
            raise Discard(DropReason.UNKNOWN_SPI)
        if header.major != MAJOR_VERSION:
            raise Discard(DropReason.UNKNOWN_VERSION)
        if not header.is_response and self.state is not SessionState.ESTABLISHED:
            raise Discard(DropReason.UNEXPECTED_EXCHANGE, "a request before authentication")
        received = self._channel.receive(header, datagram, now)
        if isinstance(received, Request):
            return self._receive_request(received, path, effects)
        if isinstance(received, Repeated):
            effects.send(addressed(received.datagrams, path))
            return None
        return self._receive_response(received) if received is not None else None

    def _receive_init(
        self, datagram: bytes, header: Header, path: Path, now: float, effects: Effects
    ) -> Progress | None:
        """Read the IKE_SA_INIT response, which anybody on the way could have forged.

        A refusal therefore only ends the attempt if nothing better has come
        until the next retransmission (RFC 7296 section 2.21.1).
        """
        if header.from_initiator:
            raise Discard(DropReason.WRONG_ROLE, "our own messages come back")
        if not header.is_response or header.exchange != ExchangeType.IKE_SA_INIT:
            raise Discard(DropReason.UNEXPECTED_EXCHANGE, "before the IKE_SA_INIT response")
        if self._init is None or header.message_id:
            raise Discard(DropReason.OUT_OF_WINDOW, "a response that nobody waits for")
        if path.remote.host != self._path.remote.host:
            raise Discard(DropReason.UNKNOWN_SPI, "IKE_SA_INIT response from elsewhere")
        if header.major != MAJOR_VERSION:
            raise Discard(DropReason.UNKNOWN_VERSION)
        payloads = decode_chain(header.next_payload, datagram[HEADER_OCTETS:])
        offer = self._settings.ike_proposals
        try:
            retry = read_retry(self._attempt, payloads, offer, self._path)
            refused = refusal(payloads)
            if retry is not None:
                self._attempt = retry
                self.start(now, effects)
                return None
            if refused is not None:
                raise refused
            self.sa = complete(
                self._attempt, datagram, header, payloads, offer, path, self._entropy
            )
        except GcksError as error:
            self._doubt = _as_failure(error)
            raise Discard(DropReason.MALFORMED, self._doubt.cause) from error
        self._init = self._doubt = None
        self.state = SessionState.UNAUTHENTICATED
        self._move_if_behind_nat(self.sa)
        self._channel = Channel(
            self.sa.protection,
            self._path,
            initiator=True,
            fragment_octets=self._settings.fragment_octets if self.sa.fragmentation else None,
            first_message_id=FIRST_PROTECTED_MESSAGE_ID,
        )
        return KeysAgreed()

    def _move_if_behind_nat(self, sa: IkeSa) -> None:
        """RFC 7296 section 2.23: go to port 4500, whichever port this began on."""
        if sa.behind_nat:
            settings = self._settings
            self._path = Path(
                Endpoint(settings.local.host, settings.local_natt_port),
                Endpoint(settings.server.host, settings.natt_port),
                marker=True,
            )

    def _receive_response(self, response: Response) -> Progress:
        try:
            payloads = decode_chain(response.first, response.chain)
        except WireError as error:
            return self._fail(f"the server's response is malformed: {error}", "")
        return Answered(response.exchange, payloads)

    # --- the server's requests -----------------------------------------------------------

    def _receive_request(self, request: Request, path: Path, effects: Effects) -> Progress | None:
        payloads, ends = self._answer(request)
        effects.send(self._open().respond(request.exchange, payloads, path))
        if ends is not None:
            self.close()
        return ends

    def _answer(self, request: Request) -> tuple[tuple[Payload, ...], Progress | None]:
        """Return the response's payloads, and how the session ends, if it does."""
        if request.exchange == ExchangeType.CREATE_CHILD_SA:
            return error_response(NotifyType.NO_ADDITIONAL_SAS), None
        if request.exchange != ExchangeType.INFORMATIONAL:
            raise Discard(DropReason.UNEXPECTED_EXCHANGE, str(ExchangeType(request.exchange)))
        try:
            closes = closes_ike_sa(decode_chain(request.first, request.chain))
        except WireError as error:
            # An authentic peer that sends nonsense: RFC 7296 section 2.21.3.
            return error_response(NotifyType.INVALID_SYNTAX), Failed(f"malformed request: {error}")
        except PeerError as error:
            return error_response(error.notify, error.data), None
        return (), ClosedByServer() if closes else None


def _as_failure(error: GcksError) -> ExchangeFailed:
    if isinstance(error, ExchangeFailed):
        return error
    hint = error.hint if isinstance(error, PeerError) else ""
    return ExchangeFailed(f"the IKE_SA_INIT response is unacceptable: {error}", hint)
