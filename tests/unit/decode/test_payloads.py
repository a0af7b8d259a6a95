"""Every payload in RFC terms: what stands there, what is left out, what is malformed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gcks.daemon.dev_files import pem_certificate, prepare
from gcks.decode.model import Context, Item
from gcks.decode.notifies import MEANINGS
from gcks.decode.payloads import RENDERERS, explain
from gcks.decode.titles import PAYLOADS, payload_title
from gcks.group.sa_key_log_entry import group_sa_entry
from gcks.group.spread import SPREAD_VENDOR, Spread, spread_notify
from gcks.iana import Encr, ExchangeType, NotifyType, PayloadType, ProtocolId, TransformType
from gcks.wire.attribute import Attribute
from gcks.wire.authentication import Authentication, DigitalSignature
from gcks.wire.certificate import Certificate, CertificateRequest
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.identification import Identity, IDg, IDi, IDr
from gcks.wire.kd import GroupKeyBag, KeyDownload, MemberKeyBag, WrappedKey
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload, decode_chain
from gcks.wire.puzzle import PuzzleSolution
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.traffic_selector import (
    SecurityLabel,
    TrafficSelector,
    TrafficSelectorsI,
    TrafficSelectorsR,
)
from gcks.wire.transform import Transform
from gcks.wire.unknown import UnknownPayload
from gcks.wire.vendor import VendorId
from tests.support.gsa_policies import ESP, REKEY, WIDE
from tests.support.seeds import inside_sk

SPI = b"\xe4\x1brM"
NO_CONTEXT = Context()


def lines(items: tuple[Item, ...], indent: str = "") -> Iterator[str]:
    for item in items:
        yield f"{indent}{item.name}: {item.value}"
        yield from lines(item.items, indent + "  ")


def said(payload: Payload, context: Context = NO_CONTEXT) -> list[str]:
    return list(lines(explain(payload, context)))


def wide_range(first: str, last: str) -> TrafficSelector:
    return replace(
        TrafficSelector.single(first, 6, 80),
        end_address=TrafficSelector.single(last, 6, 80).end_address,
        end_port=90,
    )


SAMPLES: list[tuple[Payload, list[str]]] = [
    (
        SecurityAssociation(
            (
                Proposal(
                    1,
                    ProtocolId.IKE,
                    b"initiatr",
                    (
                        Transform(TransformType.ENCR, Encr.AES_GCM_16, 256),
                        Transform(TransformType.PRF, 5),
                        Transform(TransformType.KE, 4711),
                        Transform(99, 7, None, b"", (Attribute(5, b"\1\2", tv=True),)),
                        Transform(TransformType.SN, 2),
                        Transform(TransformType.GCAUTH, 2, None, bytes.fromhex("300506032b6570")),
                    ),
                ),
            )
        ),
        [
            "proposal 1: IKE, SPI 696e697469617472",
            "  ENCR: AES_GCM_16-256",
            "  PRF: HMAC_SHA2_256",
            "  KE: UNASSIGNED_4711",
            "  UNASSIGNED_99: 7",
            "    attribute 5: unknown, 0102",
            "  SN: UNSPECIFIED_32: 32-bit numbers that need not be unique: no replay protection",
            "  GCAUTH: DIGITAL_SIGNATURE, ed25519",
        ],
    ),
    (KeyExchange(31, bytes(32)), ["method: CURVE25519", "public value: 32 octets"]),
    (Nonce(bytes(32)), ["nonce: 32 octets"]),
    (IDi(Identity.parse("fqdn:gm1.example")), ["ID type: ID_FQDN", "identity: fqdn:gm1.example"]),
    (
        IDr(Identity.parse("ipv6:2001:db8::1")),
        ["ID type: ID_IPV6_ADDR", "identity: ipv6:2001:db8::1"],
    ),
    (IDg(Identity.parse("keyid:demo")), ["ID type: ID_KEY_ID", "identity: keyid:demo"]),
    (
        Certificate(4, b"\x30"),
        ["encoding: X509_SIGNATURE", "malformed: not a readable certificate", "size: 1 octets"],
    ),
    (
        Certificate(12, bytes(20) + b"http://x/\x1b["),
        ["encoding: HASH_AND_URL", "URL: 'http://x/\\x1b['", "size: 31 octets"],
    ),
    (Certificate(15, b"\x30"), ["encoding: RAW_PUBLIC_KEY", "size: 1 octets"]),
    (CertificateRequest(4, b""), ["encoding: X509_SIGNATURE", "CA: any"]),
    (
        CertificateRequest(4, b"\xab" * 20),
        ["encoding: X509_SIGNATURE", f"CA: key with SHA-1 {'ab' * 20}"],
    ),
    (CertificateRequest(4, b"\xab" * 21), ["encoding: X509_SIGNATURE", "authorities: 21 octets"]),
    (
        CertificateRequest(4, bytes(400)),
        ["encoding: X509_SIGNATURE", *[f"CA: key with SHA-1 {'00' * 20}"] * 16, "CA: and 4 more"],
    ),
    (
        Authentication(2, bytes(32)),
        ["method: Shared Key Message Integrity Code", "data: 32 octets"],
    ),
    (Authentication(200, b"x"), ["method: UNASSIGNED_200", "data: 1 octets"]),
    (
        Authentication(
            14, DigitalSignature(bytes.fromhex("300506032b6570"), bytes(64)).encode_data()
        ),
        ["method: Digital Signature (RFC 7427)", "algorithm: ed25519", "signature: 64 octets"],
    ),
    (
        Authentication(14, DigitalSignature(b"\x30\0", b"x").encode_data()),
        [
            "method: Digital Signature (RFC 7427)",
            "algorithm: AlgorithmIdentifier 3000",
            "signature: 1 octets",
        ],
    ),
    (
        Authentication(14, b"\xff"),
        [
            "method: Digital Signature (RFC 7427)",
            "malformed: the AlgorithmIdentifier does not fit its AUTH payload",
        ],
    ),
    (Delete(ProtocolId.IKE, 0, ()), ["deletes: this IKE SA"]),
    (
        Delete(ProtocolId.NONE, 0, ()),
        ["deletes: the whole GSA: all SAs of the group (RFC 9838 section 4.6)"],
    ),
    (
        Delete(ProtocolId.ESP, 4, (SPI, bytes(4))),
        ["deletes: ESP SPI e41b724d", "deletes: all ESP SAs (SPI zero)"],
    ),
    (VendorId(b"gcks"), ["text: gcks", "octets: 67636b73"]),
    (VendorId(b""), ["octets: empty"]),
    (VendorId(b"\x1b" * 80), [f"octets: {'1b' * 64}... (80 octets)"]),
    (
        TrafficSelectorsI((TrafficSelector.any(4, 17),)),
        ["selector: any IPv4 address, UDP, any port"],
    ),
    (
        TrafficSelectorsR(
            (
                TrafficSelector.from_network("239.0.0.0/8", 17, 5000, 5000),
                wide_range("10.0.0.1", "10.0.0.9"),
                wide_range("10.0.0.1", "10.0.0.2"),
                TrafficSelector.from_network("ff0e::/16", 132, 65535, 0),
                SecurityLabel(b"s0:c7\0"),
                SecurityLabel(b"\x1b"),
            )
        ),
        [
            "selector: 239.0.0.0/8, UDP, port 5000",
            "selector: 10.0.0.1-10.0.0.9, TCP, ports 80-90",
            "selector: 10.0.0.1-10.0.0.2, TCP, ports 80-90",
            "selector: ff0e::/16, protocol 132, OPAQUE ports",
            "selector: security label s0:c7",
            "selector: security label 1b",
        ],
    ),
    (
        GroupSecurityAssociation(
            (
                replace(REKEY, initial_message_id=7, next_spis=(bytes(16),), lifetime_seconds=60),
                replace(ESP, label=b"s0\0", others=(Attribute(99, b"x"),)),
            ),
            replace(WIDE, others=(Attribute(99, b""),)),
        ),
        [
            f"Rekey SA policy: GIKE_UPDATE, SPI {bytes(range(16)).hex()}",
            "  source: 192.0.2.1, UDP, port 848",
            "  destination: 239.1.2.3, UDP, port 848",
            "  ENCR: AES_GCM_16-256",
            "  KWA: KW_5649_256",
            "  GSA_KEY_LIFETIME: 60 s",
            "  GSA_INITIAL_MESSAGE_ID: 7",
            f"  GSA_NEXT_SPI: {'00' * 16}",
            "Data-Security SA policy: ESP, SPI e41b724d",
            "  source: any IPv6 address, any protocol, any port",
            "  destination: ff02::1, UDP, port 5000",
            "  security label: s0",
            "  ENCR: AES_GCM_16-256",
            "  SN: UNSPECIFIED_32: 32-bit numbers that need not be unique: no replay protection",
            "  GSA_KEY_LIFETIME: 3600 s (1:00:00)",
            "  attribute 99: unknown, 78",
            "GW policy: group-wide",
            "  GWP_ATD: 5 s before a new SA is sent on",
            "  GWP_DTD: 10 s until a replaced SA goes",
            "  GWP_SENDER_ID_BITS: 8 bits of the IV",
            "  attribute 99: unknown, empty",
        ],
    ),
    (
        KeyDownload(
            (
                GroupKeyBag(
                    ProtocolId.ESP, SPI, (WrappedKey(0, 0, bytes(48)),), (Attribute(9, b"x"),)
                ),
            ),
            (
                MemberKeyBag(
                    (WrappedKey(6, 15, bytes(40)),), b"\x30", (3, 4), (Attribute(9, b"x"),)
                ),
            ),
        ),
        [
            "Group Key Bag: ESP, SPI e41b724d",
            "  SA_KEY: keying material under GSK_w, 48 octets wrapped",
            "  attribute 9: unknown, 78",
            "Member Key Bag: ",
            "  WRAP_KEY: Key ID 6 under KWK ID 15, 40 octets wrapped",
            "  AUTH_KEY: unreadable key 30",
            "  GM_SENDER_ID: 3",
            "  GM_SENDER_ID: 4",
            "  attribute 9: unknown, 78",
        ],
    ),
    (PuzzleSolution(bytes(64)), ["keys: 64 octets"]),
    (UnknownPayload(200, True, b"abc"), ["content: not explained, 3 octets"]),
]


@pytest.mark.parametrize(("payload", "expected"), SAMPLES, ids=lambda value: type(value).__name__)
def test_a_payload_in_rfc_terms(payload: Payload, expected: list[str]) -> None:
    assert said(payload) == expected


def test_every_payload_has_a_renderer_a_title_and_a_sample() -> None:
    assert {type(payload) for payload, _ in SAMPLES} | {Notify} == set(RENDERERS)
    assert set(PAYLOADS) == set(PayloadType) - {PayloadType.NONE}


NOTIFIES: list[tuple[Notify, list[str]]] = [
    (Notify(NotifyType.COOKIE, b"\xab"), ["cookie: 1 octets ab"]),
    (Notify(NotifyType.REKEY_SA, b"", 3, SPI), ["about: ESP SPI e41b724d"]),
    (Notify(NotifyType.GROUP_SENDER, b"\0\0\0\2"), ["Sender-IDs wanted: 2"]),
    (Notify(NotifyType.GROUP_SENDER), ["Sender-IDs wanted: one"]),
    (Notify(NotifyType.INVALID_KE_PAYLOAD, b"\0\x13"), ["wanted method: ECP_256"]),
    (
        Notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, b"\xc8"),
        ["payload type: UNASSIGNED_200 (200)"],
    ),
    (
        Notify(NotifyType.NAT_DETECTION_SOURCE_IP, bytes(20)),
        [f"SHA-1 of SPIs, address, port: {'00' * 20}"],
    ),
    (
        Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, bytes.fromhex("00020005")),
        ["hash algorithms: SHA2_256, IDENTITY"],
    ),
    (
        Notify(NotifyType.REGISTRATION_FAILED, Identity.parse("keyid:demo").encode()),
        ["group: keyid:demo"],
    ),
    (
        Notify(NotifyType.SUPPORTED_AUTH_METHODS, bytes.fromhex("0202 0a0e01300506032b6570")),
        ["SHARED_KEY_MIC: ", "DIGITAL_SIGNATURE: ed25519", "  CA: number 1 of CERTREQ"],
    ),
    (Notify(NotifyType.PUZZLE, b"\0\x05\x10"), ["PRF: HMAC_SHA2_256", "difficulty: 16 zero bits"]),
    (
        Notify(NotifyType.PUZZLE, b"\0\x05\0"),
        ["PRF: HMAC_SHA2_256", "difficulty: as much as you like"],
    ),
    (
        Notify(NotifyType.USE_AGGFRAG, b"\x07"),
        ["flags: don't fragment inner packets, congestion control wanted, reserved bits 0x04"],
    ),
    (Notify(NotifyType.USE_AGGFRAG, b"\0"), ["flags: none"]),
    (Notify(NotifyType.IPCOMP_SUPPORTED, b"\0\7\2"), ["algorithm: IPCOMP_DEFLATE", "CPI: 7"]),
    (Notify(NotifyType.REDIRECT, b"\1\4\xc0\0\2\1"), ["new gateway: 192.0.2.1"]),
    (Notify(NotifyType.REDIRECT, b"\3\3gw\x1b"), ["new gateway: 'gw\\x1b'"]),
    (Notify(NotifyType.AUTH_LIFETIME, b"\0\0\0\x3c"), ["seconds: 60"]),
    (Notify(NotifyType.INITIAL_CONTACT, b"?"), ["data: 1 octets 3f"]),
    (Notify(NotifyType.COOKIE, b""), ["cookie: 0 octets empty"]),
]


@pytest.mark.parametrize(("notify", "expected"), NOTIFIES, ids=lambda value: str(value)[:20])
def test_what_the_data_of_a_notification_says(notify: Notify, expected: list[str]) -> None:
    kind = NotifyType(notify.type)
    head, meaning, *data = said(notify)
    assert head == f"type: {kind} ({'error' if kind.is_error else 'status'} {int(kind)})"
    assert meaning.startswith(f"meaning: {MEANINGS[kind].text} (RFC ")
    assert data == expected


@pytest.mark.parametrize(
    ("notify", "expected"),
    [
        (Notify(40980), []),
        (Notify(40981, b"initiatr"), ["data: 8 octets 696e697469617472"]),
        (
            spread_notify(Spread(60, 5)),
            ["members within: 60 s", "senders within: 5 s"],
        ),
        (Notify(NotifyType.REREGISTRATION_SPREAD, b"?"), ["data: 1 octets 3f"]),
    ],
)
def test_notifications_of_gcks_itself(notify: Notify, expected: list[str]) -> None:
    head, meaning, *data = said(notify)
    assert head.endswith(f"(status {int(notify.type)})")
    assert meaning.startswith("meaning: gcks: ") and "(private use, " in meaning
    assert data == expected


def test_the_vendor_id_of_gcks() -> None:
    assert said(SPREAD_VENDOR)[0] == "known as: gcks REREGISTRATION_SPREAD 1"


@pytest.mark.parametrize(
    ("notify", "name"),
    [(8192, "private use"), (40960, "private use"), (16500, "unassigned or unknown")],
)
def test_unknown_notifications(notify: int, name: str) -> None:
    head, data = said(Notify(notify, b"\xab"))
    assert head.startswith(f"type: {name} (")
    assert data == "data: 1 octets ab"


@pytest.mark.parametrize("kind", [k for k, meaning in MEANINGS.items() if meaning.data])
def test_data_that_does_not_fit_is_shown_as_it_is(kind: int) -> None:
    """And none of the readers raises for anything."""
    for data in (b"", b"\0", b"\xff" * 3, b"\xff" * 5, bytes(300)):
        text = said(Notify(kind, data))
        if any("malformed" in line for line in text):
            assert text[-1].startswith("data: ")


@pytest.mark.parametrize(
    ("exchange", "kind", "short", "reference"),
    [
        (ExchangeType.IKE_SA_INIT, PayloadType.SA, "SA", "RFC 7296 section 3.3"),
        (ExchangeType.GSA_AUTH, PayloadType.SA, "SAg", "RFC 9838 section 4.3"),
        (ExchangeType.GSA_REGISTRATION, PayloadType.SA, "SAg", "RFC 9838 section 4.3"),
        (ExchangeType.INFORMATIONAL, PayloadType.DELETE, "D", "RFC 7296 section 3.11"),
        (ExchangeType.GSA_REKEY, PayloadType.DELETE, "D", "RFC 9838 section 4.6"),
        (ExchangeType.GSA_REKEY, PayloadType.AUTH, "AUTH", "RFC 9838 section 4.8"),
        (ExchangeType.IKE_SA_INIT, PayloadType.NONCE, "Ni", "RFC 7296 section 3.9"),
        (ExchangeType.IKE_SA_INIT, 200, "200", "RFC 7296 section 3.2"),
    ],
)
def test_a_payload_is_called_as_its_exchange_calls_it(
    exchange: int, kind: int, short: str, reference: str
) -> None:
    title = payload_title(kind, Context(exchange))
    assert (title.short, title.reference) == (short, reference)
    if kind == PayloadType.NONCE:
        assert payload_title(kind, Context(exchange, is_response=True)).short == "Nr"


def test_a_certificate_is_named(tmp_path: Path) -> None:
    files = prepare(tmp_path)
    der = pem_certificate(files.member_certificate)
    text = said(Certificate(4, der))
    assert "subject: CN=gm-cert.dev" in text
    assert "issuer: CN=gcks development CA" in text


KEYMAT = bytes(range(36))
KD = KeyDownload((GroupKeyBag(ProtocolId.ESP, SPI, (WrappedKey(0, 0, b"\xab" * 48),)),))


def test_keys_are_shown_only_where_secrets_are_asked_for() -> None:
    keys = {(ProtocolId.ESP, SPI): group_sa_entry("keyid:demo", ESP, KEYMAT)}
    quiet = "\n".join(said(KD, Context(keys=keys)))
    assert "key log: holds the keys of this SA of keyid:demo" in quiet
    assert KEYMAT.hex() not in quiet and "abab" not in quiet
    open_text = said(KD, Context(show_secrets=True, keys=keys))
    assert f"  encryption: {KEYMAT.hex()}" in open_text
    assert f"    wrapped: {'ab' * 48}" in open_text


def test_all_golden_vectors_are_explained() -> None:
    for chain in inside_sk():
        for payload in decode_chain(chain[0], chain[1:]):
            assert said(payload)
