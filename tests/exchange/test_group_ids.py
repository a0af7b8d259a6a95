"""Which identities can name a group (RFC 9838 section 4.2).

Shows gcks/wire/identification.py and gcks/keyserver/groups/groups.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.events import MemberRegistered, RequestRefused
from gcks.keyserver.commands import Reload
from gcks.wire.identification import Identity, IDg
from tests.support.initiator import Initiator, Server, notifies, only
from tests.support.world import PSK, SERVER_SETTINGS, group_policy


@pytest.mark.parametrize(
    "text",
    [
        "keyid:demo",
        "keyid:hex:00ff10",
        "ipv4:239.1.2.3",
        "ipv6:ff15::9838",
        "fqdn:video.example",
        "rfc822:video@example.org",
    ],
)
def test_every_expected_type_of_idg_names_a_group(text: str) -> None:
    """ID_KEY_ID MUST, the address and name types SHOULD be supported."""
    server, peer = Server(()), Initiator("gm1")
    identity = Identity.parse(text)
    policy = replace(group_policy(), id=identity)
    server.engine.command(Reload(SERVER_SETTINGS, PSK, {policy.name: policy}), 0.0)
    peer.meet(server)
    outcome = server.receive(peer.auth(IDg(identity)), peer)
    registered = only(outcome, MemberRegistered)
    assert isinstance(registered, MemberRegistered)
    assert registered.group == text
    assert not any(isinstance(event, RequestRefused) for event in outcome.events)
    assert notifies(peer.read(outcome.transmits[0].octets)) == []
