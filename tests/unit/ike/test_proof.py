"""Which key to sign with, and whose signature counts (RFC 7296 3.7, RFC 7427, 7670, 9593, 4806)."""

from __future__ import annotations

import shutil
import time
from hashlib import sha1
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from gcks.crypto.certificates import TrustStore, authorities_above
from gcks.crypto.revocation import Revocation
from gcks.crypto.signature import ALGORITHMS, HASHES, SigningKey, load_public_key
from gcks.errors import AuthenticationFailed
from gcks.iana import AuthMethod, CertEncoding, Hash
from gcks.ike.credentials import Credentials, OwnCredential, PreSharedKey, RawPublicKey
from gcks.ike.proof import Wishes, choose, peer_keys, signed_proof
from gcks.wire.auth_methods import AuthAnnouncement, decode_announcements
from gcks.wire.authentication import Authentication
from gcks.wire.certificate import Certificate, CertificateRequest
from gcks.wire.identification import Identity
from tests.support.openssl_ca import OpensslCa, to_der

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")

X509, RAW, OCSP = (
    CertEncoding.X509_SIGNATURE,
    CertEncoding.RAW_PUBLIC_KEY,
    CertEncoding.OCSP_CONTENT,
)
GM1 = Identity.parse("fqdn:gm1.example")


def key_of(path: Path) -> SigningKey:
    return SigningKey(load_pem_private_key(path.with_suffix(".key").read_bytes(), None))  # type: ignore[arg-type]


def digest_of(ca: OpensslCa) -> bytes:
    """SHA-1 of the SubjectPublicKeyInfo, as RFC 7296 section 3.7 has it."""
    spki = x509.load_der_x509_certificate(ca.der).public_key()
    return sha1(spki.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


class Made:
    """Certificates of two CAs, one of them below a root, and a raw key."""

    def __init__(self, directory: Path) -> None:
        self.root = OpensslCa(directory, "root")
        self.low = OpensslCa(directory, "low", self.root)
        self.other = OpensslCa(directory, "other")
        anchors = [self.root.der, self.other.der]
        self.leaf_low, self.leaf_other = (
            self.low.issue("gm1.example"),
            self.other.issue("gm1.example"),
        )
        low, other = (to_der(self.leaf_low), self.low.der), (to_der(self.leaf_other),)
        self.by_low = OwnCredential(
            low,
            key_of(self.leaf_low),
            authorities_above(low, anchors),
            self.low.ocsp(self.leaf_low),
        )
        self.by_other = OwnCredential(
            other, key_of(self.leaf_other), authorities_above(other, anchors)
        )
        self.raw = OwnCredential((), SigningKey.generate("ed25519"))
        self.own = (self.by_low, self.by_other, self.raw)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("ca"))


def wishes(
    *requests: CertificateRequest, methods: tuple[AuthAnnouncement, ...] | None = None
) -> Wishes:
    return Wishes(requests, HASHES, methods)


# --- CERTREQ ----------------------------------------------------------------------------


def test_the_cas_above_a_chain_are_known_up_to_the_root(made: Made) -> None:
    assert made.by_low.authorities == {digest_of(made.low), digest_of(made.root)}
    assert made.by_other.authorities == {digest_of(made.other)}


def test_certreq_chooses_the_certificate(made: Made) -> None:
    """RFC 7296 section 3.7: a certificate below a CA that the peer names."""
    for ca, expected in (
        (made.root, made.by_low),
        (made.low, made.by_low),
        (made.other, made.by_other),
    ):
        request = CertificateRequest(X509, bytes(20) + digest_of(ca))
        assert choose(made.own, wishes(request))[0] is expected


def test_without_certreq_or_with_unknown_cas_the_first_is_taken(made: Made) -> None:
    """RFC 7296 section 3.7: a hint, not a restriction."""
    assert choose(made.own, wishes())[0] is made.by_low
    assert choose(made.own, wishes(CertificateRequest(X509, bytes(20))))[0] is made.by_low
    assert choose(made.own[1:], wishes(CertificateRequest(X509, b"")))[0] is made.by_other


def test_certreq_for_raw_keys_chooses_the_raw_key(made: Made) -> None:
    """RFC 7670 section 3.2."""
    assert choose(made.own, wishes(CertificateRequest(RAW, b"")))[0] is made.raw
    certificate, auth = signed_proof(made.own, wishes(CertificateRequest(RAW, b"")), b"octets")
    assert certificate == Certificate(RAW, made.raw.key.public_spki)
    assert isinstance(auth, Authentication)


def test_an_odd_rest_in_certreq_is_ignored(made: Made) -> None:
    request = CertificateRequest(X509, digest_of(made.other) + b"rest")
    assert choose(made.own, wishes(request))[0] is made.by_other


def test_ocsp_is_sent_to_who_asks_for_it(made: Made) -> None:
    """RFC 4806 section 3."""
    asked = wishes(CertificateRequest(X509, b""), CertificateRequest(OCSP, b""))
    kinds = [p.encoding for p in signed_proof(made.own, asked, b"") if isinstance(p, Certificate)]
    assert kinds == [X509, X509, OCSP]
    kinds = [
        p.encoding for p in signed_proof(made.own, wishes(), b"") if isinstance(p, Certificate)
    ]
    assert kinds == [X509, X509]


# --- what the peer can verify -----------------------------------------------------------


def test_the_peer_s_hashes_choose_the_algorithm(made: Made) -> None:
    """RFC 7427 section 4."""
    found = choose(made.own, Wishes((), (Hash.SHA1, Hash.SHA2_512)))
    assert found == (made.by_low, ALGORITHMS["ecdsa-sha512"])
    assert choose(made.own, Wishes((), (Hash.IDENTITY,)))[0] is made.raw


