"""Transform substructures (RFC 7296 section 3.3.2), in SA, SAg and GSA payloads.

                     1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
| Last Substruc |   RESERVED    |        Transform Length       |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|Transform Type |   RESERVED    |          Transform ID         |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                      Transform Attributes                     ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from gcks.errors import WireError
from gcks.iana import TRANSFORM_IDS, TransformAttribute, TransformType
from gcks.wire.attribute import (
    Attribute,
    decode_attributes,
    encode_attributes,
    read_long,
    read_short,
    short,
)

MAX_TRANSFORMS: Final = 64
"""In one proposal or group SA policy."""

MORE_TRANSFORMS: Final = 3
LAST_TRANSFORM: Final = 0
_LAYOUT: Final = Struct(">BxHBxH")


@dataclass(frozen=True, slots=True)
class Transform:
    """One algorithm; `key_length` in bits (attribute 14), `others` unknown attributes."""

    type: int
    id: int
    key_length: int | None = None
    signature_algorithm: bytes = b""
    """DER AlgorithmIdentifier (attribute 18), only for GCAUTH Digital Signature."""
    others: tuple[Attribute, ...] = ()

    def __str__(self) -> str:
        registry = TRANSFORM_IDS.get(self.type)
        name = str(registry(self.id)) if registry else str(self.id)
        length = f"-{self.key_length}" if self.key_length is not None else ""
        return f"{TransformType(self.type)}={name}{length}"

    def encode(self, *, last: bool) -> bytes:
        """Return the substructure: 8 octets, and the attributes."""
        attributes = self._attributes()
        mark = LAST_TRANSFORM if last else MORE_TRANSFORMS
        return _LAYOUT.pack(mark, _LAYOUT.size + len(attributes), self.type, self.id) + attributes

    def _attributes(self) -> bytes:
        known = b""
        if self.key_length is not None:
            known += short(TransformAttribute.KEY_LENGTH, self.key_length).encode()
        if self.signature_algorithm:
            kind = TransformAttribute.SIGNATURE_ALGORITHM_IDENTIFIER
            known += Attribute(kind, self.signature_algorithm).encode()
        return known + encode_attributes(self.others)


def encode_transforms(transforms: Sequence[Transform]) -> bytes:
    """Return transforms one after the other, the last one marked so."""
    final = len(transforms) - 1
    return b"".join(t.encode(last=place == final) for place, t in enumerate(transforms))


def decode_transforms(octets: bytes, count: int) -> tuple[Transform, ...]:
    """Read exactly `count` transforms that fill `octets` (RFC 7296 section 3.3.2).

    Raises `WireError` as `read_transforms` does, and where octets follow the last.
    """
    transforms, position = read_transforms(octets, 0, count)
    if position != len(octets):
        raise WireError("octets follow the last transform")
    return transforms


def read_transforms(
    octets: bytes, position: int, count: int | None = None
) -> tuple[tuple[Transform, ...], int]:
    """Read transforms up to the one marked as last; return them and where they end.

    Each has 8 of `octets`, from `position` on, and attributes (RFC 7296 section 3.3.2).
    `count`, where given, is the number that the proposal announced.  Raises
    `WireError`: a transform that is truncated or runs past the end, an unknown mark,
    one that contradicts `count`, a known attribute twice or in the wrong form, or more
    than `MAX_TRANSFORMS`.
    """
    transforms: list[Transform] = []
    more = count != 0
    while more:
        if len(transforms) == MAX_TRANSFORMS:
            raise WireError(f"more than {MAX_TRANSFORMS} transforms")
        transform, position, more = _read_transform(octets, position)
        transforms.append(transform)
        if count is not None and more != (len(transforms) < count):
            raise WireError("the last-substructure mark contradicts the number of transforms")
    return tuple(transforms), position


def _read_transform(octets: bytes, position: int) -> tuple[Transform, int, bool]:
    if len(octets) - position < _LAYOUT.size:
        raise WireError("truncated transform")
    mark, length, kind, number = _LAYOUT.unpack_from(octets, position)
    end = position + length
    if length < _LAYOUT.size or end > len(octets):
        raise WireError(f"transform length {length} does not fit")
    if mark not in (MORE_TRANSFORMS, LAST_TRANSFORM):
        raise WireError(f"last-substructure mark {mark} in a transform")
    attributes = octets[position + _LAYOUT.size : end]
    transform = (
        _with_attributes(kind, number, attributes) if attributes else Transform(kind, number)
    )
    return transform, end, mark == MORE_TRANSFORMS


def _with_attributes(kind: int, number: int, octets: bytes) -> Transform:
    key_length: int | None = None
    algorithm = b""
    others: list[Attribute] = []
    for attribute in decode_attributes(octets):
        if attribute.type == TransformAttribute.KEY_LENGTH:
            if key_length is not None:
                raise WireError("two Key Length attributes in one transform")
            key_length = read_short(attribute)
        elif attribute.type == TransformAttribute.SIGNATURE_ALGORITHM_IDENTIFIER:
            if algorithm or not read_long(attribute):
                raise WireError("a second or empty Signature Algorithm Identifier")
            algorithm = attribute.value
        else:
            others.append(attribute)
    return Transform(kind, number, key_length, algorithm, tuple(others))
