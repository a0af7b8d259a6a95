"""What the operator decides for the server as a whole: frozen, no secrets."""

from __future__ import annotations

from dataclasses import dataclass

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
    """Half-open IKE SAs from which on a cookie is demanded; 0 always."""
    max_half_open: int = 20_000
    max_ike_sas: int = 100_000
    retransmit_first_seconds: float = 2.0
    retransmit_factor: float = 2.0
    retransmit_tries: int = 4
    """Transmissions of one request of ours, the first included."""
