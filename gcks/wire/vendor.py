"""The Vendor ID payload (RFC 7296 section 3.12): opaque octets.

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                        Vendor ID (VID)                        ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VendorId:
    """The Vendor ID payload: nothing follows from it."""

    data: bytes

    def encode(self) -> bytes:
        """Return the payload body."""
        return self.data


def decode_vendor(body: bytes) -> VendorId:
    """Read the body of a Vendor ID payload (RFC 7296 section 3.12): any octets.

    Never raises, not even `WireError`.
    """
    return VendorId(body)
