"""Hypothesis strategies for every wire record; whatever they draw can be sent."""

from __future__ import annotations

from hypothesis import strategies as st

from gcks.iana import IdType, PayloadType, ProtocolId, TransformAttribute, TsType
from gcks.wire.attribute import Attribute
from gcks.wire.authentication import Authentication, DigitalSignature
from gcks.wire.certificate import Certificate, CertificateRequest
from gcks.wire.delete import DELETE_SPI_OCTETS, Delete
from gcks.wire.encrypted import EncryptedFragment, EncryptedPayload
from gcks.wire.gsa import SA_SPI_OCTETS, GroupSecurityAssociation, GroupWidePolicy, GsaPolicy
from gcks.wire.header import HEADER_OCTETS, Header
from gcks.wire.identification import Identity, IDg, IDi, IDr
from gcks.wire.kd import GroupKeyBag, KeyDownload, MemberKeyBag, WrappedKey
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.nonce import MAX_NONCE_OCTETS, MIN_NONCE_OCTETS, Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.puzzle import PuzzleSolution
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.traffic_selector import (
    MAX_PORT,
    SecurityLabel,
    TrafficSelector,
    TrafficSelectorsI,
    TrafficSelectorsR,
)
from gcks.wire.transform import Transform
from gcks.wire.unknown import UnknownPayload
from gcks.wire.vendor import VendorId

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
FIRST_UNASSIGNED_ATTRIBUTE = 32
"""Above every assigned transform, GSA, group-wide and key bag attribute."""


def octets(least: int = 0, most: int = 48) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=least, max_size=most)


def exactly(size: int) -> st.SearchStrategy[bytes]:
    return octets(size, size)


def few(elements: st.SearchStrategy, least: int = 0, most: int = 4) -> st.SearchStrategy[tuple]:
    return st.lists(elements, min_size=least, max_size=most).map(tuple)


# --- attributes and transforms -------------------------------------------------------

_kinds = st.integers(FIRST_UNASSIGNED_ATTRIBUTE, 0x7FFF)
unknown_attributes = st.one_of(
    st.builds(Attribute, _kinds, octets(), st.just(False)),
    st.builds(Attribute, _kinds, exactly(2), st.just(True)),
)
attributes = st.one_of(
    unknown_attributes,
    st.builds(Attribute, st.integers(0, 0x7FFF), octets(), st.just(False)),
)
transforms = st.builds(
    Transform,
    type=u8,
    id=u16,
    key_length=st.none() | u16,
    signature_algorithm=octets(),
    others=few(unknown_attributes, most=2),
)
assert max(TransformAttribute) < FIRST_UNASSIGNED_ATTRIBUTE

# --- SA, SAg -------------------------------------------------------------------------

proposals = st.builds(
    Proposal,
    number=u8,
    protocol=u8,
    spi=octets(0, 16),
    transforms=few(transforms, most=6),
)
security_associations = st.builds(SecurityAssociation, few(proposals, least=1))

# --- identities ----------------------------------------------------------------------

addresses = st.one_of(
    st.builds(Identity, st.just(IdType.ID_IPV4_ADDR), exactly(4)),
    st.builds(Identity, st.just(IdType.ID_IPV6_ADDR), exactly(16)),
)
names = st.builds(
    Identity,
    st.sampled_from([IdType.ID_FQDN, IdType.ID_RFC822_ADDR, IdType.ID_KEY_ID]),
    st.one_of(octets(1), st.text("az09.-@:", min_size=1, max_size=20).map(str.encode)),
)
other_identities = st.builds(
    Identity,
    st.integers(1, 255).filter(lambda k: k not in (IdType.ID_IPV4_ADDR, IdType.ID_IPV6_ADDR)),
    octets(1),
)
identities = st.one_of(
    addresses, names, other_identities, st.just(Identity(IdType.ID_NULL, b""))
)  # fmt: skip

# --- Traffic Selectors ---------------------------------------------------------------


@st.composite
def _selectors(draw: st.DrawFn) -> TrafficSelector:
    kind = draw(st.sampled_from([TsType.IPV4_ADDR_RANGE, TsType.IPV6_ADDR_RANGE]))
    size = 4 if kind == TsType.IPV4_ADDR_RANGE else 16
    start, end = sorted((draw(exactly(size)), draw(exactly(size))))
    opaque = draw(st.booleans())
    ports = (MAX_PORT, 0) if opaque else sorted((draw(u16), draw(u16)))
    return TrafficSelector(kind, draw(u8), *ports, start, end)


selectors = _selectors()
labels = st.builds(SecurityLabel, octets(1))

# --- GSA -----------------------------------------------------------------------------


@st.composite
def _gsa_policies(draw: st.DrawFn, protocol: int) -> GsaPolicy:
    spi = exactly(SA_SPI_OCTETS[ProtocolId(protocol)])
    return GsaPolicy(
        protocol,
        draw(spi),
        draw(selectors),
        draw(selectors),
        draw(few(transforms, least=1)),
        draw(st.none() | u32),
        draw(st.none() | u32),
        draw(few(spi, most=3)),
        draw(few(unknown_attributes, most=2)),
        draw(octets()),
    )


