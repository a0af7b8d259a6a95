"""What became of the session's request: what the engine goes on with."""

from __future__ import annotations

from dataclasses import dataclass

from gcks.ike.secured import Secured
from gcks.wire.payloads import Payload


@dataclass(frozen=True, slots=True)
class KeysAgreed:
    """IKE_SA_INIT is done: GSA_AUTH may be sent."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The authentic payloads of the response to our protected request."""

    exchange: int
    payloads: tuple[Payload, ...]
    secured: Secured
    """The IKE SA that it came on: its GSK_w wraps the keys in it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The session is over, and the request with it."""

    cause: str
    hint: str = ""
    unanswered: bool = False
    """Nobody answered IKE_SA_INIT: another transport may do."""


@dataclass(frozen=True, slots=True)
class ClosedByServer:
    """The server deleted the IKE SA: normal with multicast rekey (RFC 9838 section 2.3.3)."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """The authentic payloads of a GSA_INBAND_REKEY, which is answered already."""

    payloads: tuple[Payload, ...]
    secured: Secured


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """A new IKE SA has taken over."""

    by_peer: bool


Progress = KeysAgreed | Answered | Failed | ClosedByServer | Rekeyed | Pushed
