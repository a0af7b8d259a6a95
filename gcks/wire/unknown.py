"""Payloads of a type that gcks does not read (RFC 7296 section 2.5).

They survive decoding with their critical bit, so that the exchange can answer
UNSUPPORTED_CRITICAL_PAYLOAD or skip them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnknownPayload:
    """A payload as it came; `type` is that in the Next Payload field before it."""

    type: int
    critical: bool
    body: bytes

    def encode(self) -> bytes:
        """Return the payload body."""
        return self.body


@dataclass(frozen=True, slots=True)
class EncodedPayload:
    """A payload that is the same for many messages, encoded once; never comes from decoding."""

    type: int
    body: bytes

    def encode(self) -> bytes:
        """Return the payload body."""
        return self.body
