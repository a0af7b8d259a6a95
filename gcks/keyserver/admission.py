"""Who may begin an IKE SA, and at what price (RFC 7296 sections 2.4 and 2.6).

No state is kept of a peer before it has passed; what it costs to refuse one is
less than what it cost to ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from gcks.errors import Discard, DropReason, PeerError
from gcks.events import (
    CookieRequired,
    Event,
    IkeSaInitAnswered,
    RegistrationRefused,
    RequestRefused,
)
from gcks.iana import ExchangeType, NotifyType
from gcks.ike.cookie import CookieJar
from gcks.ike.credentials import Credentials
from gcks.keyserver import ike_sa_init
from gcks.keyserver.ike_sa_table import IkeSaTable
from gcks.keyserver.settings import ServerSettings
from gcks.outcome import Path
from gcks.wire.header import HEADER_OCTETS, NO_SPI, Header
from gcks.wire.notify import Notify
from gcks.wire.payloads import decode_chain


class Host(Protocol):
    """What admission needs of the engine."""

    settings: ServerSettings
    credentials: Credentials
    entropy: Callable[[int], bytes]
    ike_sas: IkeSaTable


class Answer(NamedTuple):
    """The IKE_SA_INIT response."""

    octets: bytes
    events: tuple[Event, ...] = ()


class Admission:
    """Answers IKE_SA_INIT requests."""

    __slots__ = ("_cookies",)

    def __init__(self, entropy: Callable[[int], bytes], now: float) -> None:
        self._cookies = CookieJar(entropy, now)

    def answer(self, host: Host, header: Header, datagram: bytes, path: Path, now: float) -> Answer:
        """Answer a request.  Raises `Discard` and `WireError` for what gets no answer."""
        if header.is_response or not header.from_initiator:
            raise Discard(DropReason.WRONG_ROLE, "an IKE_SA_INIT response")
        if header.spi_r != NO_SPI or header.spi_i == NO_SPI or header.message_id:
            raise Discard(DropReason.MALFORMED, "SPIs or Message ID of an IKE_SA_INIT request")
        half = host.ike_sas.find_init(header.spi_i, path)
        if half is not None:
            if half.request != datagram:
                raise Discard(DropReason.REPLAY, "another IKE_SA_INIT with the same SPI")
            return Answer(half.response)
        if len(datagram) > ike_sa_init.MAX_REQUEST_OCTETS:
            raise Discard(DropReason.OVERSIZED, f"an IKE_SA_INIT request of {len(datagram)} octets")
        payloads = decode_chain(header.next_payload, datagram[HEADER_OCTETS:])
        try:
            request = ike_sa_init.read_request(header, payloads, datagram, path)
            return self._admit(host, request, now)
        except PeerError as error:
            return _refuse(header, path, error)

    def _admit(self, host: Host, request: ike_sa_init.InitRequest, now: float) -> Answer:
        path, settings = request.path, host.settings
        if host.ike_sas.wants_cookie(path.remote.host, settings):
            made = (request.nonce, path.remote, request.header.spi_i)
            if not self._cookies.accepts(request.cookie, *made, now):
                notify = Notify(NotifyType.COOKIE, self._cookies.make(*made, now))
                octets = ike_sa_init.answer_in_clear(request.header, notify)
                return Answer(octets, (CookieRequired(str(path.remote)),))
        host.ike_sas.check_room(path.remote.host, settings)
        half = ike_sa_init.accept(
            request,
            ike_sa_init.negotiate(request, settings),
            host.ike_sas.draw_spi(),
            host.credentials,
            settings,
            host.entropy,
            now + settings.half_open_seconds,
        )
        host.ike_sas.add(half)
        return Answer(half.response, (IkeSaInitAnswered(str(path.remote)),))


def _refuse(header: Header, path: Path, error: PeerError) -> Answer:
    octets = ike_sa_init.answer_in_clear(header, Notify(error.notify, error.data))
    remote = str(path.remote)
    event: Event
    if error.notify == NotifyType.INVALID_KE_PAYLOAD:
        event = RequestRefused(remote, ExchangeType.IKE_SA_INIT, error.notify, error.cause)
    else:
        event = RegistrationRefused("", "", remote, error.notify, error.cause, error.hint)
    return Answer(octets, (event,))