data_policies = st.sampled_from([ProtocolId.AH, ProtocolId.ESP]).flatmap(_gsa_policies)
rekey_policies = _gsa_policies(ProtocolId.GIKE_UPDATE)
group_wide_policies = st.builds(
    GroupWidePolicy,
    st.none() | u16,
    st.none() | u16,
    st.none() | u16,
    few(unknown_attributes, most=2),
)


@st.composite
def _gsas(draw: st.DrawFn) -> GroupSecurityAssociation:
    rekey = draw(few(rekey_policies, most=1))
    policies = draw(st.permutations([*rekey, *draw(few(data_policies, least=1 - len(rekey)))]))
    return GroupSecurityAssociation(tuple(policies), draw(st.none() | group_wide_policies))


gsas = _gsas()

# --- KD ------------------------------------------------------------------------------

sender_ids = u32 | st.integers(0, 2**64 - 1)
wrapped_keys = st.builds(WrappedKey, u32, u32, octets(1, 80))


@st.composite
def _group_bags(draw: st.DrawFn) -> GroupKeyBag:
    protocol, spi_octets = draw(st.sampled_from(sorted(SA_SPI_OCTETS.items())))
    others = draw(few(unknown_attributes, most=2))
    return GroupKeyBag(protocol, draw(exactly(spi_octets)), draw(few(wrapped_keys)), others)


group_bags = _group_bags()


@st.composite
def _kds(draw: st.DrawFn) -> KeyDownload:
    groups = draw(st.lists(group_bags, max_size=4, unique_by=lambda bag: (bag.protocol, bag.spi)))
    members = [
        MemberKeyBag(
            draw(few(wrapped_keys)),
            draw(octets(1, 60)) if number == 0 and draw(st.booleans()) else None,
            draw(few(sender_ids, most=3)),
            draw(few(unknown_attributes, most=2)),
        )
        for number in range(draw(st.integers(0 if groups else 1, 3)))
    ]
    return KeyDownload(tuple(groups), tuple(members))


kds = _kds()

# --- the other payloads --------------------------------------------------------------


@st.composite
def _deletes(draw: st.DrawFn) -> Delete:
    protocol = draw(u8)
    size = DELETE_SPI_OCTETS.get(ProtocolId(protocol), draw(st.integers(0, 16)))
    return Delete(protocol, size, draw(few(exactly(size), most=5 if size else 0)))


deletes = _deletes()
key_exchanges = st.builds(KeyExchange, u16, octets(1, 256))
certificates = st.builds(Certificate, u8, octets(1))
certificate_requests = st.builds(CertificateRequest, u8, octets())
authentications = st.builds(Authentication, u8, octets(1))
digital_signatures = st.builds(DigitalSignature, octets(1, 255), octets(1, 300))
nonces = st.builds(Nonce, octets(MIN_NONCE_OCTETS, MAX_NONCE_OCTETS))
notifies = st.builds(Notify, u16, octets(), u8, octets(0, 16))
vendor_ids = st.builds(VendorId, octets())

KNOWN: dict[str, st.SearchStrategy[Payload]] = {
    "SA": security_associations,
    "KE": key_exchanges,
    "IDi": st.builds(IDi, identities),
    "IDr": st.builds(IDr, identities),
    "IDg": st.builds(IDg, identities),
    "CERT": certificates,
    "CERTREQ": certificate_requests,
    "AUTH": authentications,
    "NONCE": nonces,
    "NOTIFY": notifies,
    "DELETE": deletes,
    "VENDOR": vendor_ids,
    "TSi": st.builds(TrafficSelectorsI, few(selectors | labels, least=1)),
    "TSr": st.builds(TrafficSelectorsR, few(selectors | labels, least=1)),
    "GSA": gsas,
    "KD": kds,
    "PS": st.builds(PuzzleSolution, octets(1)),
}
"""Every payload that gcks reads, by its name in `PayloadType`."""

unknown_payloads = st.builds(
    UnknownPayload,
    st.sampled_from(sorted(set(range(1, 256)) - {PayloadType[name] for name in KNOWN})),
    st.booleans(),
    octets(),
)
PAYLOADS: dict[str, st.SearchStrategy[Payload]] = {**KNOWN, "unknown": unknown_payloads}
payloads: st.SearchStrategy[Payload] = st.one_of(*PAYLOADS.values())
chains = few(payloads, most=6)

# --- headers and envelopes -----------------------------------------------------------

headers = st.builds(
    Header,
    exactly(8),
    exactly(8),
    u8,
    u8,
    u8,
    u8,
    u32,
    st.integers(HEADER_OCTETS, 0xFFFF),
)
encrypted_payloads = st.builds(EncryptedPayload, u8, u8, octets(1))


@st.composite
def _fragments(draw: st.DrawFn) -> EncryptedFragment:
    total = draw(st.integers(1, 0xFFFF))
    number = draw(st.integers(1, total))
    first = draw(st.integers(1, 255)) if number == 1 else 0
    return EncryptedFragment(first, draw(u8), number, total, draw(octets(1)))


encrypted_fragments = _fragments()
