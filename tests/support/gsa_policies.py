"""Policies of a GSA payload (RFC 9838 section 4.4), one of each kind."""

from __future__ import annotations

from gcks.iana import Encr, Kwa, ProtocolId, Sn, TransformType
from gcks.wire.gsa import GroupWidePolicy, GsaPolicy
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform

GCM = Transform(TransformType.ENCR, Encr.AES_GCM_16, 256)
REKEY = GsaPolicy(
    ProtocolId.GIKE_UPDATE,
    bytes(range(16)),
    TrafficSelector.single("192.0.2.1", 17, 848),
    TrafficSelector.single("239.1.2.3", 17, 848),
    (GCM, Transform(TransformType.KWA, Kwa.KW_5649_256)),
    86400,
)
ESP = GsaPolicy(
    ProtocolId.ESP,
    b"\xe4\x1brM",
    TrafficSelector.any(6),
    TrafficSelector.single("ff02::1", 17, 5000),
    (GCM, Transform(TransformType.SN, Sn.UNSPECIFIED_32)),
    3600,
)
WIDE = GroupWidePolicy(5, 10, 8)
