"""An error that nobody expects, wherever it strikes, costs a member time and nothing else.

Shows gcks/member/engine.py, gcks/member/registrar.py and gcks/member/ike_session.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from gcks.datagrams import Path
from gcks.errors import DropReason
from gcks.events import DatagramDropped, Registering
from gcks.iana import ExchangeType
from gcks.keyserver.commands import RekeyGroup
from gcks.member.change import MemberChange
from gcks.member.engine import MemberEngine
from gcks.wire.header import decode_header
from tests.support.faults import fault_at
from tests.support.network import MemberNode
from tests.support.world import SERVER_SETTINGS, World, group_policy, keys_of

STRIDE = 7
"""Of the places where a fault could strike, one in so many is tried."""
GROUPS = (group_policy(), replace(group_policy("two", number=9), rekey=None))
"""One that is rekeyed by multicast, one that is rekeyed in-band."""
MOST_ATTEMPTS = 8
BOUNDARY = "MemberEngine._receive"
"""What it raises is caught; where the rest of a call raises, the process ends."""
SETTINGS = replace(SERVER_SETTINGS, ike_sa_rekey_seconds=12.0)


class FaultyEngine:
    """A member's engine that fails once, in one of the datagrams of one exchange."""

    def __init__(self, engine: MemberEngine, exchange: int, call: int) -> None:
        self._engine, self._exchange, self._call = engine, exchange, call
        self.called: list[str] | None = None
        """The functions called up to the fault."""
        self.errors: list[DatagramDropped] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def receive(self, datagram: bytes, path: Path, now: float) -> MemberChange:
        if self.called is not None or decode_header(datagram).exchange != self._exchange:
            return self._engine.receive(datagram, path, now)
        with fault_at(self._call, "member", "ike", "group", within=BOUNDARY) as self.called:
            change = self._engine.receive(datagram, path, now)
        return self._without_error(change)

    def _without_error(self, change: MemberChange) -> MemberChange:
        """Keep the error: the network takes none for normal."""
        drops = [event for event in change.events if isinstance(event, DatagramDropped)]
        self.errors = [drop for drop in drops if drop.reason is DropReason.INTERNAL_ERROR]
        change.events = [event for event in change.events if event not in self.errors]
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
