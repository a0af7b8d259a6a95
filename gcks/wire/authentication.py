"""The Authentication payload (RFC 7296 section 3.8) and RFC 7427 section 3's content.

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
| Auth Method   |                RESERVED                       |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
| ASN.1 Length  | AlgorithmIdentifier ASN.1 object              |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                         Signature Value                       ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gcks.errors import WireError

_FIXED_OCTETS: Final = 4


@dataclass(frozen=True, slots=True)
class Authentication:
    """The Authentication payload: `data` is what the method defines."""

    method: int
    data: bytes

    def encode(self) -> bytes:
        """Return the payload body: method, three zero octets, data."""
        return bytes((self.method, 0, 0, 0)) + self.data


@dataclass(frozen=True, slots=True)
class DigitalSignature:
    """Authentication Data of method 14: a DER AlgorithmIdentifier and the signature value."""

    algorithm_identifier: bytes
    signature: bytes

    def encode_data(self) -> bytes:
        """Return the Authentication Data: length octet, identifier, signature."""
        return bytes((len(self.algorithm_identifier),)) + self.algorithm_identifier + self.signature


def decode_authentication(body: bytes) -> Authentication:
    """Read the body of an AUTH payload (RFC 7296 section 3.8): 5 octets or more.

    Raises `WireError` for fewer: there is no data.
    """
    if len(body) <= _FIXED_OCTETS:
        raise WireError("Authentication payload without data")
    return Authentication(body[0], body[_FIXED_OCTETS:])


def decode_digital_signature(data: bytes) -> DigitalSignature:
    """Split Authentication Data of method 14 (RFC 7427 section 3): 3 octets or more.

    Raises `WireError` where the identifier is empty, or no signature follows it.  In
    GSA_AUTH that is a failed authentication, which the peer sees as
    AUTHENTICATION_FAILED.
    """
    length = data[0] if data else 0
    if not length or len(data) <= 1 + length:
        raise WireError("the AlgorithmIdentifier does not fit its AUTH payload")
    return DigitalSignature(data[1 : 1 + length], data[1 + length :])
