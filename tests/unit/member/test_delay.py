"""How long a member waits before it registers again (RFC 9838 section 2.4.3)."""

from __future__ import annotations

import pytest

from gcks.errors import Discard
from gcks.events import Reregistering
from gcks.group.spread import MOST_SECONDS, SPREAD_VENDOR, Spread, spread_notify
from gcks.iana import NotifyType, ProtocolId
from gcks.member.change import MemberChange
from gcks.member.delay import LEAST_SECONDS, UNTOLD_SECONDS, Delay, Reach
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.vendor import VendorId
from tests.support.little_gcks import LittleGcks, Member, delete, esp

EVERYTHING = delete(ProtocolId.GIKE_UPDATE, bytes(16))
TOLD = (SPREAD_VENDOR, spread_notify(Spread(600, 20)))
HUGE = Notify(NotifyType.REREGISTRATION_SPREAD, b"\xff" * 8)


def joined(
    *notifies: Payload, sender: bool = False, jitter_seconds: float | None = None
) -> tuple[LittleGcks, Member]:
    """Register a member whose draws are always the longest delay."""
    gcks, member = LittleGcks(), Member(sender=sender, jitter_seconds=jitter_seconds)
    numbers = {"sender_ids": (3,), "bits": 8} if sender else {}
    member.register(gcks.registration(esp(1), notifies=notifies, **numbers))  # type: ignore[arg-type]
    return gcks, member


def waits(gcks: LittleGcks, member: Member, *payloads: Payload) -> float:
    """Let the server start over; return how long the member waits."""
    member.receive(gcks.message((EVERYTHING, *payloads)), 100.0)
    (again,) = member.of(Reregistering)
    assert member.group.due == 100.0 + again.delay_seconds
    return again.delay_seconds


@pytest.mark.parametrize(
    ("sender", "reach", "told", "most"),
    [
        (False, Reach.EVERYBODY, Spread(600, 20), 600.0),
        (True, Reach.EVERYBODY, Spread(600, 20), 20.0),
        (False, Reach.SOME, Spread(600, 20), 60.0),
        (True, Reach.SOME, Spread(600, 20), 2.0),
        (True, Reach.SOME, Spread(600, 1), LEAST_SECONDS),
        (False, Reach.EVERYBODY, Spread(0, 0), LEAST_SECONDS),
        (False, Reach.EVERYBODY, None, UNTOLD_SECONDS),
        (False, Reach.SOME, None, UNTOLD_SECONDS),
    ],
)
def test_cause_role_and_what_was_told_make_the_delay(
    sender: bool, reach: Reach, told: Spread | None, most: float
) -> None:
    delay = Delay(None, sender=sender)
    delay.registered((SPREAD_VENDOR, spread_notify(told)) if told else ())
    assert delay.most_seconds(reach) == most


def test_a_group_that_starts_over_uses_the_whole_spread() -> None:
    """Section 2.4.3: RECOMMENDED to wait some randomly chosen time."""
    assert waits(*joined(*TOLD)) == 600.0


def test_senders_are_back_first() -> None:
    assert waits(*joined(*TOLD, sender=True)) == 20.0


def test_the_message_that_starts_over_has_the_last_word() -> None:
    assert waits(*joined(*TOLD), spread_notify(Spread(30, 1))) == 30.0


def test_a_rekey_tells_how_the_group_has_grown() -> None:
    gcks, member = joined(*TOLD)
    member.receive(gcks.message((delete(ProtocolId.ESP, b"none"), spread_notify(Spread(700, 1)))))
    assert waits(gcks, member) == 700.0


def test_a_number_that_the_operator_set_stays() -> None:
    gcks, member = joined(*TOLD, jitter_seconds=7.0)
    assert waits(gcks, member, spread_notify(Spread(30, 1))) == 7.0


@pytest.mark.parametrize(
    "notifies",
    [
        (),
        (spread_notify(Spread(600, 20)),),
        (VendorId(b"somebody else's"), spread_notify(Spread(600, 20))),
        (VendorId(SPREAD_VENDOR.data[:15]), spread_notify(Spread(600, 20))),
        (SPREAD_VENDOR,),
        (SPREAD_VENDOR, Notify(NotifyType.REREGISTRATION_SPREAD, bytes(4))),
    ],
)
def test_without_a_number_that_means_this_it_is_some_seconds(notifies: tuple[Payload, ...]) -> None:
    """RFC 7296 section 3.12: a private number without its Vendor ID means nothing to us."""
    assert waits(*joined(*notifies)) == UNTOLD_SECONDS


def test_a_rekey_without_the_vendor_id_at_registration_tells_nothing() -> None:
    assert waits(*joined(), spread_notify(Spread(600, 20))) == UNTOLD_SECONDS


@pytest.mark.parametrize(
    "hostile",
    [
        Notify(NotifyType.REREGISTRATION_SPREAD),
        Notify(NotifyType.REREGISTRATION_SPREAD, bytes(3)),
        Notify(NotifyType.REREGISTRATION_SPREAD, bytes(400)),
        Notify(NotifyType.REREGISTRATION_SPREAD, bytes(8), protocol=3, spi=b"spi!"),
    ],
)
def test_what_is_malformed_changes_nothing(hostile: Notify) -> None:
    assert waits(*joined(*TOLD), hostile) == 600.0


def test_nobody_is_kept_away_for_longer_than_two_hours() -> None:
    assert waits(*joined(*TOLD), HUGE) == MOST_SECONDS == 7_200


def test_a_message_that_is_not_authentic_tells_nothing() -> None:
    gcks, member = joined(*TOLD)
    stranger = LittleGcks(rekey_spi=gcks.rekey_spi, keymats=gcks.keymats)
    with pytest.raises(Discard):
        member.receive(stranger.message((spread_notify(Spread(1, 1)),)))
    assert member.group.planner.delay.told == (600, 20)


def test_a_new_registration_forgets_what_another_server_told() -> None:
    gcks, member = joined(*TOLD)
    member.register(gcks.registration(esp(1)), 50.0)
    assert waits(gcks, member) == UNTOLD_SECONDS


def test_a_lost_rekey_waits_for_a_tenth() -> None:
    """Others may have it; but a network that loses one may lose it for many."""
    _, member = joined(*TOLD)
    member.group.lose_rekey("lost", Reach.SOME, 100.0, MemberChange())
    assert member.group.due == 160.0


def test_a_server_that_excludes_again_and_again_drives_nobody_in_a_circle() -> None:
    """Five seconds at least lie between two registrations."""
    gcks, member = joined(jitter_seconds=0.0)
    member.register(gcks.registration(esp(1)), 99.0)
    member.receive(gcks.message((EVERYTHING,)), 100.0)
    assert member.group.due == 104.0


def test_nobody_waits_until_what_it_holds_is_over() -> None:
    """Half of what is left is for the registration."""
    gcks, member = LittleGcks(), Member()
    member.register(gcks.registration(esp(1, lifetime=300), notifies=TOLD))
    member.group.lose_rekey("lost", Reach.SOME, 200.0, MemberChange())
    assert member.group.due == 250.0


def test_a_registration_that_is_refused_leaves_all_as_it_was() -> None:
    gcks, member = joined(*TOLD)
    unsupported = Notify(NotifyType.USE_AGGFRAG, b"\0")
    with pytest.raises(Exception, match="not supported"):
        member.register(gcks.registration(esp(2), notifies=(unsupported, SPREAD_VENDOR)), 50.0)
    assert member.group.planner.delay.told == (600, 20)
