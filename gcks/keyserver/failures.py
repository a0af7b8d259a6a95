"""Attempts that came to nothing: one event each, with who, where, why and what to do."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, TypeVar

from gcks.datagrams import Path
from gcks.errors import GcksError, PeerError, Phase, RefusalReason, answer
from gcks.events import Event, RegistrationAbandoned, RegistrationRefused, RequestRefused
from gcks.iana import ExchangeType, NotifyType
from gcks.keyserver.ike_sa import HalfOpen
from gcks.wire.header import Header
from gcks.wire.identification import Identity, IDg, IDi
from gcks.wire.payloads import Payload

MAX_REMEMBERED: Final = 1024
REMEMBERED_SECONDS: Final = 60.0
"""Longer than a member repeats one IKE_SA_INIT request."""
MAX_TOLD: Final = 256
"""Characters of a text that a stranger can choose: events are kept, and anybody can cause them."""
_CAPTURE: Final = (
    "what it sends is against RFC 7296 or RFC 9838: look at a capture with `gcks decode`"
)

P = TypeVar("P", IDi, IDg)


def registration_refused(
    payloads: Iterable[Payload], remote: str, error: GcksError, phase: Phase, identity: str = ""
) -> RegistrationRefused:
    """Return the event of a refused registration; `identity` as far as it is proved.

    Without one, it is what the peer says of itself: nothing else tells an operator
    which member has the wrong key.
    """
    payloads = tuple(payloads)
    notify = answer(error, phase).notify or NotifyType.INVALID_SYNTAX
    reason, hint = RefusalReason.MALFORMED, ""
    if isinstance(error, PeerError):
        reason, hint = error.reason, error.hint
    return RegistrationRefused(
        group=_named(payloads, IDg),
        identity=identity or _named(payloads, IDi),
        remote=remote,
        notify=NotifyType(notify),
        reason=reason,
        cause=_told(str(error)),
        hint=hint or _CAPTURE,
    )


def _named(payloads: tuple[Payload, ...], kind: type[P]) -> str:
    identity = next((payload.identity for payload in payloads if isinstance(payload, kind)), None)
    if identity is None:
        return ""
    octets = len(identity.data)
    if octets > MAX_TOLD:
        text = str(Identity(identity.type, identity.data[:MAX_TOLD]))
        return f"{text[:MAX_TOLD]}… ({octets} octets)"
    return _told(str(identity))


def _told(text: str) -> str:
    if len(text) <= MAX_TOLD:
        return text
    return f"{text[:MAX_TOLD]}… ({len(text)} characters)"


def abandoned(half: HalfOpen) -> RegistrationAbandoned:
    """Return the event of an IKE SA whose peer never proved who it is."""
    if half.secured is None:
        reason = RefusalReason.NO_GSA_AUTH
    elif half.secured.channel.held_octets:
        reason = RefusalReason.INCOMPLETE_GSA_AUTH
    else:
        reason = RefusalReason.UNDECRYPTABLE_GSA_AUTH
    return RegistrationAbandoned(str(half.path.remote), reason, *_ABANDONED[reason])


_ABANDONED: Final = {
    RefusalReason.NO_GSA_AUTH: (
        "its GSA_AUTH never came",
        "a scan; or a member that never got or refused our answer, or whose large datagrams or "
        "UDP 4500 don't get through: its own log tells",
    ),
    RefusalReason.INCOMPLETE_GSA_AUTH: (
        "only some fragments of its GSA_AUTH came",
        "lower ike.fragment_size of the member to what its path carries",
    ),
    RefusalReason.UNDECRYPTABLE_GSA_AUTH: (
        "its GSA_AUTH could not be decrypted",
        "something on the way changes datagrams, or the peer's software derives other keys",
    ),
}
"""Cause and hint."""


class Refusals:
    """IKE_SA_INIT requests that were refused lately: repetitions are no further attempts.

    A memory for events only, in nobody's way: whoever floods it makes lines appear twice.
    """

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[bytes, Path], float] = OrderedDict()

    def events(self, header: Header, path: Path, error: PeerError, now: float) -> tuple[Event, ...]:
        """Return the event of a refused request, unless this attempt has had one."""
        key = (header.spi_i, path)
        since = self._told.get(key)
        if since is not None and now - since < REMEMBERED_SECONDS:
            return ()
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > MAX_REMEMBERED:
            self._told.popitem(last=False)
        return (_init_refused(str(path.remote), error),)


def _init_refused(remote: str, error: PeerError) -> Event:
    if error.notify == NotifyType.INVALID_KE_PAYLOAD:  # asks for another try, and ends nothing
        return RequestRefused(remote, ExchangeType.IKE_SA_INIT, error.notify, error.cause)
    return registration_refused((), remote, error, Phase.CLEAR)
