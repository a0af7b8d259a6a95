"""CRLs and OCSP responses that `openssl` made (RFC 5280 section 6.3, RFC 6960, RFC 4806)."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from gcks.crypto.certificates import TrustStore
from gcks.crypto.errors import CertificateInvalid
from gcks.crypto.revocation import (
    CLOCK_SKEW_SECONDS,
    MAX_OCSP_RESPONSES,
    Crl,
    Revocation,
    Status,
    check_ocsp,
)
from gcks.wire.identification import Identity
from tests.support.openssl_ca import OpensslCa, to_der

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")

GOOD, BAD = "good.example", "bad.example"
DAY = 86_400.0
SOFT, HARD = Revocation.SOFT, Revocation.HARD


class Made:
    """One CA that has revoked one of its two members' certificates."""

    def __init__(self, directory: Path) -> None:
        self.root = OpensslCa(directory, "root")
        self.ca = OpensslCa(directory, "ca", self.root)
        self.good, self.bad = self.ca.issue(GOOD), self.ca.issue(BAD)
        self.delegate = self.ca.issue("ocsp.example", "delegate")
        self.ca.revoke(self.bad)
        self.crl, self.root_crl = self.ca.crl(), self.root.crl()
        self.says_good = self.ca.ocsp(self.good)
        self.says_revoked = self.ca.ocsp(self.bad)
        self.now = time.time()

    def chain(self, leaf: Path) -> list[bytes]:
        return [to_der(leaf), self.ca.der]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("ca"))


def validate(
    made: Made,
    leaf: str,
    mode: Revocation,
    crls: tuple[bytes, ...] = (),
    ocsp: tuple[bytes, ...] = (),
    after: float = 0.0,
) -> None:
    trust = TrustStore([made.root.der], [Crl(one) for one in crls], mode)
    path = made.good if leaf == GOOD else made.bad
    trust.validate(made.chain(path), Identity.parse(f"fqdn:{leaf}"), made.now + after, ocsp)


@pytest.mark.parametrize("mode", [SOFT, HARD])
def test_a_crl_tells_who_is_revoked(made: Made, mode: Revocation) -> None:
    crls = (made.crl, made.root_crl)
    validate(made, GOOD, mode, crls)
    with pytest.raises(CertificateInvalid, match="bad.example: revoked"):
        validate(made, BAD, mode, crls)


def test_off_looks_at_no_crl(made: Made) -> None:
    validate(made, BAD, Revocation.OFF, (made.crl,))


def test_without_a_crl_soft_accepts_and_hard_refuses(made: Made) -> None:
    validate(made, BAD, SOFT)
    with pytest.raises(CertificateInvalid, match="no current CRL"):
        validate(made, GOOD, HARD)


def test_hard_wants_a_crl_of_every_ca_of_the_path(made: Made) -> None:
    with pytest.raises(CertificateInvalid, match="CN=ca: no current CRL"):
        validate(made, GOOD, HARD, (made.crl,))


def test_an_old_crl_says_good_of_nobody_and_its_revocations_stay(made: Made) -> None:
    crls = (made.crl, made.root_crl)
    validate(made, GOOD, SOFT, crls, after=2 * DAY)
    with pytest.raises(CertificateInvalid, match="revoked"):
        validate(made, BAD, SOFT, crls, after=2 * DAY)
    with pytest.raises(CertificateInvalid, match="no current CRL"):
        validate(made, GOOD, HARD, crls, after=2 * DAY)


def test_a_crl_from_the_future_says_nothing(made: Made) -> None:
    crl, bad = Crl(made.crl), x509.load_der_x509_certificate(to_der(made.bad))
    assert crl.status(bad, made.now - CLOCK_SKEW_SECONDS / 2) is Status.REVOKED
    assert crl.status(bad, made.now - CLOCK_SKEW_SECONDS - 60) is Status.UNKNOWN


def test_a_crl_of_another_ca_with_the_same_name_says_nothing(made: Made, tmp_path: Path) -> None:
    """RFC 5280 section 6.3.3 (g): the signature decides, not the name."""
    impostor = OpensslCa(tmp_path, "ca")
    shutil.copy(made.ca.dir / "index.txt", impostor.dir / "index.txt")
    forged = impostor.crl()
    assert len(Crl(forged)) == 1
    validate(made, BAD, SOFT, (forged,))
    with pytest.raises(CertificateInvalid, match="no current CRL"):
        validate(made, GOOD, HARD, (forged, made.root_crl))


def test_a_revoked_intermediate_takes_all_below_with_it(tmp_path: Path) -> None:
    root = OpensslCa(tmp_path, "root")
    ca = OpensslCa(tmp_path, "ca", root)
    leaf = ca.issue(GOOD)
    root.revoke(ca.pem)
    trust = TrustStore([root.der], [Crl(root.crl())], SOFT)
    with pytest.raises(CertificateInvalid, match="CN=ca: revoked"):
        trust.validate([to_der(leaf), ca.der], Identity.parse(f"fqdn:{GOOD}"), time.time())


def test_the_references_of_a_chain_and_of_a_crl_meet(made: Made) -> None:
    trust = TrustStore([made.root.der], [Crl(made.crl)], SOFT)
    loose = TrustStore([made.root.der])
    for leaf, path, revoked in ((GOOD, made.good, False), (BAD, made.bad, True)):
        found = loose.validate(made.chain(path), Identity.parse(f"fqdn:{leaf}"), made.now)
        references = {found.references[at : at + 16] for at in range(0, len(found.references), 16)}
        assert len(references) == 2
        assert bool(references & trust.revocation.revoked()) is revoked


