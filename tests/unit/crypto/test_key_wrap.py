"""RFC 5649 key wrapping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcks.crypto.errors import IntegrityError, UnsupportedAlgorithm
from gcks.crypto.key_wrap import KWAS, kwk_octets, unwrap, wrap
from gcks.iana import Kwa


@pytest.mark.parametrize("kwa", sorted(KWAS))
@pytest.mark.parametrize("octets", [*range(1, 18), 36, 68, 255, 256])
def test_unwrap_undoes_wrap(kwa: int, octets: int) -> None:
    """RFC 5649 section 4.1: padded to whole semiblocks, one semiblock of check value before."""
    kwk, key = bytes(range(kwk_octets(kwa))), bytes(range(octets))
    wrapped = wrap(kwk, key)
    assert len(wrapped) == 8 + -(-octets // 8) * 8
    assert unwrap(kwk, wrapped) == key


def test_kwk_sizes() -> None:
    """RFC 9838 section 4.4.2.1.2."""
    assert [kwk_octets(kwa) for kwa in sorted(KWAS)] == [16, 24, 32]


@pytest.mark.parametrize("kwa", [0, Kwa.KW_ARX, 4711])
def test_other_kwas_are_refused(kwa: int) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        kwk_octets(kwa)


def test_another_kwk_is_noticed() -> None:
    with pytest.raises(IntegrityError):
        unwrap(bytes(32), wrap(b"\x01" * 32, b"a key of the group"))


@given(st.binary(max_size=96))
def test_any_octets_are_refused_with_the_one_error(octets: bytes) -> None:
    with pytest.raises(IntegrityError):
        unwrap(bytes(32), octets)


def test_plain_rfc_3394_is_refused() -> None:
    """RFC 5649 section 3: its check value is another one."""
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap

    with pytest.raises(IntegrityError):
        unwrap(bytes(32), aes_key_wrap(bytes(32), bytes(32)))
