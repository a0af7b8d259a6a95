"""Certificate chains and the identity in them (RFC 4945, RFC 5280)."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from gcks.crypto.certificates import MAX_CERTIFICATE_OCTETS, MAX_CERTIFICATES, TrustStore
from gcks.crypto.errors import CertificateInvalid
from gcks.iana import IdType
from gcks.wire.identification import Identity

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
NOW = (START + 10 * DAY).timestamp()
GM1 = Identity.parse("fqdn:gm1.example")
SAN_OID = x509.ObjectIdentifier("2.5.29.17")


def name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def san(*names: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(names)


GM1_SAN = san(x509.DNSName("gm1.example"))
CA = x509.BasicConstraints(ca=True, path_length=None)


def key_usage(*uses: str) -> x509.KeyUsage:
    every = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{use: use in uses for use in every.split()})


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, which can issue others."""

    der: bytes
    key: Any
    common: str

    def issue(
        self,
        common: str,
        *extensions: x509.ExtensionType,
        key: Any = None,
        days: tuple[int, int] = (0, 100),
        critical: bool = False,
        digest: Any = None,
        pss: bool = False,
    ) -> Issued:
        key = key or ec.generate_private_key(ec.SECP256R1())
        return issue(common, key, self.common, self.key, extensions, days, critical, digest, pss)


def issue(
    common: str,
    key: Any,
    issuer: str,
    issuer_key: Any,
    extensions: tuple[x509.ExtensionType, ...] = (CA,),
    days: tuple[int, int] = (0, 365),
    critical: bool = False,
    digest: Any = None,
    pss: bool = False,
) -> Issued:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START + days[0] * DAY)
        .not_valid_after(START + days[1] * DAY)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical)
    hashless = isinstance(issuer_key, Ed25519PrivateKey | ed448.Ed448PrivateKey)
    algorithm = None if hashless else digest or hashes.SHA256()
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if pss else None
    certificate = builder.sign(issuer_key, algorithm, rsa_padding=scheme)
    return Issued(certificate.public_bytes(Encoding.DER), key, common)


def root(common: str = "root", key: Any = None) -> Issued:
    key = key or ec.generate_private_key(ec.SECP256R1())
    return issue(common, key, common, key)


ROOT = root()
TRUST = TrustStore([ROOT.der])
LEAF = ROOT.issue("gm1", GM1_SAN)


def refuse(
    chain: list[bytes], why: str, identity: Identity = GM1, trust: TrustStore = TRUST
) -> None:
    with pytest.raises(CertificateInvalid, match=why):
        trust.validate(chain, identity, NOW)


