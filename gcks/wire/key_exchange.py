"""The Key Exchange payload (RFC 7296 section 3.4).

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|   Key Exchange Method         |           RESERVED            |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                       Key Exchange Data                       ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gcks.errors import WireError

_FIXED_OCTETS: Final = 4


@dataclass(frozen=True, slots=True)
class KeyExchange:
    """The Key Exchange payload; `data` is a public value of the size that the method has."""

    method: int
    data: bytes

    def encode(self) -> bytes:
        """Return the payload body: method in two octets, two zero octets, data."""
        return self.method.to_bytes(2, "big") + b"\0\0" + self.data


def decode_key_exchange(body: bytes) -> KeyExchange:
    """Read the body of a KE payload (RFC 7296 section 3.4): 5 octets or more.

    Whether the data is of the method's size is judged by `KeyPair.agree`.  Raises
    `WireError` for fewer octets: there is no data.
    """
    if len(body) <= _FIXED_OCTETS:
        raise WireError("Key Exchange payload without data")
    return KeyExchange(int.from_bytes(body[:2], "big"), body[_FIXED_OCTETS:])
