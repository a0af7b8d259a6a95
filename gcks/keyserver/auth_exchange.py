"""GSA_AUTH and IKE_AUTH: from a half-open IKE SA to an established or a refused one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from gcks.change import Change
from gcks.crypto.errors import InvalidPublicKey
from gcks.datagrams import Path, Transmit
from gcks.errors import (
    AuthenticationFailed,
    Discard,
    DropReason,
    GcksError,
    PeerError,
    Phase,
    WireError,
    answer,
)
from gcks.iana import ExchangeType, NotifyType
from gcks.ike.channel import Request
from gcks.ike.key_log_entry import KeyLog
from gcks.ike.legality import Contents, check
from gcks.ike.proof import Wishes, read_wishes
from gcks.keyserver import gsa_auth
from gcks.keyserver.configured import Configured
from gcks.keyserver.exchanges import Exchanges
from gcks.keyserver.failures import registration_refused
from gcks.keyserver.ike_sa import AUTH_MESSAGE_ID, Agreed, Established, HalfOpen, Refused
from gcks.keyserver.peers import Peers
from gcks.wire.header import Header
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload, decode_chain


class _Received(NamedTuple):
    """The request of a half-open IKE SA, whole and unprotected."""

    half: HalfOpen
    secured: Agreed
    exchange: ExchangeType
    datagram: bytes
    """The last of them, where it came in fragments."""


class AuthExchange:
    """Answers the first protected request of a peer."""

    __slots__ = ("_configured", "_entropy", "_exchanges", "_key_log", "_peers", "_wall")

    def __init__(
        self,
        configured: Configured,
        peers: Peers,
        exchanges: Exchanges,
        *,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
        key_log: KeyLog | None,
    ) -> None:
        self._configured, self._peers, self._exchanges = configured, peers, exchanges
        self._entropy, self._wall, self._key_log = entropy, wall, key_log

    def answer(
        self,
        half: HalfOpen,
        header: Header,
        datagram: bytes,
        path: Path,
        now: float,
        change: Change,
    ) -> bool:
        """Take one datagram of a half-open IKE SA; tell whether that was all of the request.

        Raises `Discard`.
        """
        if header.exchange not in gsa_auth.REQUESTS:
            raise Discard(DropReason.UNEXPECTED_EXCHANGE, f"{ExchangeType(header.exchange)}")
        if header.message_id != AUTH_MESSAGE_ID:
            raise Discard(DropReason.OUT_OF_WINDOW, f"Message ID {header.message_id}")
        try:
            secured = gsa_auth.secure(half, self._entropy, self._key_log)
        except InvalidPublicKey as error:
            self._peers.drop(half)
            raise Discard(DropReason.MALFORMED, str(error)) from None
        ike_sas, channel = self._peers.ike_sas, secured.channel
        ike_sas.check_held(half)
        try:
            received = channel.receive(header, datagram, now)
        finally:
            ike_sas.holds(half, channel.held_octets)
        if not isinstance(received, Request):
            return False
        self._peers.speaking, half.path, secured.channel.path = half, path, path
        exchange = ExchangeType(header.exchange)
        request = _Received(half, secured, exchange, datagram)
        payloads: tuple[Payload, ...] = ()
        try:
            payloads = decode_chain(received.first, received.chain)
            gsa_auth.check_offered(exchange, self._configured.settings)
            contents = check(gsa_auth.REQUESTS[exchange], payloads)
            gsa_auth.check_identities(contents)
            wishes = read_wishes(contents, half.hashes)
        except (WireError, PeerError) as error:
            self._refuse(request, payloads, error, change)
        else:
            self._authenticate(request, contents, wishes, now, change)
        return True

    def _authenticate(
        self,
        request: _Received,
        contents: Contents,
        wishes: Wishes,
        now: float,
        change: Change,
    ) -> None:
        half, secured = request.half, request.secured
        try:
            peer = gsa_auth.authenticate(
                half, secured.keys, contents, wishes, self._configured, self._wall()
            )
        except AuthenticationFailed as error:
            self._refuse(request, contents.everything(), error, change)
            return
        sa = Established(
            secured.channel, peer.parent, peer.gsk_w, peer.identity, str(peer.identity)
        )
        sa.certificate_ends, sa.certificates = peer.keys.ends_at, peer.keys.references
        self._peers.establish(half, sa, now)
        self._peers.speaking = sa
        announced = self._peers.negotiate(sa, contents)
        if announced:
            peer = replace(peer, proof=(*peer.proof, *announced))
        self._peers.initial_contact(sa, contents, change)
        if request.exchange == ExchangeType.IKE_AUTH:
            self._exchanges.authenticated_only(sa, contents, peer, now, change)
        else:
            began_at = half.began_at
            self._exchanges.first_registration(sa, contents, peer, began_at, now, change)

    def _refuse(
        self, request: _Received, payloads: Sequence[Payload], error: GcksError, change: Change
    ) -> None:
        """RFC 7296 section 2.21.2: the notification alone, and the SA is gone."""
        told = answer(error, Phase.UNAUTHENTICATED)
        notify = Notify(told.notify or NotifyType.INVALID_SYNTAX, told.data)
        half = request.half
        remote = str(half.path.remote)
        change.events.append(registration_refused(payloads, remote, error, Phase.UNAUTHENTICATED))
        transmits = request.secured.channel.respond(request.exchange, (notify,))
        octets = b"".join(transmit.octets for transmit in transmits)
        self._peers.ike_sas.refuse(half, Refused(half, request.datagram, octets))
        change.transmits.append(Transmit(octets, half.path))

    @staticmethod
    def answer_again(sa: Refused, datagram: bytes, path: Path, change: Change) -> None:
        """Answer a refused peer that repeats its request.  Raises `Discard` for anything else."""
        if datagram != sa.request:
            raise Discard(DropReason.UNKNOWN_SPI, "the IKE SA was refused")
        change.transmits.append(Transmit(sa.response, path))
