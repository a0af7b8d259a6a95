"""Which payloads an exchange may carry: every row of the tables, by mutation."""

from __future__ import annotations

import pytest

from gcks.errors import InvalidSyntax, UnsupportedCriticalPayload
from gcks.iana import AuthMethod, CertEncoding, ExchangeType, NotifyType, ProtocolId
from gcks.ike.legality import MAX_CERTS, MAX_NOTIFIES, MAX_VENDORS, TABLE, Rule, check
from gcks.wire.authentication import Authentication
from gcks.wire.certificate import Certificate, CertificateRequest
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.identification import Identity, IDg, IDi, IDr
from gcks.wire.kd import KeyDownload
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.puzzle import PuzzleSolution
from gcks.wire.sa import SecurityAssociation
from gcks.wire.traffic_selector import TrafficSelectorsI, TrafficSelectorsR
from gcks.wire.unknown import UnknownPayload
from gcks.wire.vendor import VendorId

WHO = Identity.parse("fqdn:gm1.dev")
SAMPLES: dict[type, Payload] = {
    SecurityAssociation: SecurityAssociation(()),
    KeyExchange: KeyExchange(31, bytes(32)),
    Nonce: Nonce(bytes(32)),
    PuzzleSolution: PuzzleSolution(bytes(32)),
    IDi: IDi(WHO),
    IDr: IDr(WHO),
    IDg: IDg(WHO),
    Certificate: Certificate(CertEncoding.X509_SIGNATURE, b"x"),
    CertificateRequest: CertificateRequest(CertEncoding.X509_SIGNATURE, b""),
    Authentication: Authentication(AuthMethod.SHARED_KEY_MIC, bytes(32)),
    GroupSecurityAssociation: GroupSecurityAssociation((), None),
    KeyDownload: KeyDownload((), ()),
    Delete: Delete(ProtocolId.IKE, 0, ()),
    TrafficSelectorsI: TrafficSelectorsI(()),
    TrafficSelectorsR: TrafficSelectorsR(()),
    Notify: Notify(NotifyType.INITIAL_CONTACT),
}
RULES = sorted(TABLE, key=str)
HARMLESS = (CertificateRequest, Notify)


def title(rule: Rule) -> str:
    kind = "response" if rule.is_response else "request"
    return f"{ExchangeType(rule.exchange).name}-{kind}{'-error' if rule.is_error else ''}"


def least(rule: Rule) -> list[Payload]:
    return [SAMPLES[kind] for kind, (fewest, _) in TABLE[rule].items() for _ in range(fewest)]


@pytest.fixture(params=RULES, ids=title)
def rule(request: pytest.FixtureRequest) -> Rule:
    return request.param  # type: ignore[no-any-return]


def test_the_least_is_enough(rule: Rule) -> None:
    contents = check(rule, least(rule))
    for kind, (fewest, _) in TABLE[rule].items():
        assert len(contents.all(kind)) == fewest


def test_order_does_not_matter(rule: Rule) -> None:
    """RFC 7296 section 2.5: payloads in any order are to be accepted."""
    assert check(rule, least(rule)[::-1])


def test_every_payload_that_must_be_there_is_missed(rule: Rule) -> None:
    for absent in least(rule):
        rest = [one for one in least(rule) if one is not absent]
        with pytest.raises(InvalidSyntax, match=type(absent).__name__):
            check(rule, rest)


def test_the_most_is_allowed_and_one_more_is_not(rule: Rule) -> None:
    for kind, (fewest, most) in TABLE[rule].items():
        more = [SAMPLES[kind]] * (most - fewest)
        assert len(check(rule, [*least(rule), *more]).all(kind)) == most
        with pytest.raises(InvalidSyntax, match=kind.__name__):
            check(rule, [*least(rule), *more, SAMPLES[kind]])


def test_what_the_table_does_not_name_must_not_be_there(rule: Rule) -> None:
    strangers = set(SAMPLES) - set(TABLE[rule]) - set(HARMLESS)
    for kind in strangers:
        with pytest.raises(InvalidSyntax, match=kind.__name__):
            check(rule, [*least(rule), SAMPLES[kind]])


def test_unknown_payloads_are_skipped_unless_critical(rule: Rule) -> None:
    """RFC 7296 section 2.5."""
    assert check(rule, [*least(rule), UnknownPayload(200, critical=False, body=b"?")])
    with pytest.raises(UnsupportedCriticalPayload) as caught:
        check(rule, [*least(rule), UnknownPayload(200, critical=True, body=b"?")])
    assert caught.value.data == bytes((200,))


def test_vendor_ids_and_notifications_go_anywhere_in_bounds(rule: Rule) -> None:
    vendor, notify = VendorId(b"gcks"), SAMPLES[Notify]
    assert check(rule, [*least(rule), *[vendor] * MAX_VENDORS])
    with pytest.raises(InvalidSyntax):
        check(rule, [*least(rule), *[vendor] * (MAX_VENDORS + 1)])
    with pytest.raises(InvalidSyntax):
        check(rule, [*least(rule), *[notify] * (MAX_NOTIFIES + 1)])


def test_contents_give_the_first_of_a_kind() -> None:
    rule = Rule(ExchangeType.GSA_REGISTRATION, is_response=False)
    first, second = Notify(NotifyType.GROUP_SENDER, b"\0\0\0\1"), Notify(NotifyType.GROUP_SENDER)
    contents = check(rule, [IDg(WHO), first, second])
    assert contents.notify(NotifyType.GROUP_SENDER) is first
    assert contents.notify(NotifyType.INITIAL_CONTACT) is None
    assert contents.one(IDg).identity == WHO
    assert contents.maybe(SecurityAssociation) is None
    assert contents.all(Certificate) == []


def test_a_gm_may_ask_for_eap_by_leaving_out_auth() -> None:
    """RFC 7296 section 2.16; the server then says AUTHENTICATION_FAILED, not INVALID_SYNTAX."""
    rule = Rule(ExchangeType.GSA_AUTH, is_response=False)
    contents = check(rule, [IDi(WHO), IDg(WHO), *[SAMPLES[Certificate]] * MAX_CERTS])
    assert contents.maybe(Authentication) is None