@pytest.mark.parametrize("hashes", [(), (Hash.SHA1,)])
def test_no_signature_for_hashes_the_peer_did_not_announce(
    made: Made, hashes: tuple[int, ...]
) -> None:
    with pytest.raises(AuthenticationFailed, match="verify no signature"):
        choose(made.own, Wishes((), hashes))


def test_announced_algorithms_choose_the_key(made: Made) -> None:
    """RFC 9593 section 3.1."""
    ed25519 = AuthAnnouncement(14, 0, ALGORITHMS["ed25519"].identifier, linked=True)
    assert choose(made.own, wishes(methods=(ed25519,)))[0] is made.raw
    sha384 = AuthAnnouncement(14, 0, ALGORITHMS["ecdsa-sha384"].identifier, linked=True)
    assert choose(made.own, wishes(methods=(sha384,))) == (made.by_low, ALGORITHMS["ecdsa-sha384"])
    with pytest.raises(AuthenticationFailed):
        choose(made.own, wishes(methods=(AuthAnnouncement(2),)))


def test_an_announcement_linked_to_a_ca_is_for_its_certificates(made: Made) -> None:
    """RFC 9593 section 3.2.2: the number counts over all CERTREQ payloads."""
    requests = (
        CertificateRequest(X509, digest_of(made.root)),
        CertificateRequest(X509, digest_of(made.other)),
    )
    identifier = ALGORITHMS["ecdsa-sha256"].identifier
    for link, expected in ((0, made.by_low), (1, made.by_low), (2, made.by_other)):
        methods = (AuthAnnouncement(14, link, identifier, linked=True),)
        assert choose(made.own, wishes(*requests, methods=methods))[0] is expected
    with pytest.raises(AuthenticationFailed):
        methods = (AuthAnnouncement(14, 3, identifier, linked=True),)
        choose(made.own, wishes(*requests, methods=methods))


# --- what we ask for --------------------------------------------------------------------


def spki_entry(owner: Identity, key: SigningKey) -> RawPublicKey:
    return RawPublicKey(str(owner), key.public_spki, load_public_key(key.public_spki))


def test_what_is_configured_is_asked_for_and_announced(made: Made) -> None:
    psk = (PreSharedKey("fqdn:*", b"secret"),)
    trust = TrustStore([made.root.der, made.other.der], (), Revocation.SOFT)
    raw = [spki_entry(GM1, made.raw.key)]
    assert Credentials().requests == () and Credentials().announcement is None
    everything = Credentials(psk, (), trust, raw)
    assert everything.requests == (
        CertificateRequest(X509, digest_of(made.root) + digest_of(made.other)),
        CertificateRequest(OCSP, b""),
        CertificateRequest(RAW, b""),
    )
    assert everything.announcement is not None
    methods = decode_announcements(everything.announcement.data)
    assert [one.method for one in methods] == [14] * len(ALGORITHMS) + [AuthMethod.SHARED_KEY_MIC]
    assert {one.algorithm for one in methods[:-1]} == {a.identifier for a in ALGORITHMS.values()}
    only_psk = Credentials(psk).announcement
    assert only_psk is not None and only_psk.data == b"\x02\x02"


# --- whose signature counts -------------------------------------------------------------


def test_a_raw_key_counts_for_the_identity_it_is_configured_for(made: Made) -> None:
    """RFC 7670 section 5: the binding is the configuration's."""
    key, stranger = made.raw.key, SigningKey.generate("ed25519")
    credentials = Credentials(raw_public_keys=[spki_entry(GM1, key)])
    sent = [Certificate(RAW, key.public_spki)]
    assert len(peer_keys(credentials, GM1, sent, 0.0).keys) == 1
    assert len(peer_keys(credentials, GM1, [], 0.0).keys) == 1
    for identity, certificates in (
        (GM1, [Certificate(RAW, stranger.public_spki)]),
        (Identity.parse("fqdn:gm2.example"), sent),
        (Identity.parse("fqdn:gm2.example"), []),
    ):
        with pytest.raises(AuthenticationFailed):
            peer_keys(credentials, identity, certificates, 0.0)


def test_two_raw_keys_while_a_peer_changes_from_one_to_the_other(made: Made) -> None:
    old, new = made.raw.key, SigningKey.generate("ecdsa-p256")
    credentials = Credentials(raw_public_keys=[spki_entry(GM1, old), spki_entry(GM1, new)])
    assert len(peer_keys(credentials, GM1, [], 0.0).keys) == 2
    found = peer_keys(credentials, GM1, [Certificate(RAW, new.public_spki)], 0.0)
    assert found.keys[0] == load_public_key(new.public_spki)


def test_a_certificate_needs_trust_anchors(made: Made) -> None:
    certificates = [Certificate(X509, der) for der in made.by_low.chain]
    with pytest.raises(AuthenticationFailed, match="no trust anchors"):
        peer_keys(Credentials(), GM1, certificates, time.time())
    trust = Credentials(trust=TrustStore([made.root.der]))
    found = peer_keys(trust, GM1, certificates, time.time())
    assert time.time() < found.ends_at < time.time() + 30 * 86_400
    assert len(found.references) == 2 * 16


def test_ocsp_in_cert_satisfies_hard_fail(made: Made) -> None:
    """RFC 4806 section 3."""
    trust = TrustStore([made.low.der], (), Revocation.HARD)
    certificates = [Certificate(X509, der) for der in made.by_low.chain]
    with pytest.raises(AuthenticationFailed, match="no current CRL or OCSP"):
        peer_keys(Credentials(trust=trust), GM1, certificates, time.time())
    certificates.append(Certificate(OCSP, made.by_low.ocsp or b""))
    assert peer_keys(Credentials(trust=trust), GM1, certificates, time.time()).keys
