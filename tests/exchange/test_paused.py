"""Requests to a group that waits for its key: they are held, and answered when it is there.

Shows gcks/keyserver/paused.py, and who keeps the IKE SA meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from gcks.change import Change, MakeKey
from gcks.crypto.signature import SigningKey
from gcks.daemon.control.requests import ShowRequest
from gcks.daemon.control.state import ShownServer, show
from gcks.errors import LocalError
from gcks.events import IkeSaClosed, MemberRegistered
from gcks.iana import ExchangeType
from gcks.keyserver.commands import RekeyGroup
from gcks.keyserver.paused import LONGEST_PAUSE_SECONDS
from gcks.wire.identification import Identity, IDg
from tests.support.initiator import DEMO, Initiator, Server, only
from tests.support.world import SERVER_SETTINGS, group_policy

SLOW = IDg(Identity.parse("keyid:slow"))
KEY = SigningKey.generate("rsa-pss").to_pkcs8()


def serve(**settings: float) -> Server:
    """Serve `demo`, and `slow`, which waits for an RSA key."""
    slow = group_policy("slow", number=9)
    assert slow.rekey is not None
    slow = replace(slow, rekey=replace(slow.rekey, authentication="rsa-pss"))
    return Server(("demo", slow), settings=replace(SERVER_SETTINGS, **settings))  # type: ignore[arg-type]


def met_need(server: Server) -> Change:
    """Let the key arrive."""
    (wait,) = server.started.waits
    assert isinstance(wait.need, MakeKey)
    return server.engine.resume(wait.token, KEY, server.now)


def pass_time(server: Server, seconds: float) -> list[bytes]:
    """Let time pass in small steps; return what the server sends."""
    sent: list[bytes] = []
    for _ in range(round(seconds * 2)):
        sent += [
            transmit.octets
            for transmit in server.wait(0.5).transmits
            if not transmit.path.remote.host.startswith("239.")
        ]
    return sent


@pytest.mark.parametrize("seconds", [4.0, 8.0, 29.0])
@pytest.mark.parametrize("liveness", [5.0, 60.0])
def test_a_member_is_registered_when_the_key_is_there(seconds: float, liveness: float) -> None:
    server = serve(liveness_seconds=liveness)
    peer = Initiator("gm1").meet(server)
    assert server.receive(peer.auth(SLOW), peer).transmits == []
    assert pass_time(server, seconds) == []  # the peer would not know of what: it has no answer
    change = met_need(server)
    only(change, MemberRegistered)
    (answer,) = [transmit for transmit in change.transmits if transmit.path == peer.path]
    peer.read(answer.octets)
    sent = pass_time(server, SERVER_SETTINGS.ike_sa_idle_seconds + 1)
    assert sent  # and from then on the IKE SA is as short-lived as any other


def test_a_further_registration_waits_as_well() -> None:
    server = serve()
    peer = Initiator("gm1").meet(server)
    peer.read(server.answer(peer.auth(DEMO), peer))
    assert server.receive(peer.request(ExchangeType.GSA_REGISTRATION, SLOW), peer).transmits == []
    assert pass_time(server, 20.0) == []
    change = met_need(server)
    only(change, MemberRegistered)


def test_what_waits_for_too_long_ends() -> None:
    server = serve()
    peer = Initiator("gm1").meet(server)
    server.receive(peer.auth(SLOW), peer)
    pass_time(server, LONGEST_PAUSE_SECONDS + 0.5)
    change = met_need(server)
    assert not [event for event in change.events if isinstance(event, MemberRegistered)]
    assert only(change, IkeSaClosed)


def test_an_operator_is_told_that_a_group_waits() -> None:
    server = serve()
    shown = cast(
        ShownServer,
        SimpleNamespace(
            engine=server.engine,
            config=SimpleNamespace(listening=()),
            started_at=0.0,
            now=lambda: server.now,
        ),
    )
    overview = show(shown, ShowRequest(do="show", what="server")).model_dump()
    assert (overview["groups"], overview["groups_not_ready"]) == (1, 1)
    for what in ("groups", "members", "rekeys"):
        with pytest.raises(LocalError, match="slow is not ready yet"):
            show(shown, ShowRequest(do="show", what=what, group="keyid:slow"))
    refusal = server.engine.command(RekeyGroup("keyid:slow"), server.now).refusal
    assert "is not ready yet" in str(refusal)
    met_need(server)
    listing = server.engine.listing(server.now)
    assert [group.group for group in listing.groups("keyid:slow")] == ["keyid:slow"]
    with pytest.raises(LocalError, match="there is no group keyid:nope; there is keyid:demo"):
        listing.groups("keyid:nope")
