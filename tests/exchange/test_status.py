"""What metrics and screens show, held against what has really happened to both sides.

Shows gcks/keyserver/listing.py, gcks/member/status.py and gcks/daemon/metrics.py.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from gcks.events import MemberRegistered, RekeySent, SaCreated
from gcks.iana import ProtocolId
from gcks.keyserver.commands import RekeyGroup
from gcks.keyserver.groups.policy import SINGLE, GroupPolicy
from gcks.member.status import MembershipStatus
from gcks.wire.traffic_selector import TrafficSelector
from tests.support.initiator import DEMO, Initiator, Server, notifies
from tests.support.network import WALL_AT_ZERO, MemberNode
from tests.support.world import DATA_LIFETIME, DTD, REKEY_LIFETIME, World, group_policy

RENEWED_AT = DATA_LIFETIME - max(0.1 * DATA_LIFETIME, DTD + 2.0 + 5.0)
"""Age at which the first SA is renewed, in seconds."""

CONFIGURED = {
    "replay_protected_sas": 1,
    "expected_members": 7,
    "capacity": 1_000_000,
    "mode": "tunnel",
    "key_management": "simple",
    "rekeyed_by": "multicast",
    "counter_mode": True,
}
"""What is shown of `policy`."""

FIRST_SENDER = "10.0.0.2"
"""The address of the first member that joins a world."""


def policy(*, renew_seconds: int | None = None) -> GroupPolicy:
    """Make a group of two SAs, one of them with a single sender; without reminders.

    `renew_seconds` is the age at which the other SA is renewed.
    """
    whole = group_policy(data_sas=2)
    assert whole.rekey is not None
    shared, single = whole.data_sas
    single = replace(
        single,
        senders=SINGLE,
        sender="fqdn:sender1.dev",
        source=TrafficSelector.single(FIRST_SENDER, 17, 0),
        lifetime_seconds=2 * DATA_LIFETIME,
    )
    return replace(
        whole,
        data_sas=(replace(shared, renew_seconds=renew_seconds), single),
        rekey=replace(whole.rekey, reminders=False),
        expected_members=7,
    )


class Watched:
    """One group with a sender and a receiver, who come at 1 s."""

    def __init__(self, renew_seconds: int | None = None) -> None:
        self.world = World(groups=(policy(renew_seconds=renew_seconds),))
        self.sender = self.world.member("sender1", at=1.0)
        self.other = self.world.member("gm1", at=1.0)

    @property
    def now(self) -> float:
        return self.world.network.now

    def run(self, until: float) -> None:
        self.world.run(until)

    def rekey(self) -> None:
        """Have everything renewed now."""
        command = RekeyGroup("keyid:demo")
        self.world.network.server_did(self.world.server.command(command, self.now))

    def events(self, kind: type) -> list:  # type: ignore[type-arg]
        assert self.world.network.server is not None
        return self.world.network.server.all(kind)

    def shown(self) -> dict[str, object]:
        return asdict(self.world.server.status(self.now).groups[0])

    def membership(self, node: MemberNode) -> MembershipStatus:
        return node.engine.status(self.now).groups[0]


def spi_of(watched: Watched, protocol: ProtocolId) -> str:
    return str([e.spi for e in watched.events(SaCreated) if e.protocol is protocol][-1])


def test_a_group_before_anybody_came() -> None:
    watched = Watched()
    watched.run(0.5)
    shown = watched.shown()
    left = shown.pop("sender_ids_left")
    assert isinstance(left, int) and left > 0
    del shown["spread_seconds"]
    assert shown == CONFIGURED | {
        "group": "keyid:demo",
        "members": 0,
        "senders": 0,
        "next_message_id": 0,
        "rekey_spi": spi_of(watched, ProtocolId.GIKE_UPDATE),
        "data_sas": 2,
        "last_rekey_at": None,
        "rekey_expires_in_seconds": REKEY_LIFETIME - 0.5,
        "excluded": 0,
        "data_sa_expires_in_seconds": DATA_LIFETIME - 0.5,
        "renewal_due_in_seconds": RENEWED_AT - 0.5,
    }


def test_a_group_after_registrations_and_rekeys() -> None:
    watched = Watched()
    watched.run(0.5)
    before = watched.shown()
    watched.run(100.0)
    watched.rekey()
    watched.run(700.0)  # by its age the first SA was renewed meanwhile, over the new Rekey SA
    shown = watched.shown()
    ids = sum(event.sender_ids for event in watched.events(MemberRegistered))
    assert ids == 1
    sent = [event for event in watched.events(RekeySent) if event.copy == 1]
    assert [event.message_id for event in sent] == [0, 0]
    renewed = 100.0 + RENEWED_AT
    assert shown == CONFIGURED | {
        "group": "keyid:demo",
        "members": 2,
        "senders": 1,
        "next_message_id": 1,
        "rekey_spi": spi_of(watched, ProtocolId.GIKE_UPDATE),
        "data_sas": 2,
        "sender_ids_left": before["sender_ids_left"] - ids,  # type: ignore[operator]
        "last_rekey_at": pytest.approx(WALL_AT_ZERO + renewed, abs=0.1),
        "rekey_expires_in_seconds": pytest.approx(REKEY_LIFETIME - 600.0, abs=0.1),
        "excluded": 0,
        "data_sa_expires_in_seconds": pytest.approx(renewed + DATA_LIFETIME - 700.0, abs=0.1),
        "renewal_due_in_seconds": pytest.approx(renewed + RENEWED_AT - 700.0, abs=0.1),
        "spread_seconds": watched.membership(watched.other).spread_seconds,
    }


def test_a_group_that_is_rekeyed_in_band_has_no_rekey_sa() -> None:
    world = World(groups=(replace(policy(), rekey=None),))
    (group,) = world.server.status(0.0).groups
    assert (group.rekey_spi, group.rekey_expires_in_seconds) == ("", None)
    assert (group.rekeyed_by, group.key_management) == ("in-band", "none")


def test_ike_sas_are_counted_by_state() -> None:
    server, peers = Server(), [Initiator(name) for name in ("gm1", "gm2", "gm3")]

    def shown() -> tuple[int, int]:
        status = server.engine.status(server.now)
        return status.half_open, status.established

    assert shown() == (0, 0)
    for peer in peers:
        peer.meet(server)
    assert shown() == (3, 0)
    assert notifies(peers[0].read(server.answer(peers[0].auth(DEMO), peers[0]))) == []
    assert shown() == (2, 1)


def test_a_member_tells_what_it_holds() -> None:
    watched = Watched()
    watched.run(0.5)
    empty = watched.membership(watched.sender)
    assert (empty.state, empty.data_sas, empty.data_sa_ends_in_seconds) == ("waiting", (), None)
    watched.run(10.0)
    held = watched.membership(watched.sender)
    assert held.state == "registered"
    assert len(held.data_sas) == 2 and len(held.sender_ids) == 1
    assert held.next_message_id == 0
    assert held.data_sa_ends_in_seconds == pytest.approx(DATA_LIFETIME - 10.0, abs=1.0)
    protected = [sa.replay_protection for sa in watched.membership(watched.other).data_sas]
    assert sorted(protected) == [False, True]


def test_a_replaced_sa_is_not_the_one_that_ends_first() -> None:
    """While it waits for its end, its successor is there."""
    watched = Watched()
    watched.run(100.0)
    watched.rekey()
    watched.run(105.0)
    held = watched.membership(watched.other)
    assert len(held.data_sas) == 4
    assert min(sa.expires_in_seconds or 0 for sa in held.data_sas) < DTD
    assert held.data_sa_ends_in_seconds == pytest.approx(DATA_LIFETIME - 5.0, abs=1.0)


def test_a_member_counts_the_rekeys_that_it_missed() -> None:
    """RFC 9838 section 2.4.1: each GSA_REKEY over one Rekey SA has the next Message ID."""
    watched = Watched(renew_seconds=30)
    watched.run(10.0)
    watched.other.deaf = True
    watched.run(85.0)
    assert {event.message_id for event in watched.events(RekeySent)} == {0, 1}
    watched.other.deaf = False
    assert watched.membership(watched.other).rekeys_missed == 0
    watched.run(100.0)
    missed = [watched.membership(one).rekeys_missed for one in (watched.sender, watched.other)]
    assert missed == [0, 2]
    assert watched.membership(watched.other).next_message_id == 3