@pytest.mark.parametrize("signer", ["the CA", "its delegate"])
def test_ocsp_in_cert_satisfies_hard_fail(made: Made, signer: str) -> None:
    """RFC 4806 section 3; RFC 6960 section 4.2.2.2."""
    by = made.delegate if signer == "its delegate" else None
    response = made.ca.ocsp(made.good, by)
    validate(made, GOOD, HARD, (made.root_crl,), (response,))


def test_ocsp_says_revoked(made: Made) -> None:
    with pytest.raises(CertificateInvalid, match="revoked"):
        validate(made, BAD, SOFT, (), (made.says_revoked,))


def test_ocsp_about_another_certificate_says_nothing(made: Made) -> None:
    """Else a revoked member could show what was said of another."""
    with pytest.raises(CertificateInvalid, match="no current CRL"):
        validate(made, BAD, HARD, (made.root_crl,), (made.says_good,))


def test_a_good_ocsp_response_doesn_t_outweigh_a_crl(tmp_path: Path) -> None:
    """A member keeps the response from before it was revoked."""
    root = OpensslCa(tmp_path, "root")
    leaf = root.issue(BAD)
    before = root.ocsp(leaf)
    root.revoke(leaf)
    trust = TrustStore([root.der], [Crl(root.crl())], SOFT)
    with pytest.raises(CertificateInvalid, match="revoked"):
        trust.validate([to_der(leaf)], Identity.parse(f"fqdn:{BAD}"), time.time(), [before])


def test_an_old_ocsp_response_says_nothing(made: Made) -> None:
    with pytest.raises(CertificateInvalid, match="no current CRL"):
        validate(made, GOOD, HARD, (made.root_crl,), (made.says_good,), after=1.1 * DAY)


def test_ocsp_by_a_certificate_that_isn_t_appointed_says_nothing(made: Made) -> None:
    """RFC 6960 section 4.2.2.2: id-kp-OCSPSigning, issued by the CA itself."""
    other_member = made.ca.ocsp(made.good, made.good)
    with pytest.raises(CertificateInvalid, match="no current CRL"):
        validate(made, GOOD, HARD, (made.root_crl,), (other_member,))


def test_a_delegate_of_another_ca_says_nothing(made: Made, tmp_path: Path) -> None:
    stranger = OpensslCa(tmp_path, "stranger")
    response = made.ca.ocsp(made.good, stranger.issue("ocsp.example", "delegate"))
    with pytest.raises(CertificateInvalid, match="no current CRL"):
        validate(made, GOOD, HARD, (made.root_crl,), (response,))


def test_a_changed_ocsp_response_says_nothing(made: Made) -> None:
    content = made.ca.ocsp(made.good, made.ca.pem, "-resp_no_certs")
    validate(made, GOOD, HARD, (made.root_crl,), (content,))
    response = ocsp.load_der_ocsp_response(content)
    for part in (response.tbs_response_bytes, response.signature):
        refuse_changes(made, content, content.index(part), len(part))


def refuse_changes(made: Made, content: bytes, start: int, octets: int) -> None:
    for at in range(start, start + octets):
        changed = content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :]
        with pytest.raises(CertificateInvalid, match="no current CRL"):
            validate(made, GOOD, HARD, (made.root_crl,), (changed,))


def test_the_number_of_ocsp_responses_is_bounded(made: Made) -> None:
    with pytest.raises(CertificateInvalid, match="5 OCSP responses"):
        validate(made, GOOD, HARD, (), (made.says_good,) * (MAX_OCSP_RESPONSES + 1))


@pytest.mark.parametrize("junk", [b"", b"\x30", bytes(9000)])
def test_junk_in_place_of_ocsp_says_nothing(made: Made, junk: bytes) -> None:
    validate(made, GOOD, SOFT, (), (junk,))
    with pytest.raises(CertificateInvalid):
        check_ocsp(junk)


def test_a_file_with_a_good_response_is_taken(made: Made) -> None:
    check_ocsp(made.says_good)


def test_partial_crls_are_refused_when_they_are_loaded(made: Made) -> None:
    """RFC 5280 section 5.2.5: they don't speak of all certificates."""
    extension = made.ca.dir / "partial.cnf"
    base = (made.ca.dir / "openssl.cnf").read_text()
    extension.write_text(
        base + "[partial]\nissuingDistributionPoint = critical,@point\n[point]\nonlyuser = TRUE\n"
    )
    partial = made.ca.crl("-crldays", "1", "-config", extension, "-crlexts", "partial")
    with pytest.raises(CertificateInvalid, match="part of the certificates"):
        Crl(partial)


@pytest.mark.parametrize("junk", [b"", b"\x30\x03\x02\x01\x01"])
def test_junk_is_no_crl(junk: bytes) -> None:
    with pytest.raises(CertificateInvalid, match="not a readable CRL"):
        Crl(junk)


def test_an_intermediate_for_other_uses_issues_no_ike_certificates(tmp_path: Path) -> None:
    """RFC 4945 section 5.1.3.12, for the CA above the leaf."""
    root = OpensslCa(tmp_path, "root")
    ca = OpensslCa(tmp_path, "ca", root)
    root.sign(ca.key, "ca", ca.pem, "code_signer")
    leaf = ca.issue(GOOD)
    with pytest.raises(CertificateInvalid, match="CN=ca: extended key usage is not for IKE"):
        TrustStore([root.der]).validate(
            [to_der(leaf), ca.der], Identity.parse(f"fqdn:{GOOD}"), time.time()
        )
