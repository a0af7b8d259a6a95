"""The Encrypted payload SK (RFC 7296 section 3.14) and fragment SKF (RFC 7383 section 2.5).

    SK                                       SKF
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    | Next Payload  |C|  RESERVED   |        | Next Payload  |C|  RESERVED   |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |         Payload Length        |        |         Payload Length        |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~     Initialization Vector     ~        |        Fragment Number        |
    ~    Encrypted IKE Payloads     ~        |        Total Fragments        |
    ~ Padding, Pad Length, ICV      ~        ~  IV, encrypted content, ICV   ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Both are the last payload of their message; Next Payload names the first one inside.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from gcks.errors import WireError
from gcks.iana import PayloadType
from gcks.wire.header import HEADER_OCTETS, Header

GENERIC: Final = Struct(">BBH")
FRAGMENT: Final = Struct(">BBHHH")
SK_BODY_AT: Final = HEADER_OCTETS + GENERIC.size
SKF_BODY_AT: Final = HEADER_OCTETS + FRAGMENT.size


class EncryptedPayload(NamedTuple):
    """An SK payload that fills its datagram; `reserved` is the C bit and RESERVED octet."""

    next_payload: int
    reserved: int
    body: bytes


class EncryptedFragment(NamedTuple):
    """An SKF payload that fills its datagram; `number` counts from 1."""

    next_payload: int
    reserved: int
    number: int
    total: int
    body: bytes


def read_encrypted(datagram: bytes, header: Header) -> EncryptedPayload:
    """Split a datagram whose only payload is SK (RFC 7296 section 3.14).

    `datagram` is all of it, 32 octets or more; `header` is its own.  Raises `WireError`
    for anything else: nothing unprotected may stand before SK in an exchange of G-IKEv2
    that is protected at all.  Nothing is authentic yet, so the peer sees nothing.
    """
    if header.next_payload != PayloadType.SK or len(datagram) < SK_BODY_AT:
        raise WireError("an encrypted message must consist of one SK payload")
    first, reserved, length = GENERIC.unpack_from(datagram, HEADER_OCTETS)
    if length != len(datagram) - HEADER_OCTETS:
        raise WireError("the SK payload does not end with its message")
    return EncryptedPayload(first, reserved, datagram[SK_BODY_AT:])


def read_fragment(datagram: bytes, header: Header) -> EncryptedFragment:
    """Split a datagram whose only payload is SKF (RFC 7383 section 2.5).

    `datagram` is all of it, 36 octets or more; `header` is its own.  Raises `WireError`
    for anything else, and for a number that isn't 1 to the total.  Nothing is authentic
    yet, so the peer sees nothing.
    """
    if header.next_payload != PayloadType.SKF or len(datagram) < SKF_BODY_AT:
        raise WireError("a fragment must consist of one SKF payload")
    first, reserved, length, number, total = FRAGMENT.unpack_from(datagram, HEADER_OCTETS)
    if length != len(datagram) - HEADER_OCTETS:
        raise WireError("the SKF payload does not end with its message")
    if not 1 <= number <= total or bool(first) != (number == 1):
        raise WireError(f"fragment {number} of {total} with next payload {first}")
    return EncryptedFragment(first, reserved, number, total, datagram[SKF_BODY_AT:])
