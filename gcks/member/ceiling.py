"""The policy ceiling: what this member accepts from a key server, whoever controls it.

The GCKS distributes policy, it isn't negotiated (RFC 9838 section 2.2), and a
key server in the wrong hands must not be able to make a member send in clear,
take over all its traffic, or keep SAs for ever.  Everything beyond the ceiling
is refused as a whole, with the first reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from gcks.crypto.encr import is_aead
from gcks.crypto.signature import ALGORITHMS
from gcks.errors import GcksError
from gcks.group.usage import ANNOUNCED_CPI, IPCOMP, TUNNEL, Usage
from gcks.iana import (
    IMPLICIT_IV,
    Encr,
    GcAuth,
    Integ,
    IpcompTransform,
    Kwa,
    ProtocolId,
    Sn,
    TransformType,
    TsType,
)
from gcks.member.data_plane import Feature, Mode
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy, GsaPolicy
from gcks.wire.payloads import Payload
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.sa_usage import AggFrag, IpComp
from gcks.wire.traffic_selector import TrafficSelector
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
DEFAULT_SIGNATURES = tuple(ALGORITHMS)
MULTICAST_NETWORKS = ("224.0.0.0/4", "ff00::/8")
ALL_NETWORKS = ("0.0.0.0/0", "::/0")
UDP: Final = 17
FIRST_NEGOTIATED_CPI: Final = 256

_NEVER_ENCR: Final = frozenset({Encr.NULL, Encr.NULL_AUTH_AES_GMAC}) | IMPLICIT_IV
"""They don't encrypt, or MUST NOT be used (section 2.7); no setting makes them acceptable."""
_WITH_KEY_LENGTH: Final = (TransformType.ENCR, TransformType.INTEG)
"""Whose Key Length is compared with the accepted ones."""
_ADDRESS_RANGES: Final = (TsType.IPV4_ADDR_RANGE, TsType.IPV6_ADDR_RANGE)


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
    """Networks that the address of GSA_REKEY must lie in; other than multicast is never joined."""
    protocols: frozenset[ProtocolId] = frozenset({ProtocolId.ESP, ProtocolId.AH})
    encr: tuple[Transform, ...] = DEFAULT_ENCR
    """NULL ciphers are refused even if they stand here."""
    integ: tuple[Transform, ...] = DEFAULT_INTEG
    kwa: tuple[int, ...] = DEFAULT_KWA
    signatures: tuple[str, ...] = DEFAULT_SIGNATURES
    """Names of `gcks.crypto.signature` for GSA_REKEY."""
    allow_implicit_authentication: bool = False
    """Implicit authentication lets any member forge a GSA_REKEY (RFC 9838 section 2.4.1)."""
    modes: frozenset[Mode] = frozenset(Mode)
    min_lifetime_seconds: int = 1
    max_lifetime_seconds: int = 86_400
    """For Data-Security SAs."""
    max_rekey_lifetime_seconds: int = 604_800
    max_data_sas: int = 256
    """At one time in one group, those being replaced included."""
    max_delay_seconds: int = 3_600
    """Upper bound for ATD and DTD."""
    features: frozenset[Feature] = frozenset()
    """What the data plane can do: nobody could read the packets of an SA that needs more."""


UNSUPPORTED: Final = {
    Feature.SECLABEL: "a security label (RFC 9478)",
    Feature.AGGFRAG: "aggregation and fragmentation mode (RFC 9347)",
    Feature.IPCOMP: "IP compression",
}


def check_policy(
    ceiling: Ceiling, gsa: GroupSecurityAssociation, usage: Usage, *, data_sas_held: int = 0
) -> None:
    """Accept the policy or raise PolicyUnacceptable with the first reason."""
    data = [policy for policy in gsa.policies if policy.protocol != ProtocolId.GIKE_UPDATE]
    if len(data) + data_sas_held > ceiling.max_data_sas:
        raise PolicyUnacceptable(f"more than {ceiling.max_data_sas} Data-Security SAs")
    if data and Mode(usage.mode) not in ceiling.modes:
        raise PolicyUnacceptable(f"{usage.mode} mode is not accepted")
    _check_usage(ceiling, usage, data)
    for policy in gsa.policies:
        try:
            _check_sa(ceiling, policy)
        except PolicyUnacceptable as refusal:
            name = f"{ProtocolId(policy.protocol)} SA {policy.spi.hex()}"
            raise PolicyUnacceptable(f"{name}: {refusal}") from None
    _check_protocols_apart(data)
    _check_delays(ceiling, gsa.group_wide)


