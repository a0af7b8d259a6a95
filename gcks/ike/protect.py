"""SK and SKF payloads: whole protected messages from payloads and back.

RFC 7296 section 3.14 (padding, ICV), RFC 5282 (the associated data of AEAD is
everything from the IKE header to the payload header), RFC 7383 (fragments).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gcks.crypto.encr import Cipher
from gcks.crypto.errors import IntegrityError
from gcks.errors import Discard, DropReason, WireError
from gcks.iana import PayloadType
from gcks.wire.encrypted import (
    FRAGMENT,
    GENERIC,
    SK_BODY_AT,
    SKF_BODY_AT,
    read_encrypted,
    read_fragment,
)
from gcks.wire.header import HEADER_OCTETS, LAYOUT, MAX_MESSAGE_OCTETS, VERSION_2_0, Header
from gcks.wire.payloads import Payload, encode_chain

_MAX_FRAGMENTS: Final = 65535


class Envelope(NamedTuple):
    """The header fields that the sender chooses."""

    spi_i: bytes
    spi_r: bytes
    exchange: int
    flags: int
    message_id: int


class Inner(NamedTuple):
    """The decrypted content: type of the first payload, C bit and RESERVED, the chain."""

    first: int
    reserved: int
    octets: bytes


def header_octets(envelope: Envelope, next_payload: int, length: int) -> bytes:
    """Pack the IKE header of a message of `length` octets (RFC 7296 section 3.1)."""
    return LAYOUT.pack(
        envelope.spi_i,
        envelope.spi_r,
        next_payload,
        VERSION_2_0,
        envelope.exchange,
        envelope.flags,
        envelope.message_id,
        length,
    )


def seal_chain(cipher: Cipher, iv: bytes, envelope: Envelope, first: int, chain: bytes) -> bytes:
    """Protect an encoded payload chain as one SK message (RFC 7296 section 3.14).

    `first` is the type of its first payload, `iv` has `cipher.iv_octets`.  Raises
    ValueError for a message of more than 65,535 octets.
    """
    plaintext = _padded(chain, cipher.block_octets)
    length = SK_BODY_AT + cipher.iv_octets + len(plaintext) + cipher.icv_octets
    if length > MAX_MESSAGE_OCTETS:
        raise ValueError(f"a message of {length} octets")
    aad = header_octets(envelope, PayloadType.SK, length)
    aad += GENERIC.pack(first, 0, length - HEADER_OCTETS)
    return aad + iv + cipher.seal(iv, plaintext, aad)


def open_chain(cipher: Cipher, datagram: bytes, header: Header) -> Inner:
    """Undo `seal_chain` (RFC 7296 section 3.14); `datagram` is the whole message.

    Raises `WireError` where the layout is wrong and `Discard` where the ICV is; either way
    the peer sees nothing.
    """
    payload = read_encrypted(datagram, header)
    plaintext = _open(cipher, payload.body, datagram[:SK_BODY_AT])
    return Inner(payload.next_payload, payload.reserved, plaintext)


def seal_fragments(
    cipher: Cipher,
    next_iv: Callable[[], bytes],
    envelope: Envelope,
    first: int,
    chain: bytes,
    max_octets: int,
) -> tuple[bytes, ...]:
    """Protect a chain as SKF messages of at most `max_octets` each (RFC 7383 section 2.5).

    `next_iv` gives a new IV for each.  Raises ValueError where `max_octets` leaves no
    room, or there would be more than 65,535 of them.
    """
    overhead = SKF_BODY_AT + cipher.iv_octets + cipher.icv_octets
    room = max_octets - overhead
    content = room // cipher.block_octets * cipher.block_octets - 1
    if content < 1:
        raise ValueError(f"fragments of {max_octets} octets have no room for content")
    parts = [chain[at : at + content] for at in range(0, len(chain), content)]
    if len(parts) > _MAX_FRAGMENTS:
        raise ValueError(f"{len(parts)} fragments")
    sealed = []
    for number, part in enumerate(parts, 1):
        iv, plaintext = next_iv(), _padded(part, cipher.block_octets)
        length = overhead + len(plaintext)
        aad = header_octets(envelope, PayloadType.SKF, length)
        inner_first = first if number == 1 else PayloadType.NONE
        aad += FRAGMENT.pack(inner_first, 0, length - HEADER_OCTETS, number, len(parts))
        sealed.append(aad + iv + cipher.seal(iv, plaintext, aad))
    return tuple(sealed)


@dataclass(frozen=True, slots=True)
class Fragment:
    """One authentic fragment; `inner.first` and `inner.reserved` count in number 1 only."""

    number: int
    total: int
    inner: Inner


def open_fragment(cipher: Cipher, datagram: bytes, header: Header) -> Fragment:
    """Undo one datagram of `seal_fragments` (RFC 7383 section 2.6).

    Raises as `open_chain` does.
    """
    payload = read_fragment(datagram, header)
    octets = _open(cipher, payload.body, datagram[:SKF_BODY_AT])
    inner = Inner(payload.next_payload, payload.reserved, octets)
    return Fragment(payload.number, payload.total, inner)


def join_fragments(fragments: Sequence[Fragment]) -> Inner:
    """Put a complete set, in order, together (RFC 7383 section 2.6).

    Raises `WireError` where one is missing, repeated, or of another set.
    """
    if not fragments or [(f.number, f.total) for f in fragments] != [
        (number, len(fragments)) for number in range(1, len(fragments) + 1)
    ]:
        raise WireError("not one complete set of fragments")
    head = fragments[0].inner
    return Inner(head.first, head.reserved, b"".join(f.inner.octets for f in fragments))


def _padded(chain: bytes, block_octets: int) -> bytes:
    """Append the padding and the Pad Length octet (RFC 7296 section 3.14)."""
    pad = -(len(chain) + 1) % block_octets
    return chain + bytes(pad) + bytes((pad,))


def _open(cipher: Cipher, body: bytes, aad: bytes) -> bytes:
    if len(body) <= cipher.iv_octets + cipher.icv_octets:
        raise WireError("an encrypted payload without content")
    iv, sealed = body[: cipher.iv_octets], body[cipher.iv_octets :]
    try:
        plaintext = cipher.open(iv, sealed, aad)
    except IntegrityError as error:
        raise Discard(DropReason.BAD_INTEGRITY, str(error)) from None
    pad = plaintext[-1]
    if pad >= len(plaintext):
        raise WireError(f"{pad} octets of padding in {len(plaintext)} octets")
    return plaintext[: len(plaintext) - 1 - pad]


class IkeProtection:
    """Both directions of one IKE SA's protection.

    IVs of AEAD ciphers are a counter (RFC 5282 section 3.1: never twice under a
    key); IVs of CBC are unpredictable.
    """

    __slots__ = ("_entropy", "_in", "_ivs", "_out", "spi_i", "spi_r")

    def __init__(
        self,
        spi_i: bytes,
        spi_r: bytes,
        outbound: Cipher,
        inbound: Cipher,
        entropy: Callable[[int], bytes],
    ) -> None:
        self.spi_i, self.spi_r = spi_i, spi_r
        self._out, self._in = outbound, inbound
        self._entropy = entropy
        self._ivs = _iv_source(outbound, entropy)

    def seal_messages(
        self,
        exchange: int,
        flags: int,
        message_id: int,
        payloads: Sequence[Payload],
        max_octets: int | None,
    ) -> tuple[bytes, ...]:
        """Build a protected message, in fragments where it is larger than `max_octets`.

        RFC 7296 section 3.14, RFC 7383 section 2.5; None: as one, whatever its size.  Raises
        ValueError for a message of more than 65,535 octets.
        """
        first, chain = encode_chain(payloads)
        envelope = Envelope(self.spi_i, self.spi_r, exchange, flags, message_id)
        if max_octets is not None and len(chain) + self._overhead > max_octets:
            return seal_fragments(self._out, self._next_iv, envelope, first, chain, max_octets)
        return (seal_chain(self._out, next(self._ivs), envelope, first, chain),)

    def _next_iv(self) -> bytes:
        return next(self._ivs)

    @property
    def _overhead(self) -> int:
        """Octets of an SK message around its chain, at most."""
        cipher = self._out
        return SK_BODY_AT + cipher.iv_octets + cipher.block_octets + cipher.icv_octets

    def open_fragment(self, datagram: bytes, header: Header) -> Fragment:
        """Return one authentic fragment.  Raises as `open_chain` does."""
        return open_fragment(self._in, datagram, header)

    def open(self, datagram: bytes, header: Header) -> tuple[int, bytes]:
        """Return the first payload's type and the authentic chain, not yet decoded.

        Raises as `open_chain` does.
        """
        inner = open_chain(self._in, datagram, header)
        return inner.first, inner.octets


def _iv_source(cipher: Cipher, entropy: Callable[[int], bytes]) -> Iterator[bytes]:
    if cipher.block_octets == 1:
        count = 0
        while True:
            yield count.to_bytes(cipher.iv_octets, "big")
            count += 1
    while True:
        yield entropy(cipher.iv_octets)
