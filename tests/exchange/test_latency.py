"""Since when an answer or a rekey is waited for: what the latency metrics are made of.

Shows gcks/keyserver: what its outcomes and events say of times.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.change import Change
from gcks.datagrams import Awaited
from gcks.events import MemberRegistered
from gcks.iana import ExchangeType
from gcks.keyserver.commands import RekeyGroup, Reload
from gcks.wire.identification import Identity, IDg
from tests.support.initiator import DEMO, Initiator, Server, group_sender, only
from tests.support.world import PSK, SERVER_SETTINGS

OTHER = IDg(Identity.parse("keyid:other"))


def awaited(outcome: Change) -> list[Awaited | None]:
    return [transmit.awaited for transmit in outcome.transmits]


def met(server: Server, name: str = "gm1") -> Initiator:
    """Begin an IKE SA at 10 s; GSA_AUTH comes 1.5 s later."""
    server.now = 10.0
    peer = Initiator(name).meet(server)
    server.now = 11.5
    return peer


def test_a_registration_in_gsa_auth_is_awaited_since_ike_sa_init() -> None:
    server = Server()
    peer = met(server)
    outcome = server.receive(peer.auth(DEMO), peer)
    assert awaited(outcome) == [Awaited(ExchangeType.GSA_AUTH, 10.0)]
    registered = only(outcome, MemberRegistered)
    assert isinstance(registered, MemberRegistered) and registered.seconds == 1.5


def test_the_time_holds_where_a_reload_changes_that_of_half_open_sas() -> None:
    server = Server()
    peer = met(server)
    settings = replace(SERVER_SETTINGS, half_open_seconds=300.0)
    groups = {name: group.policy for name, group in server.engine.groups.items()}
    server.engine.command(Reload(settings, PSK, groups), server.now)
    outcome = server.receive(peer.auth(DEMO), peer)
    assert awaited(outcome) == [Awaited(ExchangeType.GSA_AUTH, 10.0)]


def test_a_registration_to_a_further_group_is_awaited_since_its_request() -> None:
    server = Server(("demo", "other"))
    peer = met(server)
    peer.read(server.answer(peer.auth(DEMO), peer))
    server.now = 20.0
    outcome = server.receive(peer.request(ExchangeType.GSA_REGISTRATION, OTHER), peer)
    assert awaited(outcome) == [Awaited(ExchangeType.GSA_REGISTRATION, 20.0)]


def test_a_repeated_answer_is_not_measured_again() -> None:
    server = Server()
    peer = met(server)
    request = peer.auth(DEMO)
    first, again = server.receive(request, peer), server.receive(request, peer)
    assert again.transmits == first.transmits
    assert awaited(again) == [None]


@pytest.mark.parametrize(
    "asked", [(OTHER,), (DEMO, group_sender())], ids=["no such group", "may not send"]
)
def test_a_refusal_is_not_measured(asked: tuple) -> None:  # type: ignore[type-arg]
    server = Server()
    peer = met(server)
    assert awaited(server.receive(peer.auth(*asked), peer)) == [None]
    assert awaited(server.receive(peer.request(ExchangeType.GSA_REGISTRATION, *asked), peer)) == [
        None
    ]


def test_only_the_first_copy_of_a_rekey_is_measured() -> None:
    server = Server()
    peer = met(server)
    peer.read(server.answer(peer.auth(DEMO), peer))
    outcome = server.engine.command(RekeyGroup("keyid:demo"), 30.0)
    assert awaited(outcome) == [Awaited(ExchangeType.GSA_REKEY, 30.0)]
    later = [server.engine.handle_timeout(30.0 + seconds) for seconds in (1.0, 2.0)]
    copies = [one for outcome in later for one in outcome.transmits if one.multicast]
    assert [one.awaited for one in copies] == [None, None]
