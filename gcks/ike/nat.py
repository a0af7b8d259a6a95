"""NAT detection payloads (RFC 7296 section 2.23)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha1

from gcks.datagrams import Endpoint
from gcks.iana import NotifyType
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload


@lru_cache(maxsize=1024)
def _packed(host: str) -> bytes:
    return ipaddress.ip_address(host).packed


def address_hash(spi_i: bytes, spi_r: bytes, endpoint: Endpoint) -> bytes:
    """Hash SPIs of 8 octets, address and port to 20 (RFC 7296 section 2.23).

    SHA-1 by definition, not for security.
    """
    content = spi_i + spi_r + _packed(endpoint.host) + endpoint.port.to_bytes(2, "big")
    return sha1(content, usedforsecurity=False).digest()


def detection_payloads(
    spi_i: bytes, spi_r: bytes, source: Endpoint, destination: Endpoint
) -> tuple[Notify, Notify]:
    """Make both notifications for a message from `source` to `destination`.

    RFC 7296 section 2.23; the SPIs are those of its header.
    """
    return (
        Notify(NotifyType.NAT_DETECTION_SOURCE_IP, address_hash(spi_i, spi_r, source)),
        Notify(NotifyType.NAT_DETECTION_DESTINATION_IP, address_hash(spi_i, spi_r, destination)),
    )


def behind_nat(
    payloads: Iterable[Payload],
    spi_i: bytes,
    spi_r: bytes,
    source: Endpoint,
    destination: Endpoint,
) -> tuple[bool, bool]:
    """Tell from a received message whether (sender, receiver) is behind a NAT.

    RFC 7296 section 2.23.  Without notifications nobody is: the peer doesn't do NAT
    traversal.
    """
    sources, destinations = set(), set()
    for payload in payloads:
        if isinstance(payload, Notify):
            if payload.type == NotifyType.NAT_DETECTION_SOURCE_IP:
                sources.add(payload.data)
            elif payload.type == NotifyType.NAT_DETECTION_DESTINATION_IP:
                destinations.add(payload.data)
    sender = bool(sources) and address_hash(spi_i, spi_r, source) not in sources
    receiver = bool(destinations) and address_hash(spi_i, spi_r, destination) not in destinations
    return sender, receiver
