"""The server's side of an IKE SA, one type per phase: what a phase lacks can't be used in it.

IKE_SA_INIT makes a `HalfOpen`; GSA_AUTH makes of it an `Established`, or a
`Refused` where the peer couldn't prove who it is.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from gcks.crypto.key_exchange import KeyPair
from gcks.datagrams import Path
from gcks.ike.channel import Channel
from gcks.ike.ike_rekey import Parent
from gcks.ike.keymat import IkeKeys
from gcks.ike.secured import Secured
from gcks.ike.suite import IkeSuite
from gcks.wire.identification import Identity

AUTH_MESSAGE_ID: Final = 1
"""GSA_AUTH follows IKE_SA_INIT, which has Message ID 0."""


class Agreed(NamedTuple):
    """The keys of an IKE SA, once both public keys have met."""

    keys: IkeKeys
    channel: Channel


class HalfOpen:
    """After our IKE_SA_INIT response; expects GSA_AUTH.

    The shared secret is computed when GSA_AUTH comes: a flood of first messages
    costs no key agreement.
    """

    __slots__ = (
        "began_at", "behind_nat", "due", "fragment_octets", "hashes", "held_octets", "init_path",
        "ni", "nr", "pair", "path", "peer_public", "request", "response", "secured",
        "spent_seconds", "spi_i", "spi_r", "suite", "timer_at",
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
        fragment_octets: int | None,
        behind_nat: bool,
        began_at: float,
        due: float,
    ) -> None:
        self.spi_i, self.spi_r = spi_i, spi_r
        self.suite, self.pair, self.peer_public = suite, pair, peer_public
        self.ni, self.nr = ni, nr
        self.request, self.response = request, b""
        self.path = self.init_path = path
        self.hashes, self.fragment_octets = hashes, fragment_octets
        self.behind_nat = behind_nat
        self.began_at, self.due, self.timer_at = began_at, due, inf
        self.secured: Agreed | None = None
        self.held_octets = 0
        """Of a GSA_AUTH that has come in part."""
        self.spent_seconds = 0.0
        """What its GSA_AUTH has cost so far: it may come in fragments."""

    @property
    def own_spi(self) -> bytes:
        return self.spi_r

    @property
    def init_key(self) -> tuple[bytes, Path]:
        """What a retransmitted IKE_SA_INIT is known by: where it began, not where it moved."""
        return self.spi_i, self.init_path


class Refused:
    """After AUTHENTICATION_FAILED or the like: no keys, no window.

    It only repeats its answer to the very same datagram, so that a lost answer
    doesn't leave an honest peer in the dark; no second guess is possible.
    """

    __slots__ = ("due", "init_path", "path", "request", "response", "spi_i", "spi_r", "timer_at")

    def __init__(self, half: HalfOpen, request: bytes, response: bytes) -> None:
        self.spi_i, self.spi_r = half.spi_i, half.spi_r
        self.path, self.request, self.response = half.path, request, response
        self.init_path = half.init_path
        self.due, self.timer_at = half.due, half.timer_at

    @property
    def own_spi(self) -> bytes:
        return self.spi_r


class Established(Secured):
    """An authenticated IKE SA; expects GSA_REGISTRATION, INFORMATIONAL, or to be closed."""

    __slots__ = (
        "admitted", "certificate_ends", "certificates", "doomed", "due", "identity", "inband",
        "name", "pushing", "spi_i", "spi_r", "timer_at", "to_push",
    )  # fmt: skip

    def __init__(
        self, channel: Channel, parent: Parent, gsk_w: bytes, identity: Identity, name: str
    ) -> None:
        super().__init__(channel, parent, gsk_w)
        self.spi_i, self.spi_r = channel.protection.spi_i, channel.protection.spi_r
        self.identity, self.name = identity, name
        self.due = self.timer_at = inf
        self.certificate_ends = inf
        """When a certificate of the peer expires (POSIX seconds)."""
        self.certificates = b""
        """References of the peer's certificates."""
        self.admitted: tuple[str, float] | None = None
        """The group that its GSA_AUTH made the peer a new member of, and when (POSIX time)."""
        self.inband: dict[str, bool] = {}
        """Groups that are rekeyed over this SA, and whether the GM is a sender there."""
        self.to_push: set[str] = set()
        """Groups whose newest state the GM has yet to be told."""
        self.pushing = ""
        """The group of the push under way."""
        self.doomed = False
        """Whether it is deleted as soon as our request under way is answered."""

    @property
    def kwa(self) -> int:
        """The Key Wrap Algorithm that was negotiated; 0: none."""
        return self.parent.suite.kwa or 0

    @property
    def path(self) -> Path:
        """Where the peer is, by its newest authentic message."""
        return self.channel.path

    @property
    def own_spi(self) -> bytes:
        """Our SPI: we are the original initiator of SAs that our own rekeys made."""
        return self.spi_i if self.channel.initiator else self.spi_r


IkeSa = HalfOpen | Refused | Established
