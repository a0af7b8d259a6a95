"""A new IKE SA in the place of an old one: which one is used, and who deletes which.

RFC 7296 sections 1.3.2, 2.8, 2.8.2, 2.25; the same for both roles.

Who asks for the new IKE SA deletes the old one.  Where both sides ask before
either has heard of the other's request, there are two new ones.  The one that was
made with the lowest of the four nonces is closed, by who asked for it:

Our request            Peer's request         Then
---------------------  ---------------------  ---------------------------------------
answered               -                      use ours; delete the old one
-                      comes                  use theirs; the peer deletes the old one
under way              comes                  the same, until ours is answered
answered, ours wins    was answered           use ours; delete the old one; the peer
                                              deletes theirs
answered, ours loses   was answered           go on with theirs; delete ours; the peer
                                              deletes the old one
refused                was answered           go on with theirs; forget ours
refused                -                      ask in another way, or later
answered with nonsense -                      close the old one
answered               comes late             TEMPORARY_FAILURE: we delete the old one
-                      comes a second time    TEMPORARY_FAILURE: the peer deletes it
under way              Delete of the old one  it goes, and our request with it

Nothing here looks into a role's tables: `answer` and `answered` say what to do as a
`Decision`, and the role does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gcks.crypto.errors import CryptoError
from gcks.datagrams import Transmit
from gcks.errors import LocalError, NoAdditionalSas, PeerError, TemporaryFailure, WireError
from gcks.iana import ExchangeType, NotifyType
from gcks.ike import ike_rekey
from gcks.ike.channel import Channel, Response
from gcks.ike.ike_rekey import Entropy, RekeyRequest, Successor, Try
from gcks.ike.legality import Contents, Rule, check
from gcks.ike.secured import Asked, Secured, SecuredSettings, optimized_code
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload, decode_chain

MAX_REKEY_TRIES: Final = 3
"""Requests in a row that a peer can cause by refusals."""
REKEY_RETRY_SECONDS: Final = 10.0
"""RFC 7296 section 2.25: after TEMPORARY_FAILURE, not at once."""

_RESPONSE: Final = Rule(ExchangeType.CREATE_CHILD_SA, is_response=True)
_REFUSAL: Final = Rule(ExchangeType.CREATE_CHILD_SA, is_response=True, is_error=True)


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Use the new IKE SA from now on; `hand_over` leaves the old one."""

    made: Successor
    rival: Successor | None = None
    """The peer's, which was made at the same time and has lost."""


@dataclass(frozen=True, slots=True)
class Redundant:
    """Our new IKE SA has lost against the peer's, which is in use: delete ours."""

    made: Successor


@dataclass(frozen=True, slots=True)
class AskAgain:
    """The peer has refused: ask in another way, at once."""

    wanted: Try


@dataclass(frozen=True, slots=True)
class AskLater:
    """The peer has refused: keep the old IKE SA, and ask again at that time."""

    at: float


@dataclass(frozen=True, slots=True)
class Forget:
    """The peer has refused, and its own new IKE SA is in use: nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Close:
    """The peer's answer is nonsense: close the old IKE SA without a word."""

    cause: str


Decision = TakeOver | Redundant | AskAgain | AskLater | Forget | Close


def answer(
    sa: Secured,
    contents: Contents,
    settings: SecuredSettings,
    spi: bytes,
    entropy: Entropy,
) -> tuple[tuple[Payload, ...], TakeOver]:
    """Answer the peer's CREATE_CHILD_SA request; return the response's payloads too.

    `spi` is ours on the new IKE SA.  Raises `NoAdditionalSas` where the request is
    for a Child SA, `TemporaryFailure` while the old IKE SA is being closed or is
    replaced already (RFC 7296 section 2.25.2), and what `ike_rekey.answer` raises.
    """
    code = optimized_code(settings)
    if not ike_rekey.is_ike_rekey(contents, code):
        raise NoAdditionalSas("there are no Child SAs on this IKE SA")
    if sa.asked is Asked.DELETE or sa.replaced_by is not None:
        raise TemporaryFailure("this IKE SA is being closed")
    payloads, made = ike_rekey.answer(
        contents, sa.parent, sa.accepted(settings), spi, entropy,
        optimized_rekey=code if sa.optimized else None,
    )  # fmt: skip
    return payloads, TakeOver(made)


def answered(sa: Secured, response: Response, settings: SecuredSettings, now: float) -> Decision:
    """Decide what follows from the response to our request for a new IKE SA.

    Raises `LocalError` where there was no such request.
    """
    request, sa.rekey_request = sa.rekey_request, None
    if request is None:
        raise LocalError("no rekey is under way")
    try:
        payloads = decode_chain(response.first, response.chain)
        refusal = _refusal(payloads)
        if refusal is not None:
            check(_REFUSAL, payloads)
            return _refused(sa, request, refusal, settings, now)
        contents = check(_RESPONSE, payloads)
        made = ike_rekey.complete(request, contents, sa.parent, optimized_code(settings))
    except (WireError, PeerError, CryptoError) as error:
        return Close(f"the rekey of the IKE SA went wrong: {error}")
    return _agreed(made, sa.replaced_by)


def _agreed(ours: Successor, theirs: Successor | None) -> TakeOver | Redundant:
    """RFC 7296 section 2.8.2: of two new IKE SAs one is closed, by who asked for it."""
    if theirs is not None and ike_rekey.surviving(ours, theirs) is theirs:
        return Redundant(ours)
    return TakeOver(ours, rival=theirs)


def _refused(
    sa: Secured, request: RekeyRequest, refusal: Notify, settings: SecuredSettings, now: float
) -> AskAgain | AskLater | Forget:
    """RFC 7296 section 2.8.2: who sees that the peer was quicker forgets its own attempt."""
    if sa.replaced_by is not None:
        return Forget()
    wanted = ike_rekey.next_try(request, refusal, sa.accepted(settings))
    if wanted is None or sa.rekey_tries >= MAX_REKEY_TRIES:
        return AskLater(now + REKEY_RETRY_SECONDS)
    return AskAgain(wanted)


def _refusal(payloads: Sequence[Payload]) -> Notify | None:
    notifies = (payload for payload in payloads if isinstance(payload, Notify))
    return next((notify for notify in notifies if NotifyType(notify.type).is_error), None)


def hand_over(
    old: Secured, made: Successor, rival: Secured | None, settings: SecuredSettings, now: float
) -> tuple[Transmit, ...]:
    """Leave the old IKE SA: delete it where we have asked for the new one.

    Otherwise the peer deletes it, as it does its own that has lost, the `rival`.
    Both have a limited time for that.
    """
    if rival is not None:
        rival.outlived(made, now)
    if made.initiator:
        return old.delete(settings, now)
    old.outlived(made, now)
    return ()


def channel_of(made: Successor, old: Secured, entropy: Entropy) -> Channel:
    """Make the channel of the new IKE SA; Message IDs begin at 0 (RFC 7296 section 2.2)."""
    return Channel(
        ike_rekey.protection_of(made, entropy),
        old.channel.path,
        initiator=made.initiator,
        fragment_octets=old.channel.fragment_octets,
    )
