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
    encoding: int
    data: bytes

    def encode(self) -> bytes:
        return bytes((self.encoding,)) + self.data


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """`authorities` are concatenated SHA-1 hashes of trust anchors' public keys."""

    encoding: int
    authorities: bytes

    def encode(self) -> bytes:
        return bytes((self.encoding,)) + self.authorities


def decode_certificate(body: bytes) -> Certificate:
    if len(body) < 2:
        raise WireError("Certificate payload without a certificate")
    return Certificate(body[0], body[1:])


def decode_certificate_request(body: bytes) -> CertificateRequest:
    if not body:
        raise WireError("empty Certificate Request payload")
    return CertificateRequest(body[0], body[1:])
