"""What became of the session's request, or came without one: what the registrar goes on with."""

from __future__ import annotations

from dataclasses import dataclass

from gcks.ike.secured import Secured
from gcks.wire.payloads import Payload


@dataclass(frozen=True, slots=True)
class KeysAgreed:
    """IKE_SA_INIT is done: GSA_AUTH may be sent."""


@dataclass(frozen=True, slots=True)
class Received:
    """Authentic payloads: of the response to our request, or a push, which is answered already."""

    exchange: int
    """GSA_INBAND_REKEY: a push."""
    payloads: tuple[Payload, ...]
    secured: Secured
    """The IKE SA that it came on: its GSK_w wraps the keys in it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over, and the request with it."""

    cause: str
    hint: str = ""
    unanswered: bool = False
    """Nobody answered IKE_SA_INIT: another transport may do."""
    by_server: bool = False
    """The server deleted the IKE SA: normal with multicast rekey (RFC 9838 section 2.3.3)."""


Progress = KeysAgreed | Received | Ended
