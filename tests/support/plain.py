"""Messages in clear, read as a whole."""

from __future__ import annotations

from gcks.wire.header import HEADER_OCTETS, Header, decode_header
from gcks.wire.payloads import Payload, decode_chain


def decode_plain(datagram: bytes) -> tuple[Header, tuple[Payload, ...]]:
    """Read a whole datagram that is a message in clear (RFC 7296 section 3.1).

    Raises `WireError` as `decode_header` and `decode_chain` do.
    """
    header = decode_header(datagram)
    return header, decode_chain(header.next_payload, datagram[HEADER_OCTETS:])
