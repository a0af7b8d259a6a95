"""What a member can do that is authenticated, authorized, and no friend of its operator.

Shows gcks/keyserver/exchanges.py, gcks/keyserver/peers.py and gcks/keyserver/pushing.py.
"""

from __future__ import annotations

import os
from dataclasses import replace

from gcks.change import Change
from gcks.iana import ExchangeType, NotifyType
from gcks.ike.ike_rekey import Parent, begin
from gcks.ike.secured import LINGER_SECONDS
from gcks.keyserver.commands import Exclude, RekeyGroup
from gcks.wire.delete import Delete
from gcks.wire.header import decode_header
from gcks.wire.notify import Notify
from tests.support.initiator import DEMO, GSA_KD, Initiator, Server, group_sender, kinds
from tests.support.world import SERVER_SETTINGS, group_policy, inband

NAME = "keyid:demo"
LEAVING = Notify(NotifyType.REGISTRATION_FAILED)


def order(server: Server, command: Exclude | RekeyGroup) -> Change:
    change = server.engine.command(command, server.now)
    assert change.refusal is None
    return change


def told(change: Change, peer: Initiator) -> list[str]:
    """Return what a peer is told over its IKE SA."""
    mine = [t.octets for t in change.transmits if decode_header(t.octets).spi_i == peer.spi_i]
    return [kind for octets in mine for kind in kinds(peer.read(octets))]


def test_who_leaves_over_one_ike_sa_is_told_nothing_over_another() -> None:
    """Else an excluded GM would be told all new keys: it was no member when it was excluded."""
    server = Server([inband()])
    listening, leaving = Initiator(port=500), Initiator(port=501)
    listening.register(server)
    leaving.register(server)
    change = server.receive(leaving.request(ExchangeType.GSA_REGISTRATION, DEMO, LEAVING), leaving)
    assert told(change, listening) == [Delete.__name__], "the IKE SA was open for that alone"
    order(server, Exclude(NAME, "identity", ("fqdn:gm1.dev",), "op"))
    assert not order(server, RekeyGroup(NAME)).transmits


def test_an_ike_sa_that_serves_no_member_is_deleted_with_the_next_push() -> None:
    """Whatever has ended the membership: the groups know who is a member, not the front."""
    server = Server([inband()])
    peer = Initiator()
    peer.register(server)
    server.engine.groups[NAME].state.members.remove("fqdn:gm1.dev")
    assert told(order(server, RekeyGroup(NAME)), peer) == [Delete.__name__]
    assert not order(server, RekeyGroup(NAME)).transmits


def test_who_was_told_the_rekey_sa_before_is_told_in_band_that_the_group_starts_over() -> None:
    """It isn't among those that know no Rekey SA, and doesn't listen to multicast any more."""
    server = Server([replace(group_policy(), inband_senders=True)])
    peer, other = Initiator("sender1"), Initiator("gm1", port=501)
    other.register(server)
    peer.register(server)
    peer.ask(server, ExchangeType.GSA_REGISTRATION, DEMO, group_sender())
    change = order(server, Exclude(NAME, "identity", ("fqdn:gm1.dev",), "op"))
    assert not server.engine.groups[NAME].state.members.identities()
    assert set(told(change, peer)) == {Delete.__name__}


def test_who_registers_over_an_ike_sa_that_is_replaced_leaves_none_for_ever() -> None:
    """It is told changes over the new one; the old one goes, as nobody asks whether it lives."""
    server = Server([inband()])
    peer = Initiator()
    peer.register(server)
    parent, offer = Parent(peer.suite, peer.keys.sk_d), SERVER_SETTINGS.ike_proposals
    request = begin(parent, offer, os.urandom(8), os.urandom, optimized=False)
    peer.ask(server, ExchangeType.CREATE_CHILD_SA, *request.payloads(0))
    assert kinds(peer.ask(server, ExchangeType.GSA_REGISTRATION, DEMO)) == GSA_KD
    (transmit,) = server.wait(LINGER_SECONDS).transmits
    assert kinds(peer.read(transmit.octets)) == [Delete.__name__]
