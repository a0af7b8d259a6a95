"""The Group Security Association payload (RFC 9838 section 4.4).

    GSA policy (section 4.4.2)               Group-wide policy (section 4.4.3)
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |    Protocol   |   SPI Size    |        |  Protocol = 0 |   RESERVED    |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |            Length             |        |            Length             |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~              SPI              ~        ~     <GW Policy Attributes>    ~
    ~    Source Traffic Selector    ~        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~  Destination Traffic Selector ~
    ~        [Security Label]       ~
    ~        <GSA Transforms>       ~
    ~        <GSA Attributes>       ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

The first octet of a substructure, zero or not, tells which of the two it is.

Ruling 48: a GSA policy has one source and one destination selector (section 4.4.2),
and a security label is never alone but narrows other selectors (RFC 9478 section
2.2).  So one TS_SECLABEL may follow the Destination Traffic Selector.  Its first
octet, 10, can't begin a transform, which begins with 0 or 3.  A GM that doesn't
know of it finds the policy malformed and refuses it, which is the safe side: it
never uses the SA for traffic of other labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from gcks.errors import WireError
from gcks.iana import GsaAttribute, GwpAttribute, ProtocolId
from gcks.wire.attribute import (
    Attribute,
    decode_attributes,
    encode_attributes,
    read_long,
    read_long_number,
    read_short,
    short,
)
from gcks.wire.traffic_selector import (
    SecurityLabel,
    TrafficSelector,
    is_label,
    read_label,
    read_selector,
)
from gcks.wire.transform import Transform, encode_transforms, read_transforms

SUBSTRUCTURE: Final = Struct(">BBH")
MAX_POLICIES: Final = 128
MAX_NEXT_SPIS: Final = 16
NUMBER_OCTETS: Final = 4
"""GSA_KEY_LIFETIME and GSA_INITIAL_MESSAGE_ID are 4-octet numbers."""

SA_SPI_OCTETS: Final = {ProtocolId.AH: 4, ProtocolId.ESP: 4, ProtocolId.GIKE_UPDATE: 16}
"""The SPI size of each group SA protocol (section 4.4.2)."""


@dataclass(frozen=True, slots=True)
class GsaPolicy:
    """One Rekey SA (GIKE_UPDATE) or Data-Security SA (AH, ESP)."""

    protocol: int
    spi: bytes
    source: TrafficSelector
    destination: TrafficSelector
    transforms: tuple[Transform, ...]
    lifetime_seconds: int | None = None
    initial_message_id: int | None = None
    next_spis: tuple[bytes, ...] = ()
    others: tuple[Attribute, ...] = ()
    label: bytes = b""
    """The security label, b"" where traffic of any label is meant."""

    @property
    def selectors(self) -> tuple[TrafficSelector, TrafficSelector, bytes]:
        """What the SA is for: source, destination and label."""
        return self.source, self.destination, self.label

    def encode(self) -> bytes:
        """Return the substructure: 4 octets, SPI, selectors, label, transforms, attributes."""
        content = b"".join(
            (
                self.spi,
                self.source.encode(),
                self.destination.encode(),
                SecurityLabel(self.label).encode() if self.label else b"",
                encode_transforms(self.transforms),
                encode_attributes(self._attributes()),
            )
        )
        length = SUBSTRUCTURE.size + len(content)
        return SUBSTRUCTURE.pack(self.protocol, len(self.spi), length) + content

    def _attributes(self) -> list[Attribute]:
        known: list[Attribute] = []
        for kind, number in (
            (GsaAttribute.GSA_KEY_LIFETIME, self.lifetime_seconds),
            (GsaAttribute.GSA_INITIAL_MESSAGE_ID, self.initial_message_id),
        ):
            if number is not None:
                known.append(Attribute(kind, number.to_bytes(NUMBER_OCTETS, "big")))
        known.extend(Attribute(GsaAttribute.GSA_NEXT_SPI, spi) for spi in self.next_spis)
        return [*known, *self.others]


@dataclass(frozen=True, slots=True)
class GroupWidePolicy:
    """Activation and Deactivation Time Delay, and the bits of a Sender-ID in the IV."""

    atd_seconds: int | None = None
    dtd_seconds: int | None = None
    sender_id_bits: int | None = None
    others: tuple[Attribute, ...] = ()

    def encode(self) -> bytes:
        """Return the substructure: 4 octets, attributes."""
        known = [
            short(kind, number)
            for kind, number in (
                (GwpAttribute.GWP_ATD, self.atd_seconds),
                (GwpAttribute.GWP_DTD, self.dtd_seconds),
                (GwpAttribute.GWP_SENDER_ID_BITS, self.sender_id_bits),
            )
            if number is not None
        ]
        content = encode_attributes([*known, *self.others])
        return SUBSTRUCTURE.pack(0, 0, SUBSTRUCTURE.size + len(content)) + content


@dataclass(frozen=True, slots=True)
class GroupSecurityAssociation:
    """At most one GIKE_UPDATE policy, any number of AH and ESP ones, at most one GW policy."""

    policies: tuple[GsaPolicy, ...]
    group_wide: GroupWidePolicy | None = None

    def encode(self) -> bytes:
        """Return the payload body: the group-wide policy stands last."""
        wide = self.group_wide.encode() if self.group_wide is not None else b""
        return b"".join(policy.encode() for policy in self.policies) + wide


def decode_gsa(body: bytes) -> GroupSecurityAssociation:
    """Read the body of a GSA payload (RFC 9838 section 4.4): one policy or more.

    How many of which policy there may be is section 4.4.1's.  Raises `WireError` for
    what `decode_gsa_policy` refuses, for two group-wide or two GIKE_UPDATE policies,
    none at all, or more than `MAX_POLICIES`.
    """
    policies: list[GsaPolicy] = []
    wide: GroupWidePolicy | None = None
    position = 0
    while position < len(body):
        protocol, _, end = read_substructure(body, position)
        if protocol:
            policies.append(decode_gsa_policy(body[position:end]))
        elif wide is None:
            wide = _decode_group_wide(body[position + SUBSTRUCTURE.size : end])
        else:
            raise WireError("two group-wide policies")
        if len(policies) > MAX_POLICIES:
            raise WireError(f"more than {MAX_POLICIES} group SA policies")
        position = end
    rekey_sas = sum(policy.protocol == ProtocolId.GIKE_UPDATE for policy in policies)
    if not policies or rekey_sas > 1:
        raise WireError(f"{len(policies)} group SA policies, {rekey_sas} of them GIKE_UPDATE")
    return GroupSecurityAssociation(tuple(policies), wide)


def read_substructure(body: bytes, position: int) -> tuple[int, int, int]:
    """Return protocol, second octet and end of the substructure at `position`.

    `body` is that of a GSA or KD payload (RFC 9838 sections 4.4.2 and 4.5.2); the
    substructure has 4 octets or more.  Raises `WireError` where it is truncated or runs
    past the body.
    """
    if len(body) - position < SUBSTRUCTURE.size:
        raise WireError("truncated substructure")
    protocol, second, length = SUBSTRUCTURE.unpack_from(body, position)
    if length < SUBSTRUCTURE.size or length > len(body) - position:
        raise WireError(f"substructure length {length} does not fit")
    return protocol, second, position + length


def check_spi_size(protocol: int, spi_size: int) -> None:
    """Hold an SPI's size in octets against the protocol (RFC 9838 section 4.4.2).

    Raises `WireError` for another size, or a protocol that is none of a group.
    """
    if SA_SPI_OCTETS.get(ProtocolId(protocol)) != spi_size:
        raise WireError(f"SPI of {spi_size} octets for {ProtocolId(protocol)}")


def decode_gsa_policy(octets: bytes) -> GsaPolicy:
    """Read one whole GSA policy substructure (RFC 9838 section 4.4.2).

    `octets` are 4, an SPI of 4 (AH, ESP) or 16 (GIKE_UPDATE), two selectors, perhaps a
    label, transforms and attributes.  Raises `WireError` where a part is malformed or
    doesn't fit, an attribute that may stand once is there twice, or there are more than
    `MAX_NEXT_SPIS`.
    """
    protocol, spi_size, end = read_substructure(octets, 0)
    check_spi_size(protocol, spi_size)
    spi_end = SUBSTRUCTURE.size + spi_size
    if end != len(octets) or spi_end > end:
        raise WireError("a GSA policy that does not fill its substructure")
    source, position = read_selector(octets, spi_end)
    destination, position = read_selector(octets, position)
    label, position = _optional_label(octets, position)
    transforms, position = read_transforms(octets, position)
    numbers, next_spis, others = _gsa_attributes(octets[position:], spi_size)
    return GsaPolicy(
        protocol=protocol,
        spi=octets[SUBSTRUCTURE.size : spi_end],
        source=source,
        destination=destination,
        transforms=transforms,
        lifetime_seconds=numbers.get(GsaAttribute.GSA_KEY_LIFETIME),
        initial_message_id=numbers.get(GsaAttribute.GSA_INITIAL_MESSAGE_ID),
        next_spis=next_spis,
        others=others,
        label=label,
    )


def _optional_label(octets: bytes, position: int) -> tuple[bytes, int]:
    if not is_label(octets, position):
        return b"", position
    label, position = read_label(octets, position)
    return label.label, position


_NUMBERS: Final = {GsaAttribute.GSA_KEY_LIFETIME, GsaAttribute.GSA_INITIAL_MESSAGE_ID}


def _gsa_attributes(
    octets: bytes, spi_size: int
) -> tuple[dict[int, int], tuple[bytes, ...], tuple[Attribute, ...]]:
    numbers: dict[int, int] = {}
    next_spis: list[bytes] = []
    others: list[Attribute] = []
    for attribute in decode_attributes(octets):
        if attribute.type in _NUMBERS:
            if attribute.type in numbers:
                raise WireError(f"two {GsaAttribute(attribute.type)} attributes")
            numbers[attribute.type] = read_long_number(attribute, NUMBER_OCTETS)
        elif attribute.type == GsaAttribute.GSA_NEXT_SPI:
            if len(read_long(attribute)) != spi_size or len(next_spis) == MAX_NEXT_SPIS:
                raise WireError("a GSA_NEXT_SPI of the wrong size, or too many")
            next_spis.append(attribute.value)
        else:
            others.append(attribute)
    return numbers, tuple(next_spis), tuple(others)


def _decode_group_wide(octets: bytes) -> GroupWidePolicy:
    numbers: dict[int, int] = {}
    others: list[Attribute] = []
    for attribute in decode_attributes(octets):
        if not GwpAttribute(attribute.type).assigned:
            others.append(attribute)
            continue
        if attribute.type in numbers:
            raise WireError(f"two {GwpAttribute(attribute.type)} attributes")
        numbers[attribute.type] = read_short(attribute)
    return GroupWidePolicy(
        numbers.get(GwpAttribute.GWP_ATD),
        numbers.get(GwpAttribute.GWP_DTD),
        numbers.get(GwpAttribute.GWP_SENDER_ID_BITS),
        tuple(others),
    )
