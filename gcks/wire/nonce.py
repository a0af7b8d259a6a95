"""The Nonce payload (RFC 7296 section 3.9): 16 to 256 octets of nonce data.

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                          Nonce Data                           ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gcks.errors import WireError

MIN_NONCE_OCTETS: Final = 16
MAX_NONCE_OCTETS: Final = 256


@dataclass(frozen=True, slots=True)
class Nonce:
    """The Nonce payload."""

    data: bytes

    def encode(self) -> bytes:
        """Return the payload body: the nonce itself."""
        return self.data


def decode_nonce(body: bytes) -> Nonce:
    """Read the body of a Nonce payload (RFC 7296 section 3.9): 16 to 256 octets.

    Raises `WireError` for fewer or more.
    """
    if not MIN_NONCE_OCTETS <= len(body) <= MAX_NONCE_OCTETS:
        raise WireError(f"a nonce of {len(body)} octets")
    return Nonce(body)
