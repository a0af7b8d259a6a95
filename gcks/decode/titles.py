"""Names and sections: what each exchange and payload is called, and where it is defined."""

from __future__ import annotations

from typing import Final, NamedTuple

from gcks.decode.model import Context
from gcks.iana import ExchangeType as X
from gcks.iana import PayloadType as P


class Title(NamedTuple):
    short: str
    long: str
    reference: str


EXCHANGES: Final[dict[int, str]] = {
    X.IKE_SA_INIT: "RFC 7296 section 1.2",
    X.IKE_AUTH: "RFC 7296 section 1.2",
    X.CREATE_CHILD_SA: "RFC 7296 section 1.3",
    X.INFORMATIONAL: "RFC 7296 section 1.4",
    X.IKE_SESSION_RESUME: "RFC 5723 section 4.3",
    X.GSA_AUTH: "RFC 9838 section 2.3.1",
    X.GSA_REGISTRATION: "RFC 9838 section 2.3.2",
    X.GSA_REKEY: "RFC 9838 section 2.4.1",
    X.GSA_INBAND_REKEY: "RFC 9838 section 2.4.2",
    X.IKE_INTERMEDIATE: "RFC 9242 section 3.2",
    X.IKE_FOLLOWUP_KE: "RFC 9370 section 2.2.4",
}

PAYLOADS: Final[dict[int, Title]] = {
    P.SA: Title("SA", "Security Association", "RFC 7296 section 3.3"),
    P.KE: Title("KE", "Key Exchange", "RFC 7296 section 3.4"),
    P.IDi: Title("IDi", "Identification - Initiator", "RFC 7296 section 3.5"),
    P.IDr: Title("IDr", "Identification - Responder", "RFC 7296 section 3.5"),
    P.CERT: Title("CERT", "Certificate", "RFC 7296 section 3.6"),
    P.CERTREQ: Title("CERTREQ", "Certificate Request", "RFC 7296 section 3.7"),
    P.AUTH: Title("AUTH", "Authentication", "RFC 7296 section 3.8"),
    P.NONCE: Title("Ni, Nr", "Nonce", "RFC 7296 section 3.9"),
    P.NOTIFY: Title("N", "Notify", "RFC 7296 section 3.10"),
    P.DELETE: Title("D", "Delete", "RFC 7296 section 3.11"),
    P.VENDOR: Title("V", "Vendor ID", "RFC 7296 section 3.12"),
    P.TSi: Title("TSi", "Traffic Selector - Initiator", "RFC 7296 section 3.13"),
    P.TSr: Title("TSr", "Traffic Selector - Responder", "RFC 7296 section 3.13"),
    P.SK: Title("SK", "Encrypted and Authenticated", "RFC 7296 section 3.14"),
    P.CP: Title("CP", "Configuration", "RFC 7296 section 3.15"),
    P.EAP: Title("EAP", "Extensible Authentication", "RFC 7296 section 3.16"),
    P.GSPM: Title("GSPM", "Generic Secure Password Method", "RFC 6467 section 3.2"),
    P.IDg: Title("IDg", "Group Identification", "RFC 9838 section 4.2"),
    P.GSA: Title("GSA", "Group Security Association", "RFC 9838 section 4.4"),
    P.KD: Title("KD", "Key Download", "RFC 9838 section 4.5"),
    P.SKF: Title("SKF", "Encrypted and Authenticated Fragment", "RFC 7383 section 2.5"),
    P.PS: Title("PS", "Puzzle Solution", "RFC 8019 section 8.2"),
}

_SAG: Final = Title("SAg", "GM Supported Transforms", "RFC 9838 section 4.3")
_GROUP_DELETE: Final = Title("D", "Delete", "RFC 9838 section 4.6")
_GROUP_AUTH: Final = Title("AUTH", "Authentication", "RFC 9838 section 4.8")

_IN_EXCHANGE: Final[dict[tuple[int, int], Title]] = {
    (X.GSA_AUTH, P.SA): _SAG,
    (X.GSA_REGISTRATION, P.SA): _SAG,
    (X.GSA_REKEY, P.DELETE): _GROUP_DELETE,
    (X.GSA_INBAND_REKEY, P.DELETE): _GROUP_DELETE,
    (X.GSA_REKEY, P.AUTH): _GROUP_AUTH,
}
"""The payloads that mean something else in the exchanges of G-IKEv2."""

_NONCES: Final = {False: "Ni", True: "Nr"}


def payload_title(kind: int, context: Context) -> Title:
    """Return what a payload is called in its message."""
    if kind == P.NONCE:
        return PAYLOADS[kind]._replace(short=_NONCES[context.is_response])
    title = _IN_EXCHANGE.get((context.exchange, kind)) or PAYLOADS.get(kind)
    return title or Title(str(int(kind)), "unknown payload", "RFC 7296 section 3.2")