KEYS = {
    "ed25519": Ed25519PrivateKey.generate(),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_a_chain_of_every_kind_gives_the_leaf_s_key(kind: str) -> None:
    anchor = root("root of " + kind, KEYS[kind])
    between = anchor.issue("between", CA, key=KEYS[kind], pss=kind == "rsa")
    leaf = between.issue("gm1", GM1_SAN, key=KEYS[kind], pss=kind == "rsa")
    found = TrustStore([anchor.der]).validate([leaf.der, between.der], GM1, NOW).key
    assert found == KEYS[kind].public_key()


def test_intermediates_come_in_any_order_with_others_among_them() -> None:
    first = ROOT.issue("first", CA)
    second = first.issue("second", CA)
    leaf = second.issue("gm1", GM1_SAN)
    stranger = root("stranger")
    TRUST.validate([leaf.der, stranger.der, first.der, ROOT.der, second.der], GM1, NOW)


def test_a_missing_intermediate_is_refused() -> None:
    leaf = ROOT.issue("between", CA).issue("gm1", GM1_SAN)
    refuse([leaf.der], "issuer")


def test_an_intermediate_can_be_the_anchor() -> None:
    between = ROOT.issue("between", CA)
    TrustStore([between.der]).validate([between.issue("gm1", GM1_SAN).der], GM1, NOW)
    refuse([LEAF.der], "issuer", trust=TrustStore([between.der]))


def test_an_unknown_root_in_the_peer_s_chain_is_no_anchor() -> None:
    stranger = root("stranger")
    refuse([stranger.issue("gm1", GM1_SAN).der, stranger.der], "self-signed|issuer")


def test_a_root_of_the_same_name_is_no_anchor() -> None:
    impostor = root("root")
    refuse([impostor.issue("gm1", GM1_SAN).der, impostor.der], "signature|issuer|self-signed")


def test_no_anchor_trusts_nobody() -> None:
    refuse([LEAF.der, ROOT.der], "issuer|self-signed", trust=TrustStore([]))


@pytest.mark.parametrize(("days", "why"), [((0, 5), "expired"), ((20, 30), "not yet valid")])
def test_validity_of_leaf_and_intermediate(days: tuple[int, int], why: str) -> None:
    """RFC 5280 section 4.1.2.5."""
    refuse([ROOT.issue("gm1", GM1_SAN, days=days).der], why)
    between = ROOT.issue("between", CA, days=days)
    refuse([between.issue("gm1", GM1_SAN).der, between.der], why)


def test_validity_is_judged_at_the_given_time_each_time() -> None:
    for days, good in ((10, True), (200, False), (10, True), (-1, False)):
        at = (START + days * DAY).timestamp()
        if good:
            TRUST.validate([LEAF.der], GM1, at)
        else:
            with pytest.raises(CertificateInvalid):
                TRUST.validate([LEAF.der], GM1, at)


@pytest.mark.parametrize(
    "extensions",
    [(), (x509.BasicConstraints(ca=False, path_length=None),), (CA, key_usage("crl_sign"))],
    ids=["none", "no CA", "no certSign"],
)
def test_who_is_no_ca_issues_nothing(extensions: tuple[x509.ExtensionType, ...]) -> None:
    """RFC 5280 sections 4.2.1.3 and 4.2.1.9."""
    between = ROOT.issue("between", *extensions)
    refuse([between.issue("gm1", GM1_SAN).der, between.der], "CA|issuer|usage")


def test_path_length() -> None:
    """RFC 5280 section 4.2.1.9."""
    first = ROOT.issue("first", x509.BasicConstraints(ca=True, path_length=0))
    TRUST.validate([first.issue("gm1", GM1_SAN).der, first.der], GM1, NOW)
    second = first.issue("second", CA)
    refuse([second.issue("gm1", GM1_SAN).der, second.der, first.der], "path length")


def test_name_constraints() -> None:
    """RFC 5280 section 4.2.1.10."""
    only = x509.NameConstraints([x509.DNSName("other.example")], None)
    between = ROOT.issue("between", CA, only, critical=True)
    refuse([between.issue("gm1", GM1_SAN).der, between.der], "permitted subtree")


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def test_unknown_extensions_are_refused_only_where_critical() -> None:
    """RFC 5280 section 4.2."""
    TRUST.validate([ROOT.issue("gm1", GM1_SAN, UNKNOWN).der], GM1, NOW)
    refuse([ROOT.issue("gm1", GM1_SAN, UNKNOWN, critical=True).der], "critical")
    between = ROOT.issue("between", CA, UNKNOWN, critical=True)
    refuse([between.issue("gm1", GM1_SAN).der, between.der], "critical")


@pytest.mark.parametrize(
    ("uses", "good"),
    [
        (("digital_signature",), True),
        (("content_commitment",), True),
        (("digital_signature", "key_agreement"), True),
        (("key_encipherment",), False),
        (("key_cert_sign",), False),
    ],
)
def test_key_usage(uses: tuple[str, ...], good: bool) -> None:
    """RFC 4945 section 5.1.3.2."""
    chain = [ROOT.issue("gm1", GM1_SAN, key_usage(*uses)).der]
    if good:
        TRUST.validate(chain, GM1, NOW)
    else:
        refuse(chain, "key usage")


@pytest.mark.parametrize(
    ("purpose", "good"),
    [
        (x509.ObjectIdentifier("1.3.6.1.5.5.7.3.17"), True),
        (x509.ObjectIdentifier("1.3.6.1.5.5.8.2.2"), True),
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, True),
        (ExtendedKeyUsageOID.CLIENT_AUTH, True),
        (ExtendedKeyUsageOID.SERVER_AUTH, True),
        (ExtendedKeyUsageOID.CODE_SIGNING, False),
        (ExtendedKeyUsageOID.OCSP_SIGNING, False),
    ],
    ids=lambda value: getattr(value, "dotted_string", None),
)
def test_extended_key_usage(purpose: x509.ObjectIdentifier, good: bool) -> None:
    """RFC 4945 section 5.1.3.12."""
    chain = [ROOT.issue("gm1", GM1_SAN, x509.ExtendedKeyUsage([purpose])).der]
    if good:
        TRUST.validate(chain, GM1, NOW)
    else:
        refuse(chain, "extended key usage")


NAMES = {
    "fqdn:gm1.example": x509.DNSName("gm1.example"),
    "rfc822:gm1@example": x509.RFC822Name("gm1@example"),
    "ipv4:192.0.2.1": x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
    "ipv6:2001:db8::1": x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
}


@pytest.mark.parametrize("text", sorted(NAMES))
def test_an_identity_matches_the_alternative_name_of_its_type(text: str) -> None:
    """RFC 4945 section 3.1."""
    several = ROOT.issue("gm1", san(x509.DNSName("another.example"), NAMES[text]))
    TRUST.validate([several.der], Identity.parse(text), NOW)
    for other in NAMES:
        if other != text:
            refuse([several.der], "does not name", Identity.parse(other))


@pytest.mark.parametrize(
    "text",
    [
        "fqdn:gm2.example",
        "fqdn:GM1.example.org",
        "fqdn:example",
        "fqdn:gm1.exampl",
        "keyid:gm1.example",
        "fqdn:hex:676d312e6578616d706c6500",
        "rfc822:gm1.example",
    ],
)
def test_another_identity_is_refused(text: str) -> None:
    refuse([LEAF.der], "does not name", Identity.parse(text))


