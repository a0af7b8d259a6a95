"""Which payloads an exchange may carry, as tables (RFC 7296 section 1 and appendix C, RFC 9838).

A payload type that a table doesn't name is an error if its critical bit is set
and we don't know it (RFC 7296 section 2.5), an INVALID_SYNTAX if it is known
and out of place where it matters, and is skipped otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

from gcks.errors import InvalidSyntax, UnsupportedCriticalPayload
from gcks.iana import ExchangeType
from gcks.wire.authentication import Authentication
from gcks.wire.certificate import Certificate, CertificateRequest
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.identification import IDg, IDi, IDr
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

P = TypeVar("P")

MAX_NOTIFIES: Final = 32
MAX_CERTS: Final = 8
MAX_CERTREQS: Final = 8
MAX_DELETES: Final = 8
MAX_VENDORS: Final = 16
_ANYWHERE: Final = {Notify: (0, MAX_NOTIFIES), VendorId: (0, MAX_VENDORS)}

Counts = dict[type, tuple[int, int]]


class Rule(NamedTuple):
    """One message: exchange, direction, and whether it carries an error instead."""

    exchange: int
    is_response: bool
    is_error: bool = False


TABLE: Final[dict[Rule, Counts]] = {
    # RFC 7296 section 1.2; the COOKIE and INVALID_KE answers are "errors" in this sense.
    Rule(ExchangeType.IKE_SA_INIT, is_response=False): {
        PuzzleSolution: (0, 1),  # RFC 8019 section 7.1.2
        SecurityAssociation: (1, 1),
        KeyExchange: (1, 1),
        Nonce: (1, 1),
    },
    Rule(ExchangeType.IKE_SA_INIT, is_response=True): {
        SecurityAssociation: (1, 1),
        KeyExchange: (1, 1),
        Nonce: (1, 1),
        CertificateRequest: (0, MAX_CERTREQS),
    },
    Rule(ExchangeType.IKE_SA_INIT, is_response=True, is_error=True): {Notify: (1, MAX_NOTIFIES)},
    # RFC 9838 section 2.3.1
    Rule(ExchangeType.GSA_AUTH, is_response=False): {
        IDi: (1, 1),
        Certificate: (0, MAX_CERTS),
        CertificateRequest: (0, MAX_CERTREQS),
        IDr: (0, 1),
        Authentication: (0, 1),  # none: the GM asks for EAP (RFC 7296 section 2.16)
        IDg: (1, 1),
        SecurityAssociation: (0, 1),
    },
    Rule(ExchangeType.GSA_AUTH, is_response=True): {
        IDr: (1, 1),
        Certificate: (0, MAX_CERTS),
        Authentication: (1, 1),
        GroupSecurityAssociation: (1, 1),
        KeyDownload: (1, 1),
    },
    Rule(ExchangeType.GSA_AUTH, is_response=True, is_error=True): {
        IDr: (0, 1),
        Certificate: (0, MAX_CERTS),
        Authentication: (0, 1),
        Notify: (1, MAX_NOTIFIES),
    },
    # RFC 7296 section 1.2, RFC 6023: a request may ask for a Child SA all the same.
    Rule(ExchangeType.IKE_AUTH, is_response=False): {
        IDi: (1, 1),
        Certificate: (0, MAX_CERTS),
        CertificateRequest: (0, MAX_CERTREQS),
        IDr: (0, 1),
        Authentication: (0, 1),
        SecurityAssociation: (0, 1),
        TrafficSelectorsI: (0, 1),
        TrafficSelectorsR: (0, 1),
    },
    # RFC 9838 section 2.3.2
    Rule(ExchangeType.GSA_REGISTRATION, is_response=False): {
        IDg: (1, 1),
        SecurityAssociation: (0, 1),
    },
    Rule(ExchangeType.GSA_REGISTRATION, is_response=True): {
        GroupSecurityAssociation: (1, 1),
        KeyDownload: (1, 1),
    },
    Rule(ExchangeType.GSA_REGISTRATION, is_response=True, is_error=True): {},
    # RFC 9838 sections 2.4.1 and 2.4.3; AUTH depends on the authentication method.
    Rule(ExchangeType.GSA_REKEY, is_response=False): {
        GroupSecurityAssociation: (0, 1),
        KeyDownload: (0, 1),
        Delete: (0, MAX_DELETES),
        Authentication: (0, 1),
    },
    # RFC 9838 sections 2.4.2 and 2.4.3
    Rule(ExchangeType.GSA_INBAND_REKEY, is_response=False): {
        GroupSecurityAssociation: (0, 1),
        KeyDownload: (0, 1),
        Delete: (0, MAX_DELETES),
    },
    # RFC 7296 section 1.4
    Rule(ExchangeType.INFORMATIONAL, is_response=False): {Delete: (0, MAX_DELETES)},
    Rule(ExchangeType.INFORMATIONAL, is_response=True): {Delete: (0, MAX_DELETES)},
    # RFC 7296 section 1.3
    Rule(ExchangeType.CREATE_CHILD_SA, is_response=False): {
        SecurityAssociation: (0, 1),
        KeyExchange: (0, 1),
        Nonce: (1, 1),
        TrafficSelectorsI: (0, 1),
        TrafficSelectorsR: (0, 1),
    },
    # The only ones we make replace an IKE SA: no Traffic Selectors.
    Rule(ExchangeType.CREATE_CHILD_SA, is_response=True): {
        SecurityAssociation: (0, 1),
        KeyExchange: (0, 1),
        Nonce: (1, 1),
    },
    Rule(ExchangeType.CREATE_CHILD_SA, is_response=True, is_error=True): {
        Notify: (1, MAX_NOTIFIES)
    },
}


class Contents:
    """The payloads of one message, by type, checked against their table."""

    __slots__ = ("_by_type",)

    def __init__(self, by_type: dict[type, list[Payload]]) -> None:
        self._by_type = by_type

    def one(self, kind: type[P]) -> P:
        """Return the payload that the table guarantees."""
        return self._by_type[kind][0]  # type: ignore[return-value]

    def maybe(self, kind: type[P]) -> P | None:
        """Return the payload that the table allows once, or None."""
        payloads = self._by_type.get(kind)
        return payloads[0] if payloads else None  # type: ignore[return-value]

    def all(self, kind: type[P]) -> list[P]:
        """Return the payloads of one type in their order."""
        return self._by_type.get(kind, [])  # type: ignore[return-value]

    def everything(self) -> list[Payload]:
        """Return all payloads, those of one type in their order."""
        return [payload for of_one_type in self._by_type.values() for payload in of_one_type]

    def notify(self, notify_type: int) -> Notify | None:
        """Return the first notification of the type."""
        return next((n for n in self.all(Notify) if n.type == notify_type), None)


def check(rule: Rule, payloads: Sequence[Payload]) -> Contents:
    """Sort a message's payloads by type and hold them against the table.

    Raises `UnsupportedCriticalPayload` (RFC 7296 section 2.5) and `InvalidSyntax`,
    which the peer of an IKE SA sees as the notifications of these names.
    """
    counts = TABLE[rule]
    by_type: dict[type, list[Payload]] = {}
    for payload in payloads:
        by_type.setdefault(type(payload), []).append(payload)
    _refuse_critical(by_type)
    for kind, of_kind in by_type.items():
        most = (counts.get(kind) or _ANYWHERE.get(kind) or (0, _ignored(kind)))[1]
        if len(of_kind) > most:
            raise InvalidSyntax(f"{len(of_kind)} {kind.__name__} payloads in {_title(rule)}")
    for kind, (least, _) in counts.items():
        if least and kind not in by_type:
            raise InvalidSyntax(f"no {kind.__name__} payload in {_title(rule)}")
    return Contents(by_type)


def _refuse_critical(by_type: dict[type, list[Payload]]) -> None:
    for payload in by_type.get(UnknownPayload, ()):
        if isinstance(payload, UnknownPayload) and payload.critical:
            raise UnsupportedCriticalPayload(
                f"critical payload of unknown type {payload.type}", data=bytes((payload.type,))
            )


def _ignored(kind: type) -> int:
    """Unknown and CERTREQ payloads are skipped wherever they stand; others must not be there."""
    return 64 if kind in (UnknownPayload, CertificateRequest) else 0


def _title(rule: Rule) -> str:
    return f"{ExchangeType(rule.exchange)} {'response' if rule.is_response else 'request'}"
