"""An error that nobody expects, wherever it strikes, costs a member time and nothing else.

Shows gcks/member/engine.py, gcks/member/registrar.py and gcks/member/ike_session.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from gcks.datagrams import Endpoint, Path
from gcks.errors import DropReason
from gcks.events import DatagramDropped, Registering
from gcks.iana import ExchangeType, PayloadType
from gcks.keyserver.commands import RekeyGroup
from gcks.member.change import MemberChange
from gcks.member.engine import MemberEngine
from gcks.wire.header import decode_header
from tests.support.faults import fault_at
from tests.support.network import MemberNode
from tests.support.world import SERVER_HOST, SERVER_SETTINGS, World, group_policy, keys_of

STRIDE = 7
"""Of the places where a fault could strike, one in so many is tried."""
GROUPS = (group_policy(), replace(group_policy("two", number=9), rekey=None))
"""One that is rekeyed by multicast, one that is rekeyed in-band."""
MOST_ATTEMPTS = 8
MOST_IN_FIVE_MINUTES = 24
"""For two groups, where each of many rekeys fails: without a pause it would be thousands."""
BOUNDARY = "MemberEngine._receive"
"""What it raises is caught; where the rest of a call raises, the process ends."""
SETTINGS = replace(SERVER_SETTINGS, ike_sa_rekey_seconds=12.0)


class FaultyEngine:
    """A member's engine that fails in the first datagram of an exchange, or in each."""

    def __init__(
        self, engine: MemberEngine, exchange: int, call: int, *, always: bool = False
    ) -> None:
        self._engine, self._exchange, self._call = engine, exchange, call
        self._always = always
        self.called: list[str] | None = None
        """The functions called up to the fault."""
        self.errors: list[DatagramDropped] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def receive(self, datagram: bytes, path: Path, now: float) -> MemberChange:
        over = self.called is not None and not self._always
        if over or decode_header(datagram).exchange != self._exchange:
            return self._engine.receive(datagram, path, now)
        with fault_at(self._call, "member", "ike", "group", within=BOUNDARY) as self.called:
            change = self._engine.receive(datagram, path, now)
        return self._without_error(change)

    def _without_error(self, change: MemberChange) -> MemberChange:
        """Keep the error: the network takes none for normal."""
        drops = [event for event in change.events if isinstance(event, DatagramDropped)]
        errors = [drop for drop in drops if drop.reason is DropReason.INTERNAL_ERROR]
        change.events = [event for event in change.events if event not in errors]
        self.errors += errors
        return change


def play(exchange: int, call: int) -> tuple[FaultyEngine, World, MemberNode]:
    """Let a member register to both groups and follow rekeys, with a fault on the way."""
    world = World(groups=GROUPS, settings=SETTINGS)
    member = world.member("gm1", groups=("demo", "two"))
    faulty = FaultyEngine(member.engine, exchange, call)
    member.engine = cast(MemberEngine, faulty)
    world.run(10.0)
    for group in GROUPS:
        world.network.server_did(world.server.command(RekeyGroup(group.name), world.network.now))
    world.run(100.0)
    return faulty, world, member


EXCHANGES = (
    ExchangeType.IKE_SA_INIT,
    ExchangeType.GSA_AUTH,
    ExchangeType.GSA_REGISTRATION,
    ExchangeType.GSA_INBAND_REKEY,
    ExchangeType.GSA_REKEY,
    ExchangeType.CREATE_CHILD_SA,
    ExchangeType.INFORMATIONAL,
)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_after_a_fault_all_is_as_if_there_had_been_none(exchange: ExchangeType) -> None:
    """Both groups are registered, with the newest SAs, and there was no rush to get there."""
    struck = 0
    for call in range(1, 5000, STRIDE):
        faulty, world, member = play(exchange, call)
        if faulty.called is None or len(faulty.called) < call:
            break
        place = faulty.called[-1]
        struck += 1
        assert len(faulty.errors) == 1, place
        assert {group.state for group in member.engine.status(0.0).groups} == {"registered"}, place
        current = {
            (sa.spi, sa.keymat) for group in world.server.groups.values() for sa in group.sas.data
        }
        assert current <= keys_of(member), place
        held = {sa.key for group in member.engine.groups for sa in group.holding.data_sas}
        assert held == set(member.plane.installed), place
        assert len(member.all(Registering)) <= MOST_ATTEMPTS, place
    assert struck


@pytest.mark.parametrize(
    ("exchange", "call"),
    [
        (ExchangeType.GSA_AUTH, 150),
        (ExchangeType.GSA_INBAND_REKEY, 60),
        (ExchangeType.GSA_REKEY, 60),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_fault_that_comes_again_and_again_is_no_storm(exchange: ExchangeType, call: int) -> None:
    """What can't be handled isn't asked for in a circle."""
    world = World(groups=GROUPS, settings=SETTINGS)
    member = world.member("gm1", groups=("demo", "two"))
    faulty = FaultyEngine(member.engine, exchange, call, always=True)
    member.engine = cast(MemberEngine, faulty)
    for second in range(10, 310, 50):
        world.run(float(second))
        for group in GROUPS:
            command = RekeyGroup(group.name)
            world.network.server_did(world.server.command(command, world.network.now))
    world.run(310.0)
    assert len(faulty.errors) >= 3
    assert len(member.all(Registering)) <= MOST_IN_FIVE_MINUTES


@pytest.mark.parametrize("exchange", [ExchangeType.INFORMATIONAL, ExchangeType.GSA_REKEY])
def test_a_fault_that_anybody_could_cause_costs_nothing(exchange: ExchangeType) -> None:
    """What isn't authentic ends no IKE SA, and makes nobody register again."""
    world = World(groups=GROUPS)
    member = world.member("gm1", groups=("demo", "two"))
    world.run(5.0)
    engine, session = member.engine, member.engine.session
    assert session is not None
    before = engine.status(5.0)
    protection = session.current().channel.protection
    spis = protection.spi_i + protection.spi_r
    if exchange is ExchangeType.GSA_REKEY:
        (rekey,) = engine.groups[0].holding.rekey_sas
        spis = rekey.spi
    body = bytes((0, 0, 0, 64)) + bytes(60)
    head = bytes((PayloadType.SK, 0x20, exchange, 0))
    forged = spis + head + bytes(4) + (28 + len(body)).to_bytes(4, "big") + body
    path = Path(Endpoint(member.host, 500), Endpoint(SERVER_HOST, 500))
    for call in range(1, 500):
        with fault_at(call, "member", "ike", "group", within=BOUNDARY) as called:
            change = engine.receive(forged, path, 5.0)
        assert not change.transmits and not change.data_plane
        assert [type(event) for event in change.events] == [DatagramDropped], called[-1]
        assert engine.status(5.0) == before
        if len(called) < call:
            (drop,) = change.events
            assert isinstance(drop, DatagramDropped)
            assert drop.reason is DropReason.BAD_INTEGRITY, "it came as far as that"
            return
    pytest.fail("it makes too many calls")
