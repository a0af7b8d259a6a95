"""What the operator decides for the server as a whole: frozen, no secrets."""

from __future__ import annotations

from dataclasses import dataclass, field

from gcks.ike.ike_rekey import OptimizedRekey
from gcks.ike.retransmission import Retransmission
from gcks.wire.identification import Identity
from gcks.wire.sa import SecurityAssociation


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Limits are counts, times are seconds."""

    identity: Identity
    """IDr."""
    ike_proposals: SecurityAssociation
    """What is accepted, most wanted first."""
    ike_sa_idle_seconds: float = 5.0
    """How long a registration SA stays open after its last request (section 2.3.4)."""
    half_open_seconds: float = 30.0
    """How long a peer has from IKE_SA_INIT to GSA_AUTH."""
    cookie_threshold: int = 500
    """Half-open IKE SAs from which on a cookie is demanded; 0: always."""
    remove_on_certificate_end: bool = False
    """Whether a member whose certificate expires or is revoked is one no longer."""
    ike_sa_rekey_seconds: float = 14_400.0
    """Age at which an IKE SA that is kept open is rekeyed."""
    liveness_seconds: float = 60.0
    """Silence after which the peer of an open IKE SA is asked whether it is there."""
    optimized_rekey: OptimizedRekey | None = field(default_factory=OptimizedRekey)
    """None: only regular rekeys of the IKE SA."""
    childless: bool = True
    """Whether any IKEv2 peer may authenticate with IKE_AUTH without a Child SA (RFC 6023)."""
    cookie_threshold_per_prefix: int = 250
    """Half-open IKE SAs of one network (IPv4 /24, IPv6 /56) from which on it is asked for one."""
    puzzle_difficulty: int = 16
    """Zero bits of a puzzle (RFC 8019); 0: none are set."""
    puzzle_threshold: int = 5_000
    """Half-open IKE SAs from which on puzzles are set."""
    puzzle_threshold_per_prefix: int = 1_000
    rate_per_address: float = 50.0
    """IKE SAs a second that one address may begin, tenfold at once; 0: any number."""
    rate_per_identity: float = 2.0
    """Registrations and IKE SA rekeys a second of one identity, tenfold at once; 0: any number."""
    max_half_open: int = 20_000
    max_half_open_per_prefix: int = 2_000
    max_ike_sas: int = 100_000
    retransmission: Retransmission = field(
        default_factory=lambda: Retransmission(first_seconds=2.0, factor=2.0, tries=4)
    )
    """Of our own requests."""
    fragment_octets: int | None = 1200
    """IKE messages above it go out in fragments (RFC 7383); None: not offered."""

    @property
    def limits(self) -> dict[str, float]:
        """What is allowed of unproven and of established peers, by name."""
        return {
            "cookie_threshold": self.cookie_threshold,
            "cookie_threshold_per_prefix": self.cookie_threshold_per_prefix,
            "puzzle_difficulty": self.puzzle_difficulty,
            "puzzle_threshold": self.puzzle_threshold,
            "puzzle_threshold_per_prefix": self.puzzle_threshold_per_prefix,
            "rate_per_address": self.rate_per_address,
            "rate_per_identity": self.rate_per_identity,
            "max_half_open": self.max_half_open,
            "max_half_open_per_prefix": self.max_half_open_per_prefix,
            "max_ike_sas": self.max_ike_sas,
        }
