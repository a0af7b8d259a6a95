"""Attributes: transform, GSA, group-wide policy and key bag (RFC 7296 section 3.3.5).

                     1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|A|       Attribute Type        |    AF=0  Attribute Length     |
|F|                             |    AF=1  Attribute Value      |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                   AF=0  Attribute Value                       |
|                   AF=1  Not Transmitted                       |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from gcks.errors import WireError

MAX_ATTRIBUTES: Final = 256
"""In one substructure; a batch of 64 exclusions fills a bag with fewer."""

_TV_BIT: Final = 0x8000
_LAYOUT: Final = Struct(">HH")
_TV_OCTETS: Final = 2


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute; `tv` tells the short form, whose value is two octets."""

    type: int
    value: bytes
    tv: bool = False

    def encode(self) -> bytes:
        """Return the attribute: 4 octets, or 4 and the value in the long form."""
        if self.tv:
            return _LAYOUT.pack(_TV_BIT | self.type, int.from_bytes(self.value, "big"))
        return _LAYOUT.pack(self.type, len(self.value)) + self.value


def encode_attributes(attributes: Iterable[Attribute]) -> bytes:
    """Return the attributes one after the other (RFC 7296 section 3.3.5)."""
    return b"".join(attribute.encode() for attribute in attributes)


def decode_attributes(octets: bytes) -> Iterator[Attribute]:
    """Read attributes until the octets end (RFC 7296 section 3.3.5).

    `octets` are those after the fixed part of a substructure; none is no attribute.
    Each turn consumes four or more.  Raises `WireError`, while it is being iterated: a
    truncated attribute, one that runs past the end, or more than `MAX_ATTRIBUTES`.
    """
    position, end, count = 0, len(octets), 0
    while position < end:
        count += 1
        if count > MAX_ATTRIBUTES:
            raise WireError(f"more than {MAX_ATTRIBUTES} attributes")
        if end - position < _LAYOUT.size:
            raise WireError("truncated attribute")
        kind, number = _LAYOUT.unpack_from(octets, position)
        position += _LAYOUT.size
        if kind & _TV_BIT:
            yield Attribute(kind & ~_TV_BIT, number.to_bytes(_TV_OCTETS, "big"), tv=True)
            continue
        if number > end - position:
            raise WireError(f"attribute {kind} runs past its substructure")
        yield Attribute(kind, octets[position : position + number])
        position += number


def short(kind: int, number: int) -> Attribute:
    """Make an attribute in Type/Value form (RFC 7296 section 3.3.5); `number` is 16 bits."""
    return Attribute(kind, number.to_bytes(_TV_OCTETS, "big"), tv=True)


def read_short(attribute: Attribute) -> int:
    """Return the number of an attribute that must be in Type/Value form, 16 bits.

    RFC 7296 section 3.3.5.  Raises `WireError` where it is in the long form.
    """
    if not attribute.tv:
        raise WireError(f"attribute {attribute.type} must be in the short form")
    return int.from_bytes(attribute.value, "big")


def read_long(attribute: Attribute) -> bytes:
    """Return the octets of an attribute that must be in Type/Length/Value form.

    RFC 7296 section 3.3.5; there may be none.  Raises `WireError` where it is in the
    short form.
    """
    if attribute.tv:
        raise WireError(f"attribute {attribute.type} must be in the long form")
    return attribute.value


def read_long_number(attribute: Attribute, octets: int) -> int:
    """Return the number in a Type/Length/Value attribute of exactly `octets`.

    RFC 7296 section 3.3.5.  Raises `WireError` for another size, or the short form.
    """
    value = read_long(attribute)
    if len(value) != octets:
        raise WireError(f"attribute {attribute.type} has {len(value)} octets, not {octets}")
    return int.from_bytes(value, "big")
