"""The SA payload and, with the same number and layout, SAg (RFC 7296 section 3.3).

                     1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
| Last Substruc |   RESERVED    |         Proposal Length       |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
| Proposal Num  |  Protocol ID  |    SPI Size   |Num  Transforms|
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                        SPI (variable)                         ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
~                        <Transforms>                           ~
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from struct import Struct
from typing import Final

from gcks.errors import WireError
from gcks.wire.transform import Transform, decode_transforms, encode_transforms

MAX_PROPOSALS: Final = 32
MAX_CACHED_OCTETS: Final = 1024
"""All members of a group send the same SA and SAg: small ones are read once."""

_MORE_PROPOSALS: Final = 2
_LAST_PROPOSAL: Final = 0
_LAYOUT: Final = Struct(">BxHBBBB")


@dataclass(frozen=True, slots=True)
class Proposal:
    """One suite of an SA payload, or several: a choice of transforms of each type."""

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[Transform, ...]

    def encode(self, *, last: bool) -> bytes:
        """Return the substructure: 8 octets, SPI, transforms."""
        transforms = encode_transforms(self.transforms)
        length = _LAYOUT.size + len(self.spi) + len(transforms)
        mark = _LAST_PROPOSAL if last else _MORE_PROPOSALS
        sizes = (len(self.spi), len(self.transforms))
        return (
            _LAYOUT.pack(mark, length, self.number, self.protocol, *sizes) + self.spi + transforms
        )


@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """SA (what the IKE SA may use) or SAg (RFC 9838 section 4.3: what the GM can do).

    `octets` is its encoding, made once; being `bytes` it also remembers its hash,
    so that an SA is a cheap key of caches.
    """

    proposals: tuple[Proposal, ...]
    octets: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        final = len(self.proposals) - 1
        encoded = (p.encode(last=place == final) for place, p in enumerate(self.proposals))
        object.__setattr__(self, "octets", b"".join(encoded))

    def __hash__(self) -> int:
        return hash(self.octets)

    def encode(self) -> bytes:
        """Return the payload body."""
        return self.octets


def decode_sa(body: bytes) -> SecurityAssociation:
    """Read the body of an SA or SAg payload (RFC 7296 section 3.3): one proposal or more.

    Each has 8 octets, an SPI and its transforms.  Raises `WireError`: a proposal or
    transform that is truncated, runs past the end or contradicts its marks and counts,
    octets after the last, more than `MAX_PROPOSALS`, or more than `MAX_TRANSFORMS` in
    one.
    """
    return _cached(body) if len(body) <= MAX_CACHED_OCTETS else _decode(body)


def _decode(body: bytes) -> SecurityAssociation:
    proposals: list[Proposal] = []
    position, more = 0, True
    while more:
        if len(proposals) == MAX_PROPOSALS:
            raise WireError(f"more than {MAX_PROPOSALS} proposals")
        proposal, position, more = _read_proposal(body, position)
        proposals.append(proposal)
    if position != len(body):
        raise WireError("octets follow the last proposal")
    return SecurityAssociation(tuple(proposals))


_cached = lru_cache(maxsize=256)(_decode)


def _read_proposal(body: bytes, position: int) -> tuple[Proposal, int, bool]:
    if len(body) - position < _LAYOUT.size:
        raise WireError("truncated proposal")
    mark, length, number, protocol, spi_size, count = _LAYOUT.unpack_from(body, position)
    end, spi_at = position + length, position + _LAYOUT.size
    if length < _LAYOUT.size + spi_size or end > len(body):
        raise WireError(f"proposal length {length} does not fit")
    if mark not in (_MORE_PROPOSALS, _LAST_PROPOSAL):
        raise WireError(f"last-substructure mark {mark} in a proposal")
    spi = body[spi_at : spi_at + spi_size]
    transforms = decode_transforms(body[spi_at + spi_size : end], count)
    return Proposal(number, protocol, spi, transforms), end, mark == _MORE_PROPOSALS
