"""What is held is a value: each step gives another, and the one before is as it was."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from gcks.member.holding import MAX_REKEY_SAS, NOTHING, Holding
from gcks.member.verifier import Verifier
from tests.support.held import data_sa, rekey_sa
from tests.support.little_gcks import LittleGcks

BY_MULTICAST = Verifier(LittleGcks(implicit=True).gcauth, None)


def spis(holding: Holding) -> list[int]:
    return [int.from_bytes(sa.install.spi, "big") for sa in holding.data_sas]


def rekey_spis(holding: Holding) -> list[int]:
    return [sa.spi[0] for sa in holding.rekey_sas]


def test_each_step_leaves_the_one_before_as_it_was() -> None:
    held = Holding(data_sas=(data_sa(1, hard_at=100.0),), current_rekey=rekey_sa(1))
    before = replace(held)
    held.with_data([data_sa(2, generation=2)])
    held.without_data([data_sa(1).key], 5.0)
    held.with_rekey(rekey_sa(2))
    held.without_rekeys([bytes((1,)) * 16], 5.0)
    held.with_message(7, b"datagram")
    held.advanced(100.0)
    assert held == before


def test_the_same_sa_again_goes_on_with_its_own_sender_ids() -> None:
    """Its sequence numbers stay in use: nothing repeats."""
    old = data_sa(1, active=True)
    again = data_sa(1, generation=2, hard_at=900.0, activate_at=5.0)
    again = replace(again, install=replace(again.install, sender_ids=(9,), lifetime_seconds=30))
    (held,) = Holding(data_sas=(old,)).with_data([again]).data_sas
    assert (held.install, held.active, held.activate_at) == (old.install, True, inf)
    assert (held.generation, held.hard_at) == (2, 900.0)


def test_other_keys_under_the_same_spi_are_another_sa() -> None:
    new = data_sa(1, generation=2, key=b"\1" * 36, activate_at=5.0)
    assert Holding(data_sas=(data_sa(1, active=True),)).with_data([new]).data_sas == (new,)


def test_an_sa_goes_at_the_earliest_time_it_was_told() -> None:
    held = Holding(data_sas=(data_sa(1, remove_at=5.0), data_sa(2, remove_at=30.0)))
    held = held.without_data([data_sa(1).key, data_sa(2).key], 20.0)
    assert [sa.remove_at for sa in held.data_sas] == [5.0, 20.0]


def test_sending_moves_to_the_newest_for_the_same_traffic() -> None:
    """RFC 9838 section 4.4.3.1.1; SAs for other traffic are left alone."""
    other = data_sa(9, port=6000, active=True)
    held = Holding(
        data_sas=(
            data_sa(1, active=True),
            other,
            data_sa(2, generation=2, activate_at=5.0),
            data_sa(3, generation=3, activate_at=5.0),
        )
    )
    assert held.advanced(4.9) is held
    after = held.advanced(5.0)
    assert [sa.active for sa in after.data_sas] == [False, True, False, True]
    assert after.next_change() == inf


def test_what_ends_before_its_activation_is_never_sent_on() -> None:
    held = Holding(data_sas=(data_sa(1, activate_at=5.0, hard_at=5.0),))
    assert held.advanced(5.0).data_sas == ()


def test_sas_of_one_message_dont_replace_each_other() -> None:
    held = Holding(data_sas=(data_sa(1, activate_at=5.0), data_sa(2, activate_at=5.0)))
    assert [sa.active for sa in held.advanced(5.0).data_sas] == [True, True]


def test_message_ids_never_go_back_under_one_spi() -> None:
    """Ruling 7."""
    held = Holding(current_rekey=rekey_sa(1)).with_message(8, b"datagram")
    for message_id, expected in ((3, 9), (20, 20)):
        current = held.with_rekey(rekey_sa(1, message_id=message_id)).current_rekey
        assert current is not None and current.next_message_id == expected


def test_rekey_sas_are_bounded_and_the_current_one_stays() -> None:
    held = NOTHING
    for number in range(1, 10):
        held = held.with_rekey(rekey_sa(number))
    assert rekey_spis(held) == [6, 7, 8, 9]
    assert len(held.rekey_sas) == MAX_REKEY_SAS
    held = held.without_replaced_rekeys(5.0).advanced(5.0)
    assert rekey_spis(held) == [9] and not held.rekey_deleted


def test_a_deleted_rekey_sa_is_known_to_go_before_it_is_gone() -> None:
    held = Holding(current_rekey=rekey_sa(1)).without_rekeys([bytes((1,)) * 16], 20.0)
    assert held.rekey_deleted and held.current_rekey is not None
    assert held.advanced(20.0).current_rekey is None


def test_alive_with_a_rekey_sa_until_the_last_sa_is_over_and_without_as_the_ike_sa_tells() -> None:
    held = Holding(verifier=BY_MULTICAST, data_sas=(data_sa(1, hard_at=100.0),))
    assert held.alive and not held.advanced(100.0).alive
    assert NOTHING.alive


def test_only_what_nothing_replaces_expires() -> None:
    """RFC 9838 section 2.4.1.4."""
    first, second = data_sa(1, hard_at=100.0), data_sa(2, generation=2, hard_at=200.0)
    assert Holding(data_sas=(first,)).next_soft_expiry() == 90.0
    held = Holding(data_sas=(first, second, data_sa(3, port=6000, hard_at=150.0)))
    assert (held.next_soft_expiry(), held.next_gap()) == (140.0, 150.0)
    assert held.soft_expiry(139.0) is None
    assert held.soft_expiry(140.0) == ("ESP SA 00000003 is about to expire", 150.0)


def test_generations_follow_those_that_are_held() -> None:
    assert NOTHING.next_generation == 1
    assert Holding(data_sas=(data_sa(1, generation=4), data_sa(2))).next_generation == 5
    assert spis(NOTHING.with_data([data_sa(2), data_sa(1)])) == [2, 1]
