"""The policy ceiling: what this member accepts from a key server, whoever controls it.

The GCKS distributes policy, it isn't negotiated (RFC 9838 section 2.2), and a
key server in the wrong hands must not be able to make a member send in clear,
take over all its traffic, or keep SAs for ever.  Everything beyond the ceiling
is refused as a whole, with the first reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from gcks.errors import GcksError
from gcks.iana import Encr, Integ, Kwa, TransformType
from gcks.member.data_plane import Mode
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.sa import SecurityAssociation
from gcks.wire.transform import Transform


class PolicyUnacceptable(GcksError):
    """The GSA payload is beyond the ceiling; the text is the first reason."""


DEFAULT_ENCR = (
    Transform(TransformType.ENCR, Encr.AES_GCM_16, 256),
    Transform(TransformType.ENCR, Encr.AES_GCM_16, 128),
    Transform(TransformType.ENCR, Encr.CHACHA20_POLY1305),
    Transform(TransformType.ENCR, Encr.AES_CBC, 256),
    Transform(TransformType.ENCR, Encr.AES_CBC, 128),
)
DEFAULT_INTEG = (
    Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128),
    Transform(TransformType.INTEG, Integ.HMAC_SHA2_384_192),
    Transform(TransformType.INTEG, Integ.HMAC_SHA2_512_256),
)
DEFAULT_KWA = (Kwa.KW_5649_256, Kwa.KW_5649_192, Kwa.KW_5649_128)
DEFAULT_SIGNATURES = ("ed25519", "ecdsa-p256", "ecdsa-p384", "rsa-pss")
MULTICAST_NETWORKS = ("224.0.0.0/4", "ff00::/8")
ALL_NETWORKS = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Upper bounds for the policy of every group of this member."""

    destinations: tuple[str, ...] = MULTICAST_NETWORKS
    """Networks that a Data-Security SA's destination selector must lie in."""
    sources: tuple[str, ...] = ALL_NETWORKS
    """Networks that a Data-Security SA's source selector must lie in."""
    allow_any_destination: bool = False
    """Accept a destination selector of 0/0: all traffic of the host."""
    rekey_destinations: tuple[str, ...] = MULTICAST_NETWORKS
    encr: tuple[Transform, ...] = DEFAULT_ENCR
    integ: tuple[Transform, ...] = DEFAULT_INTEG
    kwa: tuple[int, ...] = DEFAULT_KWA
    signatures: tuple[str, ...] = DEFAULT_SIGNATURES
    """GSA_REKEY signature families: "ed25519", "ecdsa-p256", "ecdsa-p384", "rsa-pss"."""
    allow_implicit_authentication: bool = False
    """Implicit authentication lets any member forge a GSA_REKEY (RFC 9838 section 2.4.1)."""
    modes: frozenset[Mode] = frozenset(Mode)
    min_lifetime_seconds: int = 1
    max_lifetime_seconds: int = 86_400
    """For Data-Security SAs."""
    max_rekey_lifetime_seconds: int = 604_800
    max_data_sas: int = 64
    """At one time in one group, those being replaced included."""
    max_delay_seconds: int = 3_600
    """Upper bound for ATD and DTD."""


def check_policy(ceiling: Ceiling, gsa: GroupSecurityAssociation, mode: Mode) -> None:
    """Accept the policy or raise PolicyUnacceptable with the first reason."""
    raise NotImplementedError


def supported_transforms(ceiling: Ceiling) -> SecurityAssociation:
    """Return the SAg payload: what the ceiling accepts (RFC 9838 section 2.3.3)."""
    raise NotImplementedError
