"""The Vendor ID payload (RFC 7296 section 3.12): opaque octets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VendorId:
    data: bytes

    def encode(self) -> bytes:
        return self.data


def decode_vendor(body: bytes) -> VendorId:
    return VendorId(body)
