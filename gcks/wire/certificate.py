"""The Certificate and Certificate Request payloads (RFC 7296 sections 3.6 and 3.7).

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
| Cert Encoding |                                               |
+-+-+-+-+-+-+-+-+                                               |
~        Certificate Data  or  Certification Authority          ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass

from gcks.errors import WireError


@dataclass(frozen=True, slots=True)
class Certificate:
    """The Certificate payload; `data` is DER in the encodings that gcks reads."""

    encoding: int
    data: bytes

    def encode(self) -> bytes:
        """Return the payload body: encoding, data."""
        return bytes((self.encoding,)) + self.data


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """The Certificate Request payload.

    `authorities` are SHA-1 hashes of trust anchors' public keys, 20 octets each.
    """

    encoding: int
    authorities: bytes

    def encode(self) -> bytes:
        """Return the payload body: encoding, authorities."""
        return bytes((self.encoding,)) + self.authorities


def decode_certificate(body: bytes) -> Certificate:
    """Read the body of a CERT payload (RFC 7296 section 3.6): 2 octets or more.

    The certificate itself isn't looked at.  Raises `WireError` for fewer octets.
    """
    if len(body) < 2:
        raise WireError("Certificate payload without a certificate")
    return Certificate(body[0], body[1:])


def decode_certificate_request(body: bytes) -> CertificateRequest:
    """Read the body of a CERTREQ payload (RFC 7296 section 3.7): 1 octet or more.

    Raises `WireError` for none.
    """
    if not body:
        raise WireError("empty Certificate Request payload")
    return CertificateRequest(body[0], body[1:])