def check_rekeyed_usage(registered: Usage, told: Usage) -> None:
    """Refuse what contradicts the registration: members that missed it couldn't follow.

    A GSA_REKEY may repeat it, or be silent, as of the mode (section 2.3.4).
    """
    if told.aggfrag not in (None, registered.aggfrag):
        raise PolicyUnacceptable("a rekey can't begin or change USE_AGGFRAG")
    if told.ipcomp not in ((), registered.ipcomp):
        raise PolicyUnacceptable("a rekey can't begin or change IPCOMP_SUPPORTED")


def _check_usage(ceiling: Ceiling, usage: Usage, data: Iterable[GsaPolicy]) -> None:
    if usage.aggfrag is not None:
        _require(ceiling, Feature.AGGFRAG)
        _check_aggfrag(usage.aggfrag, usage, data)
    if usage.ipcomp:
        _require(ceiling, Feature.IPCOMP)
        _check_ipcomp(usage.ipcomp)


def _require(ceiling: Ceiling, feature: Feature) -> None:
    if feature not in ceiling.features:
        raise PolicyUnacceptable(
            f"{UNSUPPORTED[feature]} is not supported by this member's data plane"
        )


def _check_aggfrag(aggfrag: AggFrag, usage: Usage, data: Iterable[GsaPolicy]) -> None:
    """Section 6.3: single-sender ESP tunnel SAs, without congestion control."""
    if aggfrag.congestion_control or aggfrag.reserved:
        raise PolicyUnacceptable("USE_AGGFRAG with congestion control, or flags that are unknown")
    if usage.mode != TUNNEL or usage.ipcomp:
        raise PolicyUnacceptable("USE_AGGFRAG with transport mode or IP compression")
    for policy in data:
        sn = transform_of(policy.transforms, TransformType.SN)
        sequential = sn is not None and sn.id == Sn.SEQUENTIAL_32
        single = policy.source.single_address is not None
        if policy.protocol != ProtocolId.ESP or not (sequential and single):
            raise PolicyUnacceptable("USE_AGGFRAG with other than ESP SAs of a single sender")


def _check_ipcomp(told: tuple[IpComp, ...]) -> None:
    """RFC 7296 section 2.22: one; RFC 3173 section 3.3: CPI 0 to 63 stand for algorithms."""
    if len(told) > 1:
        raise PolicyUnacceptable("more than one IPCOMP_SUPPORTED")
    for ipcomp in told:
        if ipcomp.transform not in IPCOMP.values() or ipcomp.attributes:
            name = IpcompTransform(ipcomp.transform)
            raise PolicyUnacceptable(f"{name} is not accepted, or not with its attributes")
        if ipcomp.cpi != ipcomp.transform and ipcomp.cpi < FIRST_NEGOTIATED_CPI:
            raise PolicyUnacceptable(f"CPI {ipcomp.cpi} is reserved, or another algorithm's")


def transform_of(transforms: Iterable[Transform], kind: TransformType) -> Transform | None:
    """Return the transform of that type; a transform with the value NONE counts as absent."""
    for transform in transforms:
        if transform.type == kind:
            absent = kind is TransformType.INTEG and transform.id == Integ.NONE
            return None if absent else transform
    return None


def _check_sa(ceiling: Ceiling, policy: GsaPolicy) -> None:
    _check_transform_attributes(policy)
    if policy.protocol == ProtocolId.GIKE_UPDATE:
        _check_rekey_sa(ceiling, policy)
    else:
        _check_data_sa(ceiling, policy)


def _check_transform_attributes(policy: GsaPolicy) -> None:
    """An attribute that isn't understood makes its transform unacceptable (RFC 7296 3.3.6)."""
    for transform in policy.transforms:
        lengthened = transform.key_length is not None and transform.type not in _WITH_KEY_LENGTH
        if transform.others or lengthened:
            raise PolicyUnacceptable(f"{transform} has an attribute that it doesn't take")


