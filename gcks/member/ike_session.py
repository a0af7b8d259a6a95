"""The IKE SA from the member's side: one request under way, the server's requests answered.

RFC 7296 sections 1.2, 2.1 to 2.4, 2.21.  The session knows nothing of groups;
it reports what became of its request as a `Progress`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from math import inf
from typing import Final

from gcks.crypto.errors import CryptoError
from gcks.datagrams import Endpoint, Path
from gcks.errors import (
    Discard,
    DropReason,
    PeerError,
    WireError,
)
from gcks.events import IkeSaRekeyed, RequestRefused
from gcks.iana import ExchangeType, NotifyType, ProtocolId
from gcks.ike.channel import Channel, Repeated, Request, Response, addressed
from gcks.ike.ike_rekey import Parent, Successor
from gcks.ike.key_log_entry import log_entry
from gcks.ike.legality import Contents, Rule, check
from gcks.ike.retransmission import PendingRequest
from gcks.ike.secured import Asked, Secured
from gcks.ike.succession import (
    AskAgain,
    AskLater,
    Close,
    Forget,
    Redundant,
    TakeOver,
    answer,
    answered,
    channel_of,
    hand_over,
)
from gcks.member.change import MemberChange
from gcks.member.ike_sa_init import (
    ExchangeFailed,
    IkeSa,
    draw_spi,
)
from gcks.member.initiation import Initiation, unanswered
from gcks.member.progress import Ended, KeysAgreed, Progress, Received
from gcks.member.settings import MemberSettings
from gcks.wire.delete import Delete
from gcks.wire.header import MAJOR_VERSION, Header
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload, decode_chain

TRIES_WHEN_ESTABLISHED: Final = 4
"""The server may have closed the IKE SA long ago: find out quickly."""
TRIES_IN_A_HURRY: Final = 2
FIRST_PROTECTED_MESSAGE_ID: Final = 1


class SessionState(Enum):
    """What the session expects next."""

    IKE_SA_INIT = "ike_sa_init"
    """Expects the IKE_SA_INIT response."""
    UNAUTHENTICATED = "gsa_auth"
    """Has keys; expects the GSA_AUTH response."""
    ESTABLISHED = "established"
    CLOSED = "none"


class IkeSession:
    """The IKE SA with the server from the first request to the end, rekeys included.

    While one replaces another there are two; the newest is used.
    """

    def __init__(
        self, settings: MemberSettings, entropy: Callable[[int], bytes], *, tcp: bool = False
    ) -> None:
        self._settings = settings
        self._entropy = entropy
        self._path = Path(settings.local, settings.server)
        if tcp:
            remote = Endpoint(settings.server.host, settings.tcp_port)
            self._path = Path(settings.local, remote, stream=1)
        self._initiation: Initiation | None = Initiation(settings, self._path, entropy)
        """IKE_SA_INIT, until there are keys."""
        self.sas: list[Secured] = []
        """Those with keys: the newest last."""
        self._asking: tuple[ExchangeType, tuple[Payload, ...]] | None = None
        """The engine's request under way."""
        self.state = SessionState.IKE_SA_INIT
        self.sa: IkeSa | None = None
        self.proved = False
        """Whether the server's AUTH was verified."""

    # --- sending ------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Tell whether a request of the next exchange can be sent."""
        return (
            self.state is SessionState.ESTABLISHED
            and self._asking is None
            and self.current().channel.pending is None
        )

    @property
    def next_timeout(self) -> float:
        """When a request is sent again, given up, or begun."""
        if self._initiation is not None:
            return self._initiation.next_timeout
        return min((sa.wants_at for sa in self.sas), default=inf)

    def current(self) -> Secured:
        """Return the IKE SA that is used.  Raises ExchangeFailed before there are keys."""
        if not self.sas:
            raise ExchangeFailed("the IKE SA has no keys yet")
        return self.sas[-1]

    def start(self, now: float, change: MemberChange) -> None:
        """Send IKE_SA_INIT."""
        if self._initiation is not None:
            self._initiation.start(now, change)

    def request(
        self, exchange: ExchangeType, payloads: Sequence[Payload], now: float, change: MemberChange
    ) -> None:
        """Send a protected request; the one before must have been answered."""
        self._asking = exchange, tuple(payloads)
        current, settings = self.current(), self._settings
        change.transmits += current.ask(Asked.EXCHANGE, exchange, payloads, settings, now)

    def say(
        self, exchange: ExchangeType, payloads: Sequence[Payload], change: MemberChange
    ) -> None:
        """Send a protected request once, and don't wait: the session ends here."""
        change.transmits += self.current().channel.say(exchange, payloads)
        self.close()

    def authenticated(self, payloads: Sequence[Payload], now: float) -> None:
        """Note that the server has proved who it is, and what it announces."""
        self.state = SessionState.ESTABLISHED
        self.proved = True
        current, codes = self.current(), self._settings.optimized_rekey
        current.tries = TRIES_WHEN_ESTABLISHED
        current.optimized = codes is not None and any(
            isinstance(payload, Notify) and payload.type == codes.supported for payload in payloads
        )
        current.begin_timers(self._settings, now)
        if self.sa is not None and self.sa.own_nat:
            current.begin_keepalives(now)

    def hurry(self) -> None:
        """Give up soon where the server doesn't answer: it may have forgotten this IKE SA."""
        for sa in self.sas:
            sa.tries = TRIES_IN_A_HURRY

    def close(self) -> None:
        """End the session without a word."""
        self.state = SessionState.CLOSED
        self._initiation = self._asking = None
        self.sas.clear()

    # --- time -----------------------------------------------------------------------

    def handle_timeout(self, now: float, change: MemberChange) -> Progress | None:
        """Retransmit with exponential back-off, or give up (RFC 7296 section 2.4)."""
        if self._initiation is not None:
            failed = self._initiation.handle_timeout(now, change)
            if failed is not None:
                self.close()
            return failed
        for sa in [sa for sa in self.sas if sa.wants_at <= now]:
            pending = sa.channel.pending
            sent = sa.act(self._settings, draw_spi(self._entropy), self._entropy, now)
            if sent is None:
                self.sas.remove(sa)
                if not self.sas and pending is not None:
                    return self._unanswered(pending)
            change.transmits += sent or ()
        return None

    def _unanswered(self, pending: PendingRequest) -> Ended:
        self.close()
        return unanswered(pending, self._path)

    def _fail(self, cause: str) -> Ended:
        self.close()
        return Ended(cause)

    # --- receiving --------------------------------------------------------------------

    def receive(
        self, datagram: bytes, header: Header, path: Path, now: float, change: MemberChange
    ) -> Progress | None:
        """Take a unicast datagram.  Raises Discard or WireError for what isn't ours."""
        initiation = self._initiation
        if initiation is not None and header.spi_i == initiation.spi_i:
            return self._receive_init(initiation, datagram, header, path, now, change)
        sa = self._find(header)
        if header.major != MAJOR_VERSION:
            raise Discard(DropReason.UNKNOWN_VERSION)
        if not header.is_response and self.state is not SessionState.ESTABLISHED:
            raise Discard(DropReason.UNEXPECTED_EXCHANGE, "a request before authentication")
        received = sa.channel.receive(header, datagram, now)
        if received is None:
            return None
        if isinstance(received, Repeated):
            change.transmits += addressed(received.datagrams, path)
            return None
        try:
            sa.heard(self._settings, now)
            if isinstance(received, Request):
                return self._receive_request(sa, received, path, now, change)
            return self._receive_response(sa, received, now, change)
        except Discard:
            raise
        except Exception:
            # It was authentic, and what it changes may be half done: trust this no more.
            self.close()
            raise

    def _find(self, header: Header) -> Secured:
        sa = self._of_spis(header.spi_i, header.spi_r)
        if sa is None:
            raise Discard(DropReason.UNKNOWN_SPI)
        return sa

    def _of_spis(self, spi_i: bytes, spi_r: bytes) -> Secured | None:
        for sa in reversed(self.sas):
            protection = sa.channel.protection
            if (protection.spi_i, protection.spi_r) == (spi_i, spi_r):
                return sa
        return None

    def _receive_init(
        self,
        initiation: Initiation,
        datagram: bytes,
        header: Header,
        path: Path,
        now: float,
        change: MemberChange,
    ) -> Progress | None:
        sa = initiation.receive(datagram, header, path, now, change)
        if sa is None:
            return None
        # All at once: an error before leaves the initiation, which asks again.
        secured = self._secured(sa)
        entry = log_entry(sa.suite, header.spi_i, header.spi_r, sa.keys)
        self.state, self._initiation, self.sa = SessionState.UNAUTHENTICATED, None, sa
        self.sas.append(secured)
        change.keys.append(entry)
        return KeysAgreed()

    def _secured(self, sa: IkeSa) -> Secured:
        channel = Channel(
            sa.protection,
            self._path_after(sa),
            initiator=True,
            fragment_octets=self._settings.fragment_octets if sa.fragmentation else None,
            first_message_id=FIRST_PROTECTED_MESSAGE_ID,
        )
        return Secured(channel, Parent(sa.suite, sa.keys.sk_d), sa.gsk_w)

    def _path_after(self, sa: IkeSa) -> Path:
        """RFC 7296 section 2.23: behind a NAT go to port 4500, whichever port this began on."""
        settings = self._settings
        if not sa.behind_nat or self._path.stream:
            return self._path
        return Path(
            Endpoint(settings.local.host, settings.local_natt_port),
            Endpoint(settings.server.host, settings.natt_port),
            marker=True,
        )

    def _receive_response(
        self, sa: Secured, response: Response, now: float, change: MemberChange
    ) -> Progress | None:
        asked, sa.asked = sa.asked, None
        if asked is Asked.DELETE:
            return self._gone(sa, Ended("the IKE SA that replaced another is gone"), now, change)
        if asked is Asked.LIVENESS:
            self._resume(now, change)
            return None
        if asked is Asked.REKEY:
            return self._rekey_answered(sa, response, now, change)
        try:
            payloads = decode_chain(response.first, response.chain)
        except WireError as error:
            return self._fail(f"the server's response is malformed: {error}")
        self._asking = None
        return Received(response.exchange, payloads, sa)

    def _gone(self, sa: Secured, ended: Ended, now: float, change: MemberChange) -> Ended | None:
        """Forget an IKE SA; the session has `ended` where no other is left to use."""
        self.sas.remove(sa)
        if any(other.asked is not Asked.DELETE for other in self.sas):
            self._resume(now, change)
            return None
        self.close()
        return ended

    # --- a new IKE SA in place of one ----------------------------------------------------

    def _rekey_answered(
        self, old: Secured, response: Response, now: float, change: MemberChange
    ) -> Progress | None:
        decision = answered(old, response, self._settings, now)
        match decision:
            case TakeOver():
                self._take_over(old, decision, now, change)
            case Redundant(made):
                self.sas.insert(0, ours := self._successor(old, made, now, change))
                change.transmits += ours.delete(self._settings, now)
            case AskAgain(wanted):
                spi = draw_spi(self._entropy)
                change.transmits += old.rekey(self._settings, spi, self._entropy, now, wanted)
            case AskLater(at):
                old.rekey_at = at
            case Close(cause):
                return self._gone(old, Ended(cause), now, change)
            case Forget():
                pass
        self._resume(now, change)
        return None

    def _take_over(
        self, old: Secured, decision: TakeOver, now: float, change: MemberChange
    ) -> None:
        """Use a new IKE SA, and ask over it what was left unanswered."""
        made, rival = decision.made, None
        if decision.rival is not None:
            rival = self._of_spis(decision.rival.spi_i, decision.rival.spi_r)
        self.sas.append(self._successor(old, made, now, change))
        change.transmits += hand_over(old, made, rival, self._settings, now)
        self._resume(now, change)
        server, identity = str(self._settings.server), str(self._settings.server_identity)
        change.events.append(IkeSaRekeyed(server, identity, by_peer=not made.initiator))

    def _successor(
        self, old: Secured, made: Successor, now: float, change: MemberChange
    ) -> Secured:
        """Return the same server's new IKE SA."""
        change.keys.append(log_entry(made.suite, made.spi_i, made.spi_r, made.keys))
        channel = channel_of(made, old, self._entropy)
        new = Secured(channel, Parent(made.suite, made.keys.sk_d), made.gsk_w)
        new.inherit(old)
        new.begin_timers(self._settings, now)
        return new

    # --- the server's requests -----------------------------------------------------------

    def _receive_request(
        self, sa: Secured, request: Request, path: Path, now: float, change: MemberChange
    ) -> Progress | None:
        payloads, follows = self._answer(sa, request, path, change)
        change.transmits += sa.channel.respond(request.exchange, payloads, path)
        match follows:
            case TakeOver():
                self._take_over(sa, follows, now, change)
                return None
            case Ended(by_server=True):
                return self._gone(sa, follows, now, change)
            case Ended():
                self.close()
        return follows

    def _resume(self, now: float, change: MemberChange) -> None:
        """Ask on the newest IKE SA what an old one has left unanswered."""
        if self._asking is None or any(sa.asked is Asked.EXCHANGE for sa in self.sas):
            return
        if self.current().channel.pending is None:
            self.request(*self._asking, now, change)

    def _answer(
        self, sa: Secured, request: Request, path: Path, change: MemberChange
    ) -> tuple[tuple[Payload, ...], TakeOver | Ended | Received | None]:
        """Return the response's payloads, and what follows from the request."""
        handler = _HANDLERS.get(request.exchange)
        if handler is None:
            raise Discard(DropReason.UNEXPECTED_EXCHANGE, str(ExchangeType(request.exchange)))
        try:
            rule = Rule(request.exchange, is_response=False)
            return handler(self, sa, check(rule, decode_chain(request.first, request.chain)))
        except (WireError, PeerError, CryptoError) as error:
            notify, data = NotifyType.INVALID_SYNTAX, b""
            if isinstance(error, PeerError):
                notify, data = error.notify, error.data
            exchange, server = ExchangeType(request.exchange), str(self._settings.server_identity)
            change.events.append(
                RequestRefused(str(path.remote), exchange, notify, str(error), server)
            )
            # An authentic peer that sends nonsense: RFC 7296 section 2.21.3.
            nonsense = isinstance(error, WireError)
            follows = Ended(f"malformed request: {error}") if nonsense else None
            return error_response(notify, data), follows

    def _informational(
        self, sa: Secured, contents: Contents
    ) -> tuple[tuple[Payload, ...], Ended | None]:
        """RFC 7296 sections 1.4 and 2.4: an empty request is a liveness check."""
        del sa
        closes = any(payload.protocol == ProtocolId.IKE for payload in contents.all(Delete))
        return (), Ended("deleted by the server", by_server=True) if closes else None

    def _gsa_inband_rekey(
        self, sa: Secured, contents: Contents
    ) -> tuple[tuple[Payload, ...], Received]:
        """RFC 9838 section 2.4.2: the response is empty, whatever comes of it."""
        payloads = tuple(contents.everything())
        return (), Received(ExchangeType.GSA_INBAND_REKEY, payloads, sa)

    def _create_child_sa(
        self, sa: Secured, contents: Contents
    ) -> tuple[tuple[Payload, ...], TakeOver]:
        """RFC 7296 section 1.3.2: a new IKE SA; a GM makes no Child SAs with its GCKS."""
        spi = draw_spi(self._entropy)
        return answer(sa, contents, self._settings, spi, self._entropy)


_Answer = tuple[tuple[Payload, ...], TakeOver | Ended | Received | None]
_HANDLERS: Final[dict[int, Callable[[IkeSession, Secured, Contents], _Answer]]] = {
    ExchangeType.INFORMATIONAL: IkeSession._informational,
    ExchangeType.CREATE_CHILD_SA: IkeSession._create_child_sa,
    ExchangeType.GSA_INBAND_REKEY: IkeSession._gsa_inband_rekey,
}


def error_response(notify: NotifyType, data: bytes = b"") -> tuple[Payload, ...]:
    """Refuse a request of the server."""
    return (Notify(notify, data),)
