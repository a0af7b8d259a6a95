"""What the operator decides for a group member: frozen settings, no secrets.

Credentials (PSK, certificate, trust anchors) are `gcks.ike.credentials`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from gcks.datagrams import Endpoint
from gcks.iana import Encr, Integ, Ke, Kwa, Prf, ProtocolId, TransformType
from gcks.ike.ike_rekey import OptimizedRekey
from gcks.ike.retransmission import Retransmission
from gcks.wire.identification import Identity
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.transform import Transform


class OwnAuthentication(Enum):
    """How this member proves who it is in GSA_AUTH."""

    PSK = "psk"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class GroupMembership:
    """One group this member wants to be in."""

    id: Identity
    sender: bool = False
    """Announce GROUP_SENDER (RFC 9838 section 4.7.4)."""
    sender_ids: int = 1
    """How many Sender-IDs to ask for: one per encryption module (section 2.5.1)."""
    receive_own_data: bool = False
    """A sender that doesn't receive back its own data installs its SA outbound only."""


def _transforms(kind: TransformType, *ids: tuple[int, int | None]) -> tuple[Transform, ...]:
    return tuple(Transform(kind, number, key_length) for number, key_length in ids)


_COMMON_TRANSFORMS = (
    *_transforms(
        TransformType.PRF,
        (Prf.HMAC_SHA2_256, None),
        (Prf.HMAC_SHA2_384, None),
        (Prf.HMAC_SHA2_512, None),
    ),
    *_transforms(
        TransformType.KE,
        (Ke.CURVE25519, None),
        (Ke.ECP_256, None),
        (Ke.ECP_384, None),
        (Ke.MODP_3072, None),
        (Ke.MODP_2048, None),
    ),
    *_transforms(
        TransformType.KWA,
        (Kwa.KW_5649_256, None),
        (Kwa.KW_5649_192, None),
        (Kwa.KW_5649_128, None),
    ),
)

DEFAULT_IKE_PROPOSALS = SecurityAssociation(
    (
        Proposal(
            1,
            ProtocolId.IKE,
            b"",
            (
                *_transforms(
                    TransformType.ENCR,
                    (Encr.AES_GCM_16, 256),
                    (Encr.AES_GCM_16, 128),
                    (Encr.CHACHA20_POLY1305, None),
                ),
                *_COMMON_TRANSFORMS,
            ),
        ),
        Proposal(
            2,
            ProtocolId.IKE,
            b"",
            (
                *_transforms(TransformType.ENCR, (Encr.AES_CBC, 256), (Encr.AES_CBC, 128)),
                *_transforms(
                    TransformType.INTEG,
                    (Integ.HMAC_SHA2_256_128, None),
                    (Integ.HMAC_SHA2_384_192, None),
                    (Integ.HMAC_SHA2_512_256, None),
                ),
                *_COMMON_TRANSFORMS,
            ),
        ),
    )
)
"""AEAD and non-AEAD ciphers in separate proposals (RFC 7296 section 3.3)."""


class Transport(Enum):
    """How IKE messages travel; rekeys by multicast are always UDP."""

    UDP = "udp"
    TCP = "tcp"
    AUTO = "auto"
    """UDP, and TCP where nobody answers."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How long to wait before trying to register again, after a failure."""

    first_seconds: float = 5.0
    factor: float = 2.0
    max_seconds: float = 300.0

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after the `failures`-th failure in a row (1, 2, ...)."""
        if failures > 32:
            return self.max_seconds
        return min(self.max_seconds, self.first_seconds * self.factor ** (failures - 1))


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """Everything that a `MemberEngine` must know besides credentials and ceiling."""

    identity: Identity
    """IDi."""
    server: Endpoint
    """Where IKE_SA_INIT goes: port 500 or 848."""
    server_identity: Identity
    """The IDr that the server must prove; never skipped."""
    local: Endpoint
    """The address and port that the edge is bound to."""
    groups: tuple[GroupMembership, ...]
    authentication: OwnAuthentication = OwnAuthentication.PSK
    natt_port: int = 4500
    """The server's port after NAT was detected (RFC 7296 section 2.23)."""
    transport: Transport = Transport.UDP
    tcp_port: int = 4500
    """The server's TCP port (RFC 9329)."""
    local_natt_port: int = 4500
    """The local port that the edge uses with the marker."""
    ike_proposals: SecurityAssociation = DEFAULT_IKE_PROPOSALS
    interface: str | None = None
    """Interface on which GSA_REKEY multicast is joined; None lets the kernel choose."""
    data_addresses: tuple[str, ...] = ()
    """Addresses this host sends group data from; empty: the local address."""
    announce_transforms: bool = True
    """Send SAg (RECOMMENDED, RFC 9838 section 2.3.3)."""
    retransmission: Retransmission = field(default_factory=Retransmission)
    fragment_octets: int | None = 1200
    """IKE messages above it go out in fragments (RFC 7383); None: not offered."""
    ike_sa_rekey_seconds: float = 14_400.0
    """Age at which an IKE SA that the server keeps open is rekeyed."""
    liveness_seconds: float = 60.0
    """Silence after which the server of an open IKE SA is asked whether it is there."""
    optimized_rekey: OptimizedRekey | None = field(default_factory=OptimizedRekey)
    """None: only regular rekeys of the IKE SA."""
    max_puzzle_difficulty: int = 20
    """The hardest puzzle that is worked on (RFC 8019): 20 bits take some seconds."""
    retry: Retry = field(default_factory=Retry)
    reregister_jitter_seconds: float | None = None
    """Random delay before re-registration (RFC 9838 section 2.4.3); None: as the server tells."""
    soft_lifetime_fraction: float = 0.95
    """Re-register when an SA has lived so much of its lifetime and isn't replaced.

    Later than a server renews (ours: at 0.9 or earlier), or every rekey would
    race with a wave of registrations.
    """
    soft_margin_seconds: float = 120.0
    """At most so long before it expires."""
