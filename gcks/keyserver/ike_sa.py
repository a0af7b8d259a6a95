"""The server's side of an IKE SA, one type per phase: what a phase lacks can't be used in it."""

from __future__ import annotations

from gcks.crypto.key_exchange import KeyPair
from gcks.group.registration import KeyWrap
from gcks.ike.keymat import IkeKeys
from gcks.ike.protect import IkeProtection
from gcks.ike.suite import IkeSuite
from gcks.ike.window import RequestWindow
from gcks.outcome import Path
from gcks.wire.identification import Identity


class HalfOpen:
    """After our IKE_SA_INIT response; expects GSA_AUTH.

    The shared secret is computed when GSA_AUTH comes: a flood of first messages
    costs no key agreement.
    """

    __slots__ = (
        "due", "hashes", "keys", "ni", "nr", "pair", "path", "peer_public", "protection",
        "request", "response", "spi_i", "spi_r", "suite",
    )  # fmt: skip

    def __init__(
        self,
        *,
        spi_i: bytes,
        spi_r: bytes,
        suite: IkeSuite,
        pair: KeyPair,
        peer_public: bytes,
        ni: bytes,
        nr: bytes,
        request: bytes,
        path: Path,
        hashes: frozenset[int],
        due: float,
    ) -> None:
        self.spi_i, self.spi_r = spi_i, spi_r
        self.suite, self.pair, self.peer_public = suite, pair, peer_public
        self.ni, self.nr = ni, nr
        self.request, self.response = request, b""
        self.path, self.hashes, self.due = path, hashes, due
        self.keys: IkeKeys | None = None
        self.protection: IkeProtection | None = None

    @property
    def init_key(self) -> tuple[bytes, Path]:
        """What a retransmitted IKE_SA_INIT request is known by."""
        return self.spi_i, self.path


class PendingRequest:
    """A request of ours that waits for its response."""

    __slots__ = ("message_id", "octets", "tries")

    def __init__(self, message_id: int, octets: bytes) -> None:
        self.message_id, self.octets, self.tries = message_id, octets, 1


class Established:
    """An authenticated IKE SA; expects GSA_REGISTRATION, INFORMATIONAL, or to be closed."""

    __slots__ = (
        "due", "identity", "name", "next_message_id", "path", "pending", "protection",
        "spi_i", "spi_r", "window", "wrap",
    )  # fmt: skip

    def __init__(
        self, half: HalfOpen, protection: IkeProtection, identity: Identity, wrap: KeyWrap
    ) -> None:
        self.spi_i, self.spi_r = half.spi_i, half.spi_r
        self.path, self.protection = half.path, protection
        self.identity, self.name = identity, str(identity)
        self.wrap = wrap
        self.window = RequestWindow(expected=FIRST_AUTH_MESSAGE_ID)
        self.next_message_id = 0
        self.pending: PendingRequest | None = None
        self.due = half.due


FIRST_AUTH_MESSAGE_ID = 1

IkeSa = HalfOpen | Established
