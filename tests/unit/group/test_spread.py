"""REREGISTRATION_SPREAD: what is told, where, and what is believed (RFC 9838 section 2.4.3)."""

from __future__ import annotations

from hashlib import sha256

import pytest

from gcks.group.spread import (
    DEFAULT_COST_SECONDS,
    MOST_SECONDS,
    SPREAD_VENDOR,
    Spread,
    read_spread,
    spread_notify,
    spread_of,
)
from gcks.iana import FIRST_PRIVATE_STATUS_TYPE, LAST_NOTIFY_TYPE, NotifyType
from gcks.keyserver.groups.departing import order_exclusion
from gcks.keyserver.groups.exclusions import IDENTITY
from gcks.wire.delete import Delete
from gcks.wire.notify import Notify
from tests.support.group_stage import Stage

KIND = NotifyType.REREGISTRATION_SPREAD


def test_number_and_vendor_id_are_of_private_use() -> None:
    """RFC 7296 sections 3.10.1 and 3.12."""
    assert FIRST_PRIVATE_STATUS_TYPE <= KIND <= LAST_NOTIFY_TYPE
    assert SPREAD_VENDOR.data == sha256(b"gcks REREGISTRATION_SPREAD 1").digest()[:16]


@pytest.mark.parametrize(
    ("members", "senders", "cost_seconds", "told"),
    [
        (0, 0, 0.003, Spread(5, 1)),
        (800, 20, 0.003, Spread(5, 1)),
        (1_000, 1_000, 0.003, Spread(6, 6)),
        (10_000, 100, 0.003, Spread(60, 1)),
        (10_000, 1_000, 0.0006, Spread(12, 2)),
        (1_000_000, 0, 0.003, Spread(6_000, 1)),
        (1_000_000, 0, 0.1, Spread(MOST_SECONDS, 1)),
    ],
)
def test_half_of_the_server_is_left(
    members: int, senders: int, cost_seconds: float, told: Spread
) -> None:
    assert spread_of(members, senders, cost_seconds) == told


def test_what_is_told_is_read() -> None:
    notify = spread_notify(Spread(60, 2))
    assert notify == Notify(KIND, bytes((0, 0, 0, 60, 0, 0, 0, 2)))
    assert read_spread((SPREAD_VENDOR, Notify(NotifyType.USE_TRANSPORT_MODE), notify)) == (60, 2)


@pytest.mark.parametrize(
    "notify",
    [
        Notify(KIND),
        Notify(KIND, bytes(4)),
        Notify(KIND, bytes(7)),
        Notify(KIND, bytes(9)),
        Notify(KIND, bytes(8), protocol=3),
        Notify(KIND, bytes(8), protocol=3, spi=bytes(4)),
        Notify(KIND + 1, bytes(8)),
    ],
)
def test_what_is_malformed_tells_nothing(notify: Notify) -> None:
    assert read_spread((notify,)) is None
    assert read_spread((notify, spread_notify(Spread(9, 9)))) == (9, 9)


def test_nobody_is_told_to_stay_away() -> None:
    huge = Notify(KIND, b"\xff" * 8)
    assert read_spread((huge,)) == (MOST_SECONDS, MOST_SECONDS)


# --- where it is told -------------------------------------------------------------------


def test_a_registration_tells_it_with_our_vendor_id() -> None:
    stage = Stage()
    stage.group.cost = lambda: 2.0
    joined = [stage.register("s1", sender=True), stage.register("gm1"), stage.register("gm2")]
    told = [one.payloads[-2:] for one in joined]
    assert told == [
        (SPREAD_VENDOR, spread_notify(Spread(*seconds))) for seconds in ((5, 4), (8, 4), (12, 4))
    ]
    again = stage.register("gm2").payloads
    assert read_spread(again) == (12, 4), "who comes again is no further member"


def test_every_rekey_tells_it_anew() -> None:
    stage = Stage()
    listener = stage.listener("gm1")
    stage.group.cost = lambda: 10.0
    for members in (1, 2):
        assert listener.hear(stage.rekey().transmits) == 1
        assert read_spread(listener.last) == (20 * members, 1)
        assert SPREAD_VENDOR not in listener.last
        stage.register("gm2")
        stage.now += 20.0


def test_the_message_that_starts_over_tells_it_for_those_who_were_members() -> None:
    """Section 2.4.3: HDR, SK{D, [N,] [AUTH]}."""
    stage = Stage()
    listener = stage.listener("gm1")
    for name in ("gm2", "gm3"):
        stage.register(name)
    stage.group.cost = lambda: 10.0
    outcome = stage.decide(order_exclusion, IDENTITY, ["fqdn:gm3.dev"], "test")
    assert listener.hear(outcome.transmits) == 1
    assert any(isinstance(one, Delete) for one in listener.last)
    assert read_spread(listener.last) == (40, 1)
    assert len(stage.group.state.members) == 0


def test_until_something_is_measured_a_default_counts() -> None:
    stage = Stage()
    assert stage.group.cost() == DEFAULT_COST_SECONDS
