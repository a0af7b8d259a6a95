"""What was decided is told and kept, whatever happens next: newcomers, refusals, faults.

A newcomer that must not read the past makes new keys, and everybody is told.  A refusal
takes nothing back that was decided before it.  After an exception that nobody expected,
what the server has in memory is what its journal says.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from gcks.datagrams import Transmit
from gcks.errors import RefusalReason
from gcks.events import Event, RegistrationRefused, SaCreated
from gcks.journal import JournalEntry, MessageIdReserved, SaSaved
from gcks.keyserver.commands import RekeyGroup
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.outcome import Outcome
from gcks.wire.header import decode_header
from tests.exchange.demo import ATD, World, group_policy, keys_of, state
from tests.exchange.memory_store import replay
from tests.exchange.network import MemberNode, ServerNode, Weather
from tests.property.worlds.memory import check_memory

GROUP = "keyid:demo"
EVERY = 0.5
"""Seconds between packets."""
HIDING = replace(group_policy(), backward_access=True)
KINDS = {
    "multicast": HIDING,
    "in-band senders": replace(HIDING, inband_senders=True),
    "all in-band": replace(HIDING, rekey=None),
}


def world_of(policy: GroupPolicy) -> World:
    return World(groups=(policy,), weather=Weather(least_delay=0.01, most_delay=0.01))


def used(sender: MemberNode) -> set[bytes]:
    """Return the SPIs that a sender has sent on."""
    return {one.spi for one in sender.plane.history if type(one).__name__ == "ActivateSa"}


def told(member: MemberNode) -> set[bytes]:
    """Return the SPIs that a member was told."""
    return {one.spi for one in member.plane.history if type(one).__name__ == "InstallSa"}


# --- newcomers ------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", KINDS.values(), ids=KINDS)
def test_a_newcomers_keys_reach_all_others(policy: GroupPolicy) -> None:
    """RFC 9838 sections 2.4 and 3: one newcomer at 30 s, a sender until 500 s."""
    world = world_of(policy)
    sender, receiver = world.member("sender1"), world.member("gm1")
    world.run(2 * ATD)
    world.network.start_traffic(sender, EVERY, 500.0)
    world.run(29.9)
    assert world.network.traffic.unreadable == 0
    newcomer = world.member("gm2", at=30.0)
    world.run(30.0 + 2 * ATD)
    unreadable = world.network.traffic.unreadable
    assert unreadable <= (ATD + 1) / EVERY, "what the newcomer must not read"
    world.run(500.0)
    assert world.network.traffic.unreadable == unreadable
    assert used(sender) <= told(receiver)
    assert sender.plane.sending <= set(newcomer.plane.installed)


# --- refusals -------------------------------------------------------------------------------


class Recorded:
    """Everything that a world's server committed, and what left after each commit."""

    def __init__(self, world: World) -> None:
        self.outcomes: list[Outcome] = []
        self._server_did = world.network._server_did
        world.network._server_did = self.did  # type: ignore[method-assign]

    def did(self, node: ServerNode, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._server_did(node, outcome)

    def unreserved(self) -> list[int]:
        """Return the Message IDs that were used and could be used again after a crash."""
        reserved: dict[bytes, int] = {}
        found = []
        for outcome in self.outcomes:
            reserved |= _reserved(outcome.journal)
            for spi, message_id in _sent(outcome.transmits):
                found += [message_id] if message_id >= reserved.get(spi, 0) else []
        return found

    def unsaved(self) -> set[str]:
        """Return the SPIs of SAs that were made and are in no journal."""
        entries = [entry for outcome in self.outcomes for entry in outcome.journal]
        events: list[Event] = [event for outcome in self.outcomes for event in outcome.events]
        saved = {entry.spi.hex() for entry in entries if isinstance(entry, SaSaved)}
        return {event.spi for event in events if isinstance(event, SaCreated)} - saved


def _reserved(journal: Sequence[JournalEntry]) -> dict[bytes, int]:
    return {e.spi: e.next_message_id for e in journal if isinstance(e, MessageIdReserved)}


def _sent(transmits: Sequence[Transmit]) -> list[tuple[bytes, int]]:
    headers = [decode_header(one.octets) for one in transmits if one.multicast]
    return [(header.spi_i + header.spi_r, header.message_id) for header in headers]


def hold_memory_against_journal(world: World) -> None:
    assert world.network.server is not None
    stored = {one.group: one for one in replay(world.network.server.journal)}
    check_memory(world.server.groups, stored, world.network.now)


def test_a_refusal_loses_nothing_that_was_decided_before_it() -> None:
    """Section 2.5.1: no Sender-ID is left for a newcomer, for whom new keys were made."""
    world = world_of(replace(HIDING, sender_id_bits=1, max_sender_ids_per_request=1))
    recorded = Recorded(world)
    world.member("sender1")
    world.member("sender2")
    world.run(30.0)
    hold_memory_against_journal(world)
    world.member("sender3", at=30.0)
    for _ in range(20):
        world.run(world.network.now + 0.005)
        hold_memory_against_journal(world)
    assert world.network.server is not None
    (refused, *_) = world.network.server.all(RegistrationRefused)
    assert refused.reason is RefusalReason.NO_SENDER_ID
    world.run(40.0)
    hold_memory_against_journal(world)
    assert recorded.unreserved() == []
    assert recorded.unsaved() == set()


# --- faults ----------------------------------------------------------------------------------


class Breaking(Random):
    """Gives so many octet strings, then one exception, then goes on."""

    def __init__(self, after: int) -> None:
        super().__init__(after)
        self._left = after

    def randbytes(self, octets: int) -> bytes:
        self._left -= 1
        if self._left == -1:
            raise ZeroDivisionError("a fault of the test's")
        return super().randbytes(octets)

    @property
    def has_broken(self) -> bool:
        return self._left < 0


def break_down(world: World, after: int) -> Breaking:
    """Let what draws entropy for the n-th time from now on break down, once."""
    breaking = Breaking(after)
    world.network.random = breaking
    return breaking


def all_is_kept(world: World, members: Sequence[MemberNode]) -> None:
    """Memory is what the journal says, and no member was told anything else."""
    hold_memory_against_journal(world)
    assert world.network.server is not None
    entries = [one for one in world.network.server.journal if isinstance(one, SaSaved)]
    saved = {(entry.spi, entry.keymat) for entry in entries}
    for member in members:
        assert state(member) == "registered"
        assert keys_of(member) <= saved


@pytest.mark.parametrize("after", range(4))
def test_a_fault_in_an_operators_rekey_leaves_memory_as_the_journal_is(after: int) -> None:
    """The next registration is given only what the store knows."""
    world = world_of(group_policy())
    first = world.member("gm1")
    world.run(10.0)
    breaking = break_down(world, after)
    try:
        outcome = world.server.command(RekeyGroup(GROUP), world.network.now)
    except ZeroDivisionError:
        outcome = None
    if outcome is not None:
        world.network.server_did(outcome)
    assert breaking.has_broken
    newcomer = world.member("gm2", at=10.5)
    world.run(60.0)
    all_is_kept(world, [first, newcomer])


@pytest.mark.parametrize("after", range(4))
def test_a_fault_in_a_registration_leaves_memory_as_the_journal_is(
    after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GSA_AUTH arrives at 30.03 s; some of what it draws makes new keys for the newcomer."""
    network = sys.modules[Weather.__module__]
    monkeypatch.setattr(network, "_no_internal_errors", lambda _: None)
    world = world_of(HIDING)
    first = world.member("gm1")
    newcomer = world.member("gm2", at=30.0)
    world.run(30.025)
    breaking = break_down(world, after)
    world.run(30.035)
    assert breaking.has_broken
    hold_memory_against_journal(world)
    world.run(200.0)
    all_is_kept(world, [first, newcomer])
