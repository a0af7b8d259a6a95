"""One IKE SA from its keys on, in either role: what it asks of its peer, and when.

Liveness (RFC 7296 section 2.4), a new IKE SA (section 1.3.2), Delete (section 1.4.1).
What comes of a new IKE SA is in `gcks.ike.succession`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from math import inf
from typing import Final, Protocol

from gcks.datagrams import Transmit
from gcks.iana import ExchangeType, ProtocolId
from gcks.ike import ike_rekey
from gcks.ike.channel import Channel
from gcks.ike.ike_rekey import Entropy, OptimizedRekey, Parent, RekeyRequest, Successor, Try
from gcks.ike.negotiation import without_kwa
from gcks.ike.retransmission import Retransmission
from gcks.wire.delete import Delete
from gcks.wire.payloads import Payload
from gcks.wire.sa import SecurityAssociation

KEEPALIVE: Final = b"\xff"
KEEPALIVE_SECONDS: Final = 20.0
"""RFC 3948 section 4."""
LINGER_SECONDS: Final = 30.0
"""How long the peer has to delete an IKE SA that another has replaced."""
DELETE_IKE_SA: Final = Delete(ProtocolId.IKE, 0, ())


class Asked(Enum):
    """What our request under way is."""

    EXCHANGE = "request"
    """One of the owner's: GSA_AUTH, GSA_REGISTRATION ..."""
    LIVENESS = "liveness check"
    REKEY = "rekey"
    DELETE = "Delete"
    PUSH = "GSA_INBAND_REKEY"


class SecuredSettings(Protocol):
    """What the settings of either role hold for it."""

    @property
    def ike_proposals(self) -> SecurityAssociation: ...
    @property
    def retransmission(self) -> Retransmission: ...
    @property
    def ike_sa_rekey_seconds(self) -> float: ...
    @property
    def liveness_seconds(self) -> float: ...
    @property
    def optimized_rekey(self) -> OptimizedRekey | None: ...


