"""The small parts of a group: SPIs, Sender-IDs, times, membership.

Shows the small modules of gcks/keyserver/groups.
"""

from __future__ import annotations

import pytest

from gcks.errors import RegistrationFailed
from gcks.group.counter_mode import uses_counter
from gcks.iana import Encr, Integ, ProtocolId, TransformType
from gcks.journal import MemberSaved
from gcks.keyserver.groups.copies import interval_seconds
from gcks.keyserver.groups.membership import MAX_SHARED_SAGS, Membership
from gcks.keyserver.groups.schedule import overlap_seconds, renewal_age
from gcks.keyserver.groups.sender_ids import SenderIds
from gcks.keyserver.groups.spi import SpiPool
from gcks.wire.transform import Transform


def test_reserved_and_taken_spis_are_not_drawn() -> None:
    """RFC 4303 section 2.1: 0 to 255 are reserved; RFC 9838 section 4.4.2: the GCKS assigns."""
    drawn = iter([bytes(4), b"\0\0\0\xff", b"\0\0\1\0", b"\0\0\1\0", b"\0\0\1\1"])
    pool = SpiPool(lambda _: next(drawn))
    assert pool.draw(ProtocolId.ESP) == b"\0\0\1\0"
    assert pool.draw(ProtocolId.AH) == b"\0\0\1\1"


def test_a_rekey_sas_spi_has_two_usable_halves() -> None:
    """RFC 9838 section 4.4.2: the halves stand as SPIi and SPIr; RFC 7296 3.1: not zero."""
    one, good = b"\1" * 8, b"\2" * 16
    drawn = iter([bytes(8) + one, one + bytes(8), good])
    assert SpiPool(lambda _: next(drawn)).draw(ProtocolId.GIKE_UPDATE) == good


def test_released_spis_can_come_again() -> None:
    pool = SpiPool(lambda _: b"spi1")
    pool.draw(ProtocolId.ESP)
    pool.release(b"spi1")
    assert pool.draw(ProtocolId.ESP) == b"spi1"


def test_supply_bounds_what_is_allocated() -> None:
    """RFC 9838 section 4.5.3.3: fewer, if it is running out; never more."""
    assert SenderIds(next=2, limit=4).allocated(4, at_most=16) == (2, 3)
    assert SenderIds(next=2, limit=16).allocated(4, at_most=3) == (2, 3, 4)
    with pytest.raises(RegistrationFailed):
        SenderIds(next=4, limit=4).allocated(1, at_most=16)
    assert SenderIds(next=4, limit=4).left == 0


@pytest.mark.parametrize(
    ("kind", "number", "counts"),
    [
        (TransformType.ENCR, Encr.AES_GCM_16, True),
        (TransformType.ENCR, Encr.CHACHA20_POLY1305, True),
        (TransformType.ENCR, Encr.AES_CTR, True),
        (TransformType.ENCR, Encr.AES_CBC, False),
        (TransformType.INTEG, Integ.AES_128_GMAC, True),
        (TransformType.INTEG, Integ.HMAC_SHA2_256_128, False),
        (TransformType.KE, Encr.AES_GCM_16, False),
    ],
)
def test_which_transforms_count(kind: TransformType, number: int, counts: bool) -> None:
    """RFC 9838 section 2.5: the counter-based modes of ESP and AH."""
    assert uses_counter([Transform(kind, number)]) is counts


def test_renewal_leaves_room_for_delays_and_drift() -> None:
    """RFC 5374 section 4.2.1."""
    overlap = overlap_seconds(5, 15, 2.0)
    assert overlap == 17
    assert renewal_age(3600, None, overlap) == 3240
    assert renewal_age(100, None, overlap) == 78
    assert renewal_age(36, None, overlap) == 18
    assert renewal_age(3600, 60, overlap) == 60


def test_copies_fill_the_spread() -> None:
    assert interval_seconds(3, 2.0) == 1.0
    assert interval_seconds(1, 2.0) == 0.0


def test_equal_sags_are_stored_once_and_strange_ones_are_bounded() -> None:
    """Memory per member stays small whatever members announce."""
    members = Membership()
    for number in range(MAX_SHARED_SAGS + 10):
        members.put(saved(f"gm{number}", b"sag %d" % (number % 3)))
    kept = [members.get(f"gm{number}") for number in range(9)]
    assert len({id(member.sag) for member in kept if member}) == 3
    for number in range(2 * MAX_SHARED_SAGS):
        members.put(saved(f"odd{number}", b"odd %d" % number))
    assert len(members._shared) == MAX_SHARED_SAGS


def test_a_second_registration_replaces_the_first() -> None:
    members = Membership()
    members.put(saved("gm", b"", (1,)))
    members.put(saved("gm", b"", (2,)))
    member = members.get("gm")
    assert len(members) == 1 and member is not None and member.sender_ids == (2,)
    assert members.remove("gm") and not members.remove("gm") and "gm" not in members


def saved(identity: str, sag: bytes, sender_ids: tuple[int, ...] = ()) -> MemberSaved:
    return MemberSaved("keyid:demo", identity, "192.0.2.7", sender_ids, sag, 0.0)
