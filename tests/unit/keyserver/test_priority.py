"""Known senders: who is one, for how long, and how much that is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.journal import MemberSaved
from gcks.keyserver import priority
from gcks.keyserver.commands import Reload
from gcks.keyserver.groups.membership import Membership
from gcks.keyserver.groups.policy import MANY, SINGLE
from gcks.keyserver.priority import PREFERRED_PER_SECOND, KnownSenders
from gcks.keyserver.rates import BURST_SECONDS
from gcks.wire.traffic_selector import TrafficSelector
from tests.support.group_stage import esp, single
from tests.support.world import PSK, SERVER_SETTINGS, World, group_policy

SENDER = "10.0.0.2"
"""The first member of a world."""


def saved(address: str, *, sender: bool) -> MemberSaved:
    return MemberSaved("g", f"fqdn:{address}", address, (), b"", 0.0, sender=sender)


def test_a_host_is_known_by_its_address_however_written() -> None:
    known = KnownSenders()
    known.add("2001:db8::1")
    known.add("192.0.2.1")
    assert "2001:0db8:0:0::0001" in known
    assert "192.0.2.1" in known
    assert "2001:db8::2" not in known, "a neighbour is somebody else"
    assert "192.0.2.2" not in known


def test_stored_senders_are_known_and_receivers_are_not() -> None:
    known = KnownSenders()
    members = Membership()
    members.put(saved("10.1.1.1", sender=True))
    members.put(saved("10.1.1.2", sender=False))
    for address in members.sender_addresses():
        known.add(address)
    assert "10.1.1.1" in known
    assert "10.1.1.2" not in known


def test_addresses_of_single_senders_are_known_from_the_policy() -> None:
    one = single("one", "fqdn:s1.dev", "10.2.2.2")
    network = replace(one, name="net", source=TrafficSelector.any(4, 17))
    many = esp("many", source=TrafficSelector.single("10.2.2.3", 17, 0))
    assert (one.senders, many.senders) == (SINGLE, MANY)
    known = KnownSenders()
    known.learn((replace(group_policy(), data_sas=(one, network, many)),))
    assert len(known) == 1
    assert "10.2.2.2" in known


def test_the_host_that_registered_longest_ago_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priority, "MAX_SENDERS", 3)
    known = KnownSenders()
    for number in (1, 2, 3, 1, 4):
        known.add(f"10.0.0.{number}")
    assert [f"10.0.0.{n}" in known for n in (1, 2, 3, 4)] == [True, False, True, True]


def test_each_host_is_preferred_so_often() -> None:
    known = KnownSenders()
    for host in ("10.0.0.1", "10.0.0.2"):
        known.add(host)
    most = int(PREFERRED_PER_SECOND * BURST_SECONDS)
    assert [known.prefer("10.0.0.1", 0.0) for _ in range(most + 2)] == [True] * most + [False] * 2
    assert known.prefer("10.0.0.2", 0.0)
    assert not known.prefer("10.0.0.3", 0.0)
    assert known.prefer("10.0.0.1", 1.0 / PREFERRED_PER_SECOND)


# --- in the server ----------------------------------------------------------------------


def test_who_registers_as_a_sender_stays_known_when_the_group_starts_over() -> None:
    world = World()
    world.member("sender1")
    world.member("gm1")
    world.run(5.0)
    assert SENDER in world.server.senders
    assert len(world.server.senders) == 1
    other = replace(group_policy(), key_management="lkh")
    reload = Reload(SERVER_SETTINGS, PSK, {other.name: other})
    world.network.server_did(world.server.command(reload, world.network.now))
    assert len(world.server.groups["keyid:demo"].state.members) == 0
    assert SENDER in world.server.senders


def test_a_server_that_starts_again_knows_its_senders() -> None:
    world = World()
    world.member("sender1")
    world.run(5.0)
    world.start_server()
    assert SENDER in world.server.senders


def test_a_reload_makes_senders_known() -> None:
    world = World()
    one = single("one", "fqdn:s1.dev", "10.2.2.2")
    policy = replace(group_policy(), data_sas=(*group_policy().data_sas, one))
    world.network.server_did(
        world.server.command(Reload(SERVER_SETTINGS, PSK, {policy.name: policy}), 1.0)
    )
    assert "10.2.2.2" in world.server.senders
