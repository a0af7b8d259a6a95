"""Whole unprotected messages: a header and a payload chain (RFC 7296 section 3.1).

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                     IKE header, 28 octets                     ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                  Payloads up to the length                    ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from collections.abc import Sequence

from gcks.wire.header import HEADER_OCTETS, VERSION_2_0, Header
from gcks.wire.payloads import Payload, encode_chain


def encode_message(
    spi_i: bytes,
    spi_r: bytes,
    exchange: int,
    flags: int,
    message_id: int,
    payloads: Sequence[Payload],
) -> bytes:
    """Build a message in clear (RFC 7296 section 3.1); SPIs have 8 octets.

    Raises ValueError where a payload is larger than 65,535 octets.
    """
    first, chain = encode_chain(payloads)
    length = HEADER_OCTETS + len(chain)
    header = Header(
        spi_i=spi_i,
        spi_r=spi_r,
        next_payload=first,
        version=VERSION_2_0,
        exchange=exchange,
        flags=flags,
        message_id=message_id,
        length=length,
    )
    return header.encode() + chain