def _check_data_sa(ceiling: Ceiling, policy: GsaPolicy) -> None:
    if policy.protocol not in ceiling.protocols:
        raise PolicyUnacceptable("the protocol is not accepted")
    if policy.label:
        _require(ceiling, Feature.SECLABEL)
    _check_algorithms(ceiling, policy, encrypts=policy.protocol == ProtocolId.ESP)
    sn = transform_of(policy.transforms, TransformType.SN)
    if sn is None or sn.id not in (Sn.SEQUENTIAL_32, Sn.UNSPECIFIED_32):
        # Section 4.4.2.1.3: extended sequence numbers MUST NOT be used.
        raise PolicyUnacceptable("the Sequence Numbers transform is absent or not accepted")
    _check_lifetime(policy, ceiling.min_lifetime_seconds, ceiling.max_lifetime_seconds)
    _check_same_family(policy)
    if not ceiling.allow_any_destination and _is_everything(policy.destination):
        raise PolicyUnacceptable("the destination selector covers every address")
    if not (
        _within(policy.destination, ceiling.destinations)
        or (ceiling.allow_any_destination and _is_everything(policy.destination))
    ):
        raise PolicyUnacceptable(f"the destination {policy.destination} is not accepted")
    if not _within(policy.source, ceiling.sources):
        raise PolicyUnacceptable(f"the source {policy.source} is not accepted")


def _check_rekey_sa(ceiling: Ceiling, policy: GsaPolicy) -> None:
    _check_algorithms(ceiling, policy, encrypts=True)
    kwa = transform_of(policy.transforms, TransformType.KWA)
    if kwa is None or kwa.id not in ceiling.kwa:
        raise PolicyUnacceptable(f"{kwa or 'no KWA'} is not accepted")
    gcauth = transform_of(policy.transforms, TransformType.GCAUTH)
    if gcauth is not None:
        _check_gcauth(ceiling, gcauth)
    _check_lifetime(policy, ceiling.min_lifetime_seconds, ceiling.max_rekey_lifetime_seconds)
    _check_rekey_destination(ceiling, policy)


def _check_rekey_destination(ceiling: Ceiling, policy: GsaPolicy) -> None:
    """Section 4.4.2: a single multicast address, UDP, a single port."""
    destination = policy.destination
    _check_same_family(policy)
    single = (
        destination.start_address == destination.end_address
        and destination.start_port == destination.end_port != 0
        and destination.ip_protocol == UDP
    )
    if not single or not ip_address(destination.start_address).is_multicast:
        raise PolicyUnacceptable(f"{destination} is no single multicast UDP destination")
    if not _within(destination, ceiling.rekey_destinations):
        raise PolicyUnacceptable(f"the rekey destination {destination} is not accepted")


def _check_algorithms(ceiling: Ceiling, policy: GsaPolicy, *, encrypts: bool) -> None:
    encr = transform_of(policy.transforms, TransformType.ENCR)
    integ = transform_of(policy.transforms, TransformType.INTEG)
    if encrypts and (encr is None or encr.id in _NEVER_ENCR or not _among(encr, ceiling.encr)):
        raise PolicyUnacceptable(f"{encr or 'no ENCR'} is not accepted")
    if not encrypts and encr is not None:
        raise PolicyUnacceptable("AH with an encryption transform")
    if encr is not None and is_aead(encr.id):
        if integ is not None:
            raise PolicyUnacceptable(f"{integ} beside an AEAD cipher")
    elif integ is None or not _among(integ, ceiling.integ):
        # Encryption without integrity is as bad as none (RFC 4303 section 3.1, 7296 3.3.3).
        raise PolicyUnacceptable(f"{integ or 'no INTEG'} is not accepted")


def _check_gcauth(ceiling: Ceiling, gcauth: Transform) -> None:
    if gcauth.id == GcAuth.IMPLICIT:
        if not ceiling.allow_implicit_authentication:
            raise PolicyUnacceptable("implicit authentication of GSA_REKEY is not accepted")
        return
    accepted = {ALGORITHMS[name].identifier for name in ceiling.signatures}
    if gcauth.id != GcAuth.DIGITAL_SIGNATURE or gcauth.signature_algorithm not in accepted:
        raise PolicyUnacceptable("the signature algorithm of GSA_REKEY is not accepted")


def _check_lifetime(policy: GsaPolicy, least: int, most: int) -> None:
    if policy.lifetime_seconds is None:
        return  # allowed for in-band groups; the attribute tables judge where it must be
    if not least <= policy.lifetime_seconds <= most:
        raise PolicyUnacceptable(
            f"a lifetime of {policy.lifetime_seconds} s is not within {least} to {most} s"
        )


