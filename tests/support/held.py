"""SAs as a member holds them, told apart by a number."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import cast

from gcks.crypto.encr import Cipher
from gcks.member.data_plane import JoinMulticast
from gcks.member.held_sas import DataSa, RekeySa
from gcks.wire.traffic_selector import TrafficSelector
from tests.support.install_sa import INSTALL

GROUP = "keyid:demo"


def data_sa(
    number: int,
    *,
    generation: int = 1,
    port: int = 5000,
    key: bytes = bytes(36),
    hard_at: float = inf,
    activate_at: float = inf,
    active: bool = False,
    remove_at: float = inf,
) -> DataSa:
    """Make an SA to send and receive on; another `port` is other traffic."""
    install = replace(
        INSTALL,
        spi=number.to_bytes(4, "big"),
        destination=TrafficSelector.single("239.1.2.3", 17, port),
        key_e=key,
    )
    return DataSa(
        install,
        generation,
        soft_at=hard_at - 10.0,
        hard_at=hard_at,
        activate_at=activate_at,
        active=active,
        remove_at=remove_at,
    )


def rekey_sa(
    number: int, *, address: str = "239.255.84.8", message_id: int = 0, hard_at: float = inf
) -> RekeySa:
    """Make a Rekey SA; it deciphers nothing."""
    return RekeySa(
        spi=bytes((number,)) * 16,
        cipher=cast(Cipher, None),
        kwa=1,
        gsk_w=bytes(32),
        join=JoinMulticast(GROUP, address, 848, None, "192.0.2.1"),
        next_message_id=message_id,
        soft_at=hard_at - 10.0,
        hard_at=hard_at,
    )
