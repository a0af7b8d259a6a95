"""The data plane is told what leads from one holding to another, and does just that."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from gcks.member.data_plane import (
    ActivateSa,
    DataPlaneCommand,
    JoinMulticast,
    LeaveMulticast,
    RemoveSa,
)
from gcks.member.difference import commands_between
from gcks.member.held_sas import DataSa, RekeySa
from gcks.member.holding import NOTHING, Holding
from tests.support.held import GROUP, data_sa, rekey_sa
from tests.support.network import SimulatedDataPlane


def between(before: Holding, after: Holding) -> Sequence[DataPlaneCommand]:
    return tuple(commands_between(GROUP, before, after))


def holding(*sas: DataSa, rekeys: Sequence[RekeySa] = ()) -> Holding:
    held = Holding(data_sas=sas)
    for sa in rekeys:
        held = held.with_rekey(sa)
    return held


def test_nothing_changes_nothing() -> None:
    held = holding(data_sa(1, active=True), rekeys=[rekey_sa(1)])
    assert between(held, held) == between(held, held.with_message(5, b"datagram")) == ()


def test_new_sas_come_before_old_ones_go() -> None:
    """Make before break."""
    old, new = data_sa(1, active=True), data_sa(2, generation=2, active=True)
    assert between(holding(old), holding(new)) == (
        new.install,
        ActivateSa(GROUP, *new.key, replaces=(old.install.spi,)),
        RemoveSa(GROUP, *old.key),
    )


def test_other_keys_under_the_same_spi_are_installed_anew_and_sent_on_again() -> None:
    old, new = data_sa(1, active=True), data_sa(1, generation=2, key=b"\1" * 36, active=True)
    assert between(holding(old), holding(new)) == (
        RemoveSa(GROUP, *old.key),
        new.install,
        ActivateSa(GROUP, *new.key),
    )


def test_two_sas_for_the_same_traffic_take_over_from_the_old_one_once() -> None:
    old, one, two = (data_sa(n, generation=min(n, 2), active=True) for n in (1, 2, 3))
    commands = between(holding(old), holding(one, two))
    replaced = [command.replaces for command in commands if isinstance(command, ActivateSa)]
    assert replaced == [(old.install.spi,), ()]


def test_an_address_is_joined_once_and_left_with_the_last_sa() -> None:
    first, second = rekey_sa(1), rekey_sa(2)
    one, both = holding(rekeys=[first]), holding(rekeys=[first, second])
    assert between(NOTHING, one) == (first.join,)
    assert between(one, both) == ()
    assert between(both, holding(rekeys=[second])) == ()
    assert between(both, NOTHING) == (LeaveMulticast(GROUP, "239.255.84.8", 848),)


def test_a_new_address_is_joined_before_the_old_one_is_left() -> None:
    moved = rekey_sa(1, address="239.255.84.9")
    commands = between(holding(rekeys=[rekey_sa(1)]), holding(rekeys=[moved]))
    assert [type(command) for command in commands] == [JoinMulticast, LeaveMulticast]


def _random_holding(random: Random) -> Holding:
    sas = {}
    for _ in range(random.randrange(6)):
        number = random.randrange(1, 8)
        sas[number] = data_sa(
            number,
            generation=random.randrange(1, 4),
            port=5000 + random.randrange(2),
            key=bytes((random.randrange(2),)) * 36,
            active=random.random() < 0.5,
        )
    addresses = [f"239.255.84.{random.randrange(8, 11)}" for _ in range(random.randrange(4))]
    rekeys = [rekey_sa(n, address=address) for n, address in enumerate(addresses)]
    return holding(*sas.values(), rekeys=rekeys)


@pytest.mark.parametrize("seed", range(200))
def test_a_data_plane_that_obeys_has_what_is_held(seed: int) -> None:
    """Whichever way it goes; the simulated one complains of what makes no sense."""
    random, plane, held = Random(seed), SimulatedDataPlane(), NOTHING
    for _ in range(10):
        after = _random_holding(random)
        plane.execute(between(held, after))
        held = after
        assert plane.installed == {sa.key: sa.install for sa in held.data_sas}
        assert plane.joined == {(sa.join.address, 848) for sa in held.rekey_sas}
        assert plane.sending >= {sa.key for sa in held.data_sas if sa.active}
