"""SUPPORTED_AUTH_METHODS, octet for octet (RFC 9593 section 3.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcks.errors import WireError
from gcks.wire.auth_methods import (
    MAX_ANNOUNCEMENTS,
    AuthAnnouncement,
    decode_announcements,
    encode_announcements,
)

ED25519 = bytes.fromhex("300506032b6570")


@pytest.mark.parametrize(
    ("announcement", "octets"),
    [
        (AuthAnnouncement(2), "0202"),
        (AuthAnnouncement(1, 3, linked=True), "030103"),
        (AuthAnnouncement(14, 0, ED25519, linked=True), "0a0e00300506032b6570"),
    ],
)
def test_the_three_formats(announcement: AuthAnnouncement, octets: str) -> None:
    """Sections 3.2.1 (2 octets), 3.2.2 (3 octets) and 3.2.3 (more)."""
    assert encode_announcements([announcement]).hex() == octets
    assert decode_announcements(bytes.fromhex(octets)) == (announcement,)


@pytest.mark.parametrize("octets", ["00", "01", "0102", "02", "0302", "0a0e00300506", "02020"])
def test_wrong_lengths_are_refused(octets: str) -> None:
    with pytest.raises(WireError):
        decode_announcements(bytes.fromhex(octets if len(octets) % 2 == 0 else octets + "1"))


def test_their_number_is_bounded() -> None:
    assert len(decode_announcements(b"\x02\x02" * MAX_ANNOUNCEMENTS)) == MAX_ANNOUNCEMENTS
    with pytest.raises(WireError):
        decode_announcements(b"\x02\x02" * (MAX_ANNOUNCEMENTS + 1))


@given(st.binary(max_size=400))
def test_whatever_is_read_is_written_the_same(octets: bytes) -> None:
    try:
        found = decode_announcements(octets)
    except WireError:
        return
    assert encode_announcements(found) == octets
