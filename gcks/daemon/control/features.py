"""What this server can do, and what of it its configuration has switched on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from gcks.crypto.signature import ALGORITHMS
from gcks.daemon.control.views import AlgorithmRow, FeatureRow, FeaturesView
from gcks.ike.keywords import ENCR, INTEG, KE, KWA, PRF
from gcks.keyserver.settings import ServerSettings


class ServerFeature(NamedTuple):
    document: str
    title: str
    is_on: Callable[[ServerSettings], bool]


def _always(_: ServerSettings) -> bool:
    return True


FEATURES: Final = (
    ServerFeature("RFC 9838", "G-IKEv2: registration, GSA_REKEY, GSA_INBAND_REKEY", _always),
    ServerFeature("RFC 7296", "IKEv2: cookies, NAT traversal, IKE SA rekey, liveness", _always),
    ServerFeature("RFC 9329", "IKE over TCP (listen.tcp_ports)", _always),
    ServerFeature("RFC 7383", "fragmentation", lambda s: s.fragment_octets is not None),
    ServerFeature("RFC 7427", "digital signatures", _always),
    ServerFeature("RFC 9593", "announced authentication methods", _always),
    ServerFeature("RFC 7670", "raw public keys", _always),
    ServerFeature("RFC 4806", "OCSP responses in CERT", _always),
    ServerFeature("RFC 6023", "childless IKE_AUTH", lambda s: s.childless),
    ServerFeature("RFC 8019", "puzzles under attack", lambda s: s.puzzle_difficulty > 0),
    ServerFeature("draft-ietf-ipsecme-ikev2-sa-ts-payloads-opt", "optimized rekey",
            lambda s: s.optimized_rekey is not None),
    ServerFeature("RFC 2627", "logical key hierarchy (key_management: lkh)", _always),
    ServerFeature("RFC 9478", "security labels (data_sas.security_label)", _always),
    ServerFeature("RFC 9347", "aggregation and fragmentation (aggfrag)", _always),
    ServerFeature("RFC 3173", "IP compression (ipcomp)", _always),
)  # fmt: skip
_ALGORITHMS: Final = {
    "encryption": ENCR, "integrity": INTEG, "prf": PRF, "key exchange": KE, "key wrap": KWA,
}  # fmt: skip


def features(settings: ServerSettings) -> FeaturesView:
    """Return documents, and the algorithms by the names that the configuration has for them."""
    kinds = {kind: list(table) for kind, table in _ALGORITHMS.items()}
    kinds["signature"] = list(ALGORITHMS)
    return FeaturesView(
        features=[
            FeatureRow(document=feature.document, title=feature.title, on=feature.is_on(settings))
            for feature in FEATURES
        ],
        algorithms=[AlgorithmRow(kind=kind, names=names) for kind, names in kinds.items()],
    )