@pytest.mark.parametrize("text", ["fqdn:gm1.example", "fqdn:*.example", "fqdn:.example"])
def test_a_wildcard_names_nobody(text: str) -> None:
    """RFC 4945 section 3.1.2: dNSName is compared as it is; a wildcard would name many."""
    leaf = ROOT.issue("gm1", san(x509.DNSName("*.example")))
    refuse([leaf.der], "does not name", Identity.parse(text))


def test_the_common_name_is_no_fqdn() -> None:
    refuse([ROOT.issue("gm1.example").der], "does not name")


def test_a_network_names_no_address() -> None:
    leaf = ROOT.issue("gm1", san(x509.DNSName("x"), x509.DNSName("192.0.2.1")))
    refuse([leaf.der], "does not name", Identity.parse("ipv4:192.0.2.1"))


def test_the_subject_is_compared_octet_for_octet() -> None:
    """RFC 4945 section 3.1.5."""
    subject = name("gm1").public_bytes()
    TRUST.validate([LEAF.der], Identity(IdType.ID_DER_ASN1_DN, subject), NOW)
    for wrong in (subject + b"\0", subject[:-1], name("gm2").public_bytes()):
        refuse([LEAF.der], "does not name", Identity(IdType.ID_DER_ASN1_DN, wrong))


@pytest.mark.parametrize("kind", [IdType.ID_DER_ASN1_GN, IdType.ID_KEY_ID, 77])
def test_types_without_a_place_in_a_certificate_never_match(kind: int) -> None:
    refuse([LEAF.der], "does not name", Identity(kind, b"gm1.example"))


def test_a_weak_signature_is_refused() -> None:
    """SHA-224 stands for all weak hashes: the library signs no certificate with SHA-1."""
    weak = hashes.SHA224()
    refuse([ROOT.issue("gm1", GM1_SAN, digest=weak).der], "weak hash")
    between = ROOT.issue("between", CA, digest=weak)
    refuse([between.issue("gm1", GM1_SAN).der, between.der], "issuer")


def test_a_weak_certificate_beside_the_path_does_no_harm() -> None:
    stranger = ROOT.issue("stranger", CA, digest=hashes.SHA224())
    TRUST.validate([LEAF.der, stranger.der], GM1, NOW)


def test_weak_rsa_keys_are_refused() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    refuse([ROOT.issue("gm1", GM1_SAN, key=weak).der], "2048")
    between = ROOT.issue("between", CA, key=weak)
    refuse([between.issue("gm1", GM1_SAN).der, between.der], "issuer")
    with pytest.raises(CertificateInvalid, match="weak"):
        TrustStore([root("weak", weak).der])


@pytest.mark.parametrize(
    "key", [ed448.Ed448PrivateKey.generate(), ec.generate_private_key(ec.SECP256K1())]
)
def test_other_kinds_of_leaf_key_are_refused(key: Any) -> None:
    refuse([ROOT.issue("gm1", GM1_SAN, key=key).der], "Ed25519, ECDSA")


def test_the_number_and_size_of_certificates_are_bounded() -> None:
    refuse([], "0 certificates")
    refuse([LEAF.der] * (MAX_CERTIFICATES + 1), "9 certificates")
    refuse([LEAF.der + bytes(MAX_CERTIFICATE_OCTETS)], "octets")


def test_names_of_forms_nobody_reads_are_refused() -> None:
    """An x400Address makes the library raise what is not even a ValueError."""
    leaf = ROOT.issue("gm1", x509.UnrecognizedExtension(SAN_OID, bytes.fromhex("3004a3023000")))
    refuse([leaf.der], "unreadable extensions")


def test_an_unknown_version_is_refused() -> None:
    octets = bytearray(LEAF.der)
    octets[octets.index(bytes.fromhex("a003020102")) + 4] = 9
    refuse([bytes(octets)], "not a readable")


def test_truncation_at_every_octet() -> None:
    for size in range(len(LEAF.der)):
        refuse([LEAF.der[:size]], "")


@given(st.data())
def test_changed_octets_are_refused_with_the_one_error(data: st.DataObject) -> None:
    """Whatever a peer that is not yet authenticated sends."""
    octets = bytearray(LEAF.der)
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    refuse([bytes(octets)], "")
    try:
        TRUST.validate([LEAF.der, bytes(octets)], GM1, NOW)
    except CertificateInvalid as error:
        assert str(error)


def test_an_anchor_that_is_no_certificate() -> None:
    with pytest.raises(CertificateInvalid, match="not a readable"):
        TrustStore([b"-----BEGIN CERTIFICATE-----"])


def test_authorities_are_sha_1_of_each_anchor_s_key() -> None:
    """RFC 7296 section 3.7."""
    other = root("other")
    spkis = [
        one.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for one in (ROOT, other)
    ]
    digests = b"".join(sha1(spki).digest() for spki in spkis)
    assert TrustStore([ROOT.der, other.der]).authorities == digests
