"""Whole unprotected messages: a header and a payload chain (RFC 7296 section 3.1).

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                     IKE header, 28 octets                     ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                  Payloads up to the length                    ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from collections.abc import Sequence

from gcks.wire.header import HEADER_OCTETS, VERSION_2_0, Header, decode_header
from gcks.wire.payloads import Payload, decode_chain, encode_chain


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


def decode_plain(datagram: bytes) -> tuple[Header, tuple[Payload, ...]]:
    """Read a whole datagram that is a message in clear (RFC 7296 section 3.1).

    Raises `WireError` as `decode_header` and `decode_chain` do.
    """
    header = decode_header(datagram)
    return header, decode_chain(header.next_payload, datagram[HEADER_OCTETS:])