class Secured:
    """Keys, messages and times of one IKE SA; one request of ours at a time."""

    __slots__ = (
        "asked", "channel", "ends_at", "gsk_w", "keepalive_at", "optimized", "parent", "probe_at",
        "rekey_at", "rekey_request", "rekey_tries", "replaced_by", "tries",
    )  # fmt: skip

    def __init__(self, channel: Channel, parent: Parent, gsk_w: bytes) -> None:
        self.channel, self.parent, self.gsk_w = channel, parent, gsk_w
        self.tries: int | None = None
        """How often a request is sent before the SA is given up; None: as the settings say."""
        self.asked: Asked | None = None
        self.optimized = False
        """Whether optimized rekeys were negotiated."""
        self.rekey_at = self.probe_at = self.ends_at = self.keepalive_at = inf
        self.rekey_request: RekeyRequest | None = None
        self.rekey_tries = 0
        """Requests since the rekey was due."""
        self.replaced_by: Successor | None = None
        """The IKE SA that is used in place of this one, which the peer is to delete."""

    @property
    def wants_at(self) -> float:
        """When the SA wants attention."""
        if self.channel.pending is not None:
            return min(self.channel.pending.due, self.keepalive_at)
        return min(self.rekey_at, self.probe_at, self.ends_at, self.keepalive_at)

    def begin_timers(self, settings: SecuredSettings, now: float) -> None:
        """Start the times of an IKE SA whose peer is authenticated."""
        self.rekey_at = now + settings.ike_sa_rekey_seconds
        self.heard(settings, now)

    def inherit(self, old: Secured) -> None:
        """Take over what a new IKE SA doesn't negotiate anew."""
        self.tries, self.optimized, self.keepalive_at = old.tries, old.optimized, old.keepalive_at

    def outlived(self, by: Successor, now: float) -> None:
        """Leave the end of an SA that is no longer needed to the peer, but not for ever."""
        self.replaced_by = by
        self.rekey_at = self.probe_at = inf
        self.ends_at = now + LINGER_SECONDS

    def begin_keepalives(self, now: float) -> None:
        """We are behind a NAT: keep its mapping alive (RFC 7296 section 2.23, RFC 3948 2.3)."""
        self.keepalive_at = now + KEEPALIVE_SECONDS

    def act(
        self, settings: SecuredSettings, spi: bytes, entropy: Entropy, now: float
    ) -> tuple[Transmit, ...] | None:
        """Send what it is time for; None: the peer doesn't answer our request.

        `spi` is for a new IKE SA.
        """
        kept = self._keepalive(now)
        pending = self.channel.pending
        if pending is None:
            return (*kept, *self._begin_due(settings, spi, entropy, now))
        if pending.due > now:
            return kept
        again = self.channel.repeat(settings.retransmission, now)
        return None if again is None else (*kept, *again)

    def _keepalive(self, now: float) -> tuple[Transmit, ...]:
        if now < self.keepalive_at:
            return ()
        self.begin_keepalives(now)
        if self.channel.path.stream:
            return ()
        return (Transmit(KEEPALIVE, self.channel.path._replace(marker=False)),)

    def _begin_due(
        self, settings: SecuredSettings, spi: bytes, entropy: Entropy, now: float
    ) -> tuple[Transmit, ...]:
        if now >= self.ends_at:
            return self.delete(settings, now)
        if now >= self.rekey_at:
            return self.rekey(settings, spi, entropy, now)
        return self.probe(settings, now) if now >= self.probe_at else ()

    def heard(self, settings: SecuredSettings, now: float) -> None:
        """Note an authentic message of the peer."""
        kept = self.replaced_by is None and self.asked is not Asked.DELETE
        self.probe_at = now + settings.liveness_seconds if kept else inf

    def ask(
        self,
        asked: Asked,
        exchange: int,
        payloads: Sequence[Payload],
        settings: SecuredSettings,
        now: float,
    ) -> tuple[Transmit, ...]:
        """Send a request; the one before must have been answered."""
        self.asked = asked
        retransmission = settings.retransmission
        return self.channel.request(exchange, payloads, retransmission, now, tries=self.tries)

    def probe(self, settings: SecuredSettings, now: float) -> tuple[Transmit, ...]:
        """Ask whether the peer is there (RFC 7296 section 2.4)."""
        return self.ask(Asked.LIVENESS, ExchangeType.INFORMATIONAL, (), settings, now)

    def delete(self, settings: SecuredSettings, now: float) -> tuple[Transmit, ...]:
        """Close this IKE SA."""
        self.rekey_at = self.probe_at = self.ends_at = inf
        exchange = ExchangeType.INFORMATIONAL
        return self.ask(Asked.DELETE, exchange, (DELETE_IKE_SA,), settings, now)

    # --- our rekey ------------------------------------------------------------------

    def rekey(
        self,
        settings: SecuredSettings,
        spi: bytes,
        entropy: Entropy,
        now: float,
        again: Try | None = None,
    ) -> tuple[Transmit, ...]:
        """Ask for a new IKE SA, optimized where that was negotiated."""
        wanted = again or Try(self.optimized, None)
        request = ike_rekey.begin(
            self.parent, self.accepted(settings), spi, entropy,
            optimized=wanted.optimized, method=wanted.method,
        )  # fmt: skip
        self.rekey_request, self.rekey_at = request, inf
        self.rekey_tries = self.rekey_tries + 1 if again is not None else 1
        payloads = request.payloads(optimized_code(settings))
        return self.ask(Asked.REKEY, ExchangeType.CREATE_CHILD_SA, payloads, settings, now)

    def accepted(self, settings: SecuredSettings) -> SecurityAssociation:
        """Return what a new IKE SA may use: KWA is part of every proposal of a GM (ruling 29)."""
        proposals = settings.ike_proposals
        return proposals if self.parent.suite.kwa is not None else without_kwa(proposals)


def optimized_code(settings: SecuredSettings) -> int:
    """Return the number of OPTIMIZED_REKEY; 0 where we don't do it."""
    return settings.optimized_rekey.rekey if settings.optimized_rekey is not None else 0
