"""A Data-Security SA as a data plane is told to install it."""

from __future__ import annotations

from gcks.iana import Encr, ProtocolId, TransformType
from gcks.member.data_plane import Direction, InstallSa, Mode
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform

SPI = bytes.fromhex("e41b724d")
INSTALL = InstallSa(
    "keyid:demo",
    ProtocolId.ESP,
    SPI,
    Direction.BOTH,
    Mode.TUNNEL,
    TrafficSelector.any(4, 17),
    TrafficSelector.single("239.1.2.3", 17, 5000),
    Transform(TransformType.ENCR, Encr.AES_GCM_16, 256),
    None,
    bytes(range(36)),
    b"",
    sender_ids=(3,),
    sender_id_bits=16,
    lifetime_seconds=60,
)
