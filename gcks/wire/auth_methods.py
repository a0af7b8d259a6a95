"""The content of SUPPORTED_AUTH_METHODS (RFC 9593 section 3.2): a list of announcements.

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|    Length     |  Auth Method  |   Cert Link   |               |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+               +
~                      AlgorithmIdentifier                      ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Length counts itself: 2 for methods without certificates, 3 for those whose
signature algorithm is the method's own, more for RFC 7427 signatures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gcks.errors import WireError

_METHOD_OCTETS: Final = 2
_LINKED_OCTETS: Final = 3
MAX_ANNOUNCEMENTS: Final = 64


@dataclass(frozen=True, slots=True)
class AuthAnnouncement:
    """One method that its sender can verify."""

    method: int
    cert_link: int = 0
    """Number of the CA in the sender's CERTREQ payloads that it is for, from 1; 0: any."""
    algorithm: bytes = b""
    """DER AlgorithmIdentifier of an RFC 7427 signature; empty elsewhere."""
    linked: bool = False
    """Whether there is a Cert Link at all."""

    def encode(self) -> bytes:
        """Return the announcement, Length octet first (RFC 9593 section 3.2)."""
        link = bytes((self.cert_link,)) if self.linked or self.algorithm else b""
        length = _METHOD_OCTETS + len(link) + len(self.algorithm)
        return bytes((length, self.method)) + link + self.algorithm


def encode_announcements(announcements: Iterable[AuthAnnouncement]) -> bytes:
    """Return the notification data (RFC 9593 section 3.2)."""
    return b"".join(announcement.encode() for announcement in announcements)


def decode_announcements(data: bytes) -> tuple[AuthAnnouncement, ...]:
    """Read the data of SUPPORTED_AUTH_METHODS (RFC 9593 section 3.2).

    `data` are announcements of 2 octets or more, one after the other.  Raises
    `WireError`: one that is shorter or runs past the end, or more than
    `MAX_ANNOUNCEMENTS`.
    """
    announcements: list[AuthAnnouncement] = []
    at = 0
    while at < len(data):
        length = data[at]
        if length < _METHOD_OCTETS or at + length > len(data):
            raise WireError("SUPPORTED_AUTH_METHODS: an announcement of a wrong length")
        if len(announcements) == MAX_ANNOUNCEMENTS:
            raise WireError(f"SUPPORTED_AUTH_METHODS: more than {MAX_ANNOUNCEMENTS}")
        announcements.append(_decode(data[at : at + length]))
        at += length
    return tuple(announcements)


def _decode(octets: bytes) -> AuthAnnouncement:
    if len(octets) < _LINKED_OCTETS:
        return AuthAnnouncement(octets[1])
    return AuthAnnouncement(octets[1], octets[2], octets[_LINKED_OCTETS:], linked=True)
