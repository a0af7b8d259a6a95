"""SubjectPublicKeyInfo, taken apart and put together (RFC 5280 section 4.1.2.7).

AUTH_KEY for RSASSA-PSS needs its parameters in the algorithm field (RFC 9838
section 4.5.3.2), which no library writes: this splices them in and out.
"""

from __future__ import annotations

from typing import Final

from gcks.crypto.errors import InvalidPublicKey

_SEQUENCE: Final = 0x30
_LONG_FORM: Final = 0x80
MAX_SPKI_OCTETS: Final = 4096
RSA_ENCRYPTION: Final = bytes.fromhex("300d06092a864886f70d0101010500")
"""AlgorithmIdentifier of a plain RSA key."""


def split(spki: bytes) -> tuple[bytes, bytes]:
    """Return the DER AlgorithmIdentifier and the DER BIT STRING after it.

    RFC 5280 section 4.1.2.7.  Raises `InvalidPublicKey` unless both lengths are DER and
    fill the octets, of which there are at most `MAX_SPKI_OCTETS`.
    """
    if len(spki) > MAX_SPKI_OCTETS:
        raise InvalidPublicKey(f"a SubjectPublicKeyInfo of {len(spki)} octets")
    start, end = _sequence(spki, 0)
    _, middle = _sequence(spki, start)
    if end != len(spki) or middle >= end:
        raise InvalidPublicKey("not a SubjectPublicKeyInfo")
    return spki[start:middle], spki[middle:]


def join(algorithm_identifier: bytes, bit_string: bytes) -> bytes:
    """Undo `split`: return the SubjectPublicKeyInfo of its two parts."""
    content = algorithm_identifier + bit_string
    if len(content) < _LONG_FORM:
        return bytes((_SEQUENCE, len(content))) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((_SEQUENCE, _LONG_FORM | len(size))) + size + content


def _sequence(octets: bytes, position: int) -> tuple[int, int]:
    """Return where the content of the SEQUENCE at `position` starts and ends."""
    head = octets[position : position + 2]
    if len(head) != 2 or head[0] != _SEQUENCE:
        raise InvalidPublicKey("expected a DER SEQUENCE")
    start, length = position + 2, head[1]
    if length & _LONG_FORM:
        size = length & ~_LONG_FORM
        length = int.from_bytes(octets[start : start + size], "big")
        start += size
        if not 1 <= size <= 2 or length < (_LONG_FORM if size == 1 else 0x100):
            raise InvalidPublicKey("a length that is not DER")
    if start + length > len(octets):
        raise InvalidPublicKey("a DER SEQUENCE that runs past its end")
    return start, start + length