def _check_delays(ceiling: Ceiling, group_wide: GroupWidePolicy | None) -> None:
    if group_wide is None:
        return
    for name, seconds in (("ATD", group_wide.atd_seconds), ("DTD", group_wide.dtd_seconds)):
        if (seconds or 0) > ceiling.max_delay_seconds:
            raise PolicyUnacceptable(f"a {name} of {seconds} s is not accepted")


def _check_protocols_apart(data: Iterable[GsaPolicy]) -> None:
    """Section 4.4.2: ESP and AH MUST NOT come for the same Traffic Selectors."""
    seen: dict[tuple[TrafficSelector, TrafficSelector, bytes], int] = {}
    for policy in data:
        other = seen.setdefault(policy.selectors, policy.protocol)
        if other != policy.protocol:
            raise PolicyUnacceptable(f"ESP and AH for the same selectors {policy.destination}")


def _check_same_family(policy: GsaPolicy) -> None:
    kinds = (policy.source.type, policy.destination.type)
    if kinds[0] != kinds[1] or kinds[0] not in _ADDRESS_RANGES:
        raise PolicyUnacceptable("the selectors are not address ranges of one IP version")


def _is_everything(selector: TrafficSelector) -> bool:
    octets = len(selector.start_address)
    return selector.start_address == bytes(octets) and selector.end_address == b"\xff" * octets


def _within(selector: TrafficSelector, networks: tuple[str, ...]) -> bool:
    start, end = ip_address(selector.start_address), ip_address(selector.end_address)
    return any(start in network and end in network for network in _networks(networks))


@lru_cache(maxsize=32)
def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in texts)


def _among(transform: Transform, accepted: Iterable[Transform]) -> bool:
    return any(
        transform.id == other.id and transform.key_length == other.key_length for other in accepted
    )


def announcements(ceiling: Ceiling) -> tuple[Payload, ...]:
    """Return SAg, and beside it what the data plane can do (sections 2.3.3 and 6.3)."""
    can = ceiling.features
    usage = Usage(
        aggfrag=AggFrag() if Feature.AGGFRAG in can else None,
        ipcomp=tuple(
            IpComp(ANNOUNCED_CPI, one) for one in IPCOMP.values() if Feature.IPCOMP in can
        ),
    )
    return (supported_transforms(ceiling), *usage.notifies())


def supported_transforms(ceiling: Ceiling) -> SecurityAssociation:
    """Return the SAg payload: what the ceiling accepts (RFC 9838 section 2.3.3).

    One proposal per protocol, all with the same number: no dependencies.  AEAD
    and other ciphers may share a proposal here, and SPIs are empty.
    """
    encr = tuple(transform for transform in ceiling.encr if transform.id not in _NEVER_ENCR)
    kwa = tuple(Transform(TransformType.KWA, number) for number in ceiling.kwa)
    sn = tuple(
        Transform(TransformType.SN, number) for number in (Sn.SEQUENTIAL_32, Sn.UNSPECIFIED_32)
    )
    by_protocol = {
        ProtocolId.GIKE_UPDATE: (*encr, *ceiling.integ, *kwa, *_gcauth_transforms(ceiling)),
        ProtocolId.ESP: (*encr, *ceiling.integ, *sn),
        ProtocolId.AH: (*ceiling.integ, *sn),
    }
    wanted = {ProtocolId.GIKE_UPDATE, *ceiling.protocols}
    return SecurityAssociation(
        tuple(
            Proposal(1, protocol, b"", transforms)
            for protocol, transforms in by_protocol.items()
            if protocol in wanted
        )
    )


def _gcauth_transforms(ceiling: Ceiling) -> tuple[Transform, ...]:
    """One transform per algorithm, each with its identifier (ruling 23)."""
    signed = tuple(
        Transform(
            TransformType.GCAUTH,
            GcAuth.DIGITAL_SIGNATURE,
            signature_algorithm=ALGORITHMS[name].identifier,
        )
        for name in ceiling.signatures
    )
    if ceiling.allow_implicit_authentication:
        return (*signed, Transform(TransformType.GCAUTH, GcAuth.IMPLICIT))
    return signed
