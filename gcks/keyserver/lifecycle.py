"""What the server asks of its peer on an established IKE SA, and when.

Liveness (RFC 7296 section 2.4), rekey of the IKE SA (sections 1.3.2 and 2.8), and
the end of an IKE SA that is no longer needed (RFC 9838 section 2.3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from gcks.errors import TemporaryFailure
from gcks.group.registration import KeyWrap
from gcks.iana import ExchangeType, NotifyType, ProtocolId
from gcks.ike import ike_rekey
from gcks.ike.channel import Channel
from gcks.ike.ike_rekey import Parent, Successor, Try
from gcks.ike.legality import Contents, Rule, check
from gcks.ike.negotiation import without_kwa
from gcks.keyserver.ike_sa import Asked, Established
from gcks.keyserver.settings import ServerSettings
from gcks.outcome import Transmit
from gcks.wire.delete import Delete
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.sa import SecurityAssociation

MAX_REKEY_TRIES: Final = 3
"""Requests in a row that a peer can cause by refusals."""
REKEY_RETRY_SECONDS: Final = 10.0
"""RFC 7296 section 2.25: after TEMPORARY_FAILURE, not at once."""

_DELETE_IKE_SA: Final = (Delete(ProtocolId.IKE, 0, ()),)
_RESPONSE: Final = Rule(ExchangeType.CREATE_CHILD_SA, is_response=True)
_REFUSAL: Final = Rule(ExchangeType.CREATE_CHILD_SA, is_response=True, is_error=True)

Entropy = Callable[[int], bytes]
DrawSpi = Callable[[], bytes]


def negotiate(sa: Established, contents: Contents, settings: ServerSettings) -> tuple[Notify, ...]:
    """Read what the peer announces with its AUTH; return what to announce in turn."""
    codes = settings.optimized_rekey
    if codes is None or contents.notify(codes.supported) is None:
        return ()
    sa.optimized = True
    return (Notify(codes.supported),)


def heard(sa: Established, settings: ServerSettings, now: float) -> None:
    """Note an authentic message of the peer."""
    sa.probe_at = now + settings.liveness_seconds if sa.replaced_by is None else inf


def busy_until(sa: Established) -> float:
    """Return when the SA wants attention."""
    if sa.channel.pending is not None:
        return sa.channel.pending.due
    return min(sa.idle_at, sa.rekey_at, sa.probe_at)


def ask(
    sa: Established, settings: ServerSettings, draw_spi: DrawSpi, entropy: Entropy, now: float
) -> tuple[Transmit, ...] | None:
    """Send what is due, or the request under way again; None: the peer doesn't answer."""
    if sa.channel.pending is not None:
        return sa.channel.repeat(settings.retransmission, now)
    if now >= sa.idle_at:
        return delete(sa, settings, now)
    if now >= sa.rekey_at:
        return rekey(sa, settings, draw_spi, entropy, now)
    if now >= sa.probe_at:
        return _request(sa, Asked.LIVENESS, ExchangeType.INFORMATIONAL, (), settings, now)
    return ()


def delete(sa: Established, settings: ServerSettings, now: float) -> tuple[Transmit, ...]:
    """Close the IKE SA."""
    return _request(sa, Asked.DELETE, ExchangeType.INFORMATIONAL, _DELETE_IKE_SA, settings, now)


def rekey(
    sa: Established,
    settings: ServerSettings,
    draw_spi: DrawSpi,
    entropy: Entropy,
    now: float,
    again: Try | None = None,
) -> tuple[Transmit, ...]:
    """Ask for a new IKE SA, optimized where that was negotiated."""
    wanted = again or Try(sa.optimized, None)
    request = ike_rekey.begin(
        sa.parent, accepted(sa, settings), draw_spi(), entropy,
        optimized=wanted.optimized, method=wanted.method,
    )  # fmt: skip
    sa.rekey_request, sa.rekey_at = request, inf
    sa.rekey_tries += 1
    payloads = request.payloads(_code(settings))
    return _request(sa, Asked.REKEY, ExchangeType.CREATE_CHILD_SA, payloads, settings, now)


def accepted(sa: Established, settings: ServerSettings) -> SecurityAssociation:
    """Return what a new IKE SA may use: KWA is part of every proposal of a GM (ruling 29)."""
    proposals = settings.ike_proposals
    return proposals if sa.parent.suite.kwa is not None else without_kwa(proposals)


def answer_rekey(
    sa: Established, contents: Contents, settings: ServerSettings, spi: bytes, entropy: Entropy
) -> tuple[tuple[Payload, ...], Successor]:
    """Answer the peer's request for a new IKE SA.

    Raises `TemporaryFailure` while this one is being closed or is replaced
    already (RFC 7296 section 2.25.2), and what `ike_rekey.answer` raises.
    """
    if sa.asked is Asked.DELETE or sa.replaced_by is not None:
        raise TemporaryFailure("this IKE SA is being closed")
    code = _code(settings) if sa.optimized else None
    return ike_rekey.answer(
        contents, sa.parent, accepted(sa, settings), spi, entropy, optimized_rekey=code
    )


def read_rekey(
    sa: Established, payloads: Sequence[Payload], settings: ServerSettings
) -> Successor | Try | None:
    """Read the response to our rekey request; None: refused, ask again later.

    Raises `PeerError` or `CryptoError` where it is nonsense.
    """
    request, sa.rekey_request = sa.rekey_request, None
    if request is None:
        raise TemporaryFailure("no rekey is under way")
    refused = _refusal(payloads)
    if refused is None:
        contents = check(_RESPONSE, payloads)
        return ike_rekey.complete(request, contents, sa.parent, _code(settings))
    check(_REFUSAL, payloads)
    again = ike_rekey.next_try(request, refused, accepted(sa, settings))
    return again if sa.rekey_tries < MAX_REKEY_TRIES else None


def successor(sa: Established, made: Successor, entropy: Entropy) -> Established:
    """Make the IKE SA that takes over: the same peer, new keys, Message IDs from 0."""
    channel = Channel(
        ike_rekey.protection_of(made, entropy),
        sa.path,
        initiator=made.initiator,
        fragment_octets=sa.channel.fragment_octets,
    )
    wrap = KeyWrap(made.suite.kwa or 0, made.gsk_w)
    new = Established(channel, Parent(made.suite, made.keys.sk_d), sa.identity, sa.name, wrap)
    new.optimized = sa.optimized
    return new


def begin_timers(sa: Established, settings: ServerSettings, now: float) -> None:
    """Start the times of an IKE SA that was just established."""
    sa.idle_at = now + settings.ike_sa_idle_seconds
    sa.rekey_at = now + settings.ike_sa_rekey_seconds
    sa.probe_at = now + settings.liveness_seconds


def _request(
    sa: Established,
    asked: Asked,
    exchange: int,
    payloads: Sequence[Payload],
    settings: ServerSettings,
    now: float,
) -> tuple[Transmit, ...]:
    sa.asked = asked
    return sa.channel.request(exchange, payloads, settings.retransmission, now)


def _refusal(payloads: Sequence[Payload]) -> Notify | None:
    notifies = (one for one in payloads if isinstance(one, Notify))
    return next((one for one in notifies if NotifyType(one.type).is_error), None)


def _code(settings: ServerSettings) -> int:
    return settings.optimized_rekey.rekey if settings.optimized_rekey is not None else 0
