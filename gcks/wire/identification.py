"""Identification payloads IDi, IDr and IDg (RFC 7296 section 3.5; RFC 9838 section 4.2).

+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|   ID Type     |                 RESERVED                      |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                   Identification Data                         ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gcks.errors import WireError
from gcks.iana import IdType

_FIXED_OCTETS: Final = 4
_ADDRESS_OCTETS: Final = {IdType.ID_IPV4_ADDR: 4, IdType.ID_IPV6_ADDR: 16}
_PREFIXES: Final = {
    IdType.ID_IPV4_ADDR: "ipv4",
    IdType.ID_FQDN: "fqdn",
    IdType.ID_RFC822_ADDR: "rfc822",
    IdType.ID_IPV6_ADDR: "ipv6",
    IdType.ID_DER_ASN1_DN: "dn",
    IdType.ID_DER_ASN1_GN: "gn",
    IdType.ID_KEY_ID: "keyid",
}
_TYPES: Final = {prefix: kind for kind, prefix in _PREFIXES.items()}
_TEXT_TYPES: Final = {IdType.ID_FQDN, IdType.ID_RFC822_ADDR, IdType.ID_KEY_ID}
_PRINTABLE: Final = re.compile(rb"(?!hex:)[!-~]+")
_OTHER_TYPE: Final = re.compile(r"type([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a peer or which group it is; its text form is "fqdn:gm1.example", "keyid:demo" ...

    Octets that aren't printable ASCII are written as "keyid:hex:00ff"; the text
    form is unique, so it serves as a key.
    """

    type: int
    data: bytes

    def __str__(self) -> str:
        return _text(self.type, self.data)

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Read the text form.  Raises ValueError, saying what is wrong."""
        prefix, colon, value = text.partition(":")
        other = _OTHER_TYPE.fullmatch(prefix)
        kind: int = int(other[1]) if other else _TYPES.get(prefix, 0)
        if not colon or not 0 < kind < 256 or not value:
            raise ValueError(f"{text!r}: expected one of {', '.join(_TYPES)}, a colon and a value")
        if kind in _ADDRESS_OCTETS:
            address = ipaddress.ip_address(value)
            if len(address.packed) != _ADDRESS_OCTETS[IdType(kind)]:
                raise ValueError(f"{text!r}: {value} is not an {prefix} address")
            return cls(kind, address.packed)
        if value.startswith("hex:"):
            return cls(kind, bytes.fromhex(value.removeprefix("hex:")))
        if kind not in _TEXT_TYPES:
            raise ValueError(f"{text!r}: write {prefix} identities as {prefix}:hex:...")
        return cls(kind, value.encode("ascii"))

    def encode(self) -> bytes:
        """Return the payload body, which is RestOfIDPayload in the signed octets."""
        return bytes((self.type, 0, 0, 0)) + self.data


@lru_cache(maxsize=1024)
def _text(kind: int, data: bytes) -> str:
    """Write an identity; asked for several times in each registration."""
    prefix = _PREFIXES.get(IdType(kind), f"type{int(kind)}")
    if kind in _ADDRESS_OCTETS:
        return f"{prefix}:{ipaddress.ip_address(data)}"
    if kind in _TEXT_TYPES and _PRINTABLE.fullmatch(data):
        return f"{prefix}:{data.decode('ascii')}"
    return f"{prefix}:hex:{data.hex()}"


@dataclass(frozen=True, slots=True)
class IDi:
    """The identity of the initiator: of the GM."""

    identity: Identity

    def encode(self) -> bytes:
        """Return the payload body."""
        return self.identity.encode()


@dataclass(frozen=True, slots=True)
class IDr:
    """The identity of the responder: of the GCKS."""

    identity: Identity

    def encode(self) -> bytes:
        """Return the payload body."""
        return self.identity.encode()


@dataclass(frozen=True, slots=True)
class IDg:
    """The identity of the group that the GM wants to join (RFC 9838 section 4.2)."""

    identity: Identity

    def encode(self) -> bytes:
        """Return the payload body."""
        return self.identity.encode()


def decode_identity(body: bytes) -> Identity:
    """Read the body of an ID payload (RFC 7296 section 3.5): 4 octets, and data.

    Raises `WireError`: truncated, an address that hasn't 4 or 16 octets, or no data
    (but for ID_NULL).
    """
    if len(body) < _FIXED_OCTETS:
        raise WireError("truncated Identification payload")
    kind, data = body[0], body[_FIXED_OCTETS:]
    if len(data) != _ADDRESS_OCTETS.get(IdType(kind), len(data)):
        raise WireError(f"{IdType(kind)} of {len(data)} octets")
    if not data and kind != IdType.ID_NULL:
        raise WireError("empty Identification payload")
    return Identity(kind, data)


def decode_idi(body: bytes) -> IDi:
    """Read the body of an IDi payload (RFC 7296 section 3.5).

    Raises `WireError` as `decode_identity` does.
    """
    return IDi(decode_identity(body))


def decode_idr(body: bytes) -> IDr:
    """Read the body of an IDr payload (RFC 7296 section 3.5).

    Raises `WireError` as `decode_identity` does.
    """
    return IDr(decode_identity(body))


def decode_idg(body: bytes) -> IDg:
    """Read the body of an IDg payload (RFC 9838 section 4.2).

    Raises `WireError` as `decode_identity` does.
    """
    return IDg(decode_identity(body))
