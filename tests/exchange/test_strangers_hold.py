"""What peers that are not authenticated can make the server hold.

Shows gcks/keyserver/auth_exchange.py and gcks/keyserver/ike_sa_table.py.
"""

from __future__ import annotations

import os

import pytest

from gcks.errors import DropReason
from gcks.iana import ExchangeType, NotifyType
from gcks.keyserver import ike_sa_table
from gcks.wire.header import FLAG_INITIATOR
from gcks.wire.identification import IDi
from gcks.wire.notify import Notify
from tests.support.initiator import DEMO, GSA_KD, Initiator, Server, dropped, kinds

FRAGMENTATION = Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)
PADDING = 40_000
"""A notification that nobody knows."""
ROOM = 100_000


class Stranger(Initiator):
    """A peer that sends its first message in fragments."""

    def begin(self, server: Server) -> None:
        payloads = [*self.init_payloads(), FRAGMENTATION]
        self.accept(server.answer(self.init(payloads=payloads), self))

    def fragments(self, octets: int) -> tuple[bytes, ...]:
        """Return a GSA_AUTH with so much beside what it needs."""
        payloads = (IDi(self.identity), *self.proof(), DEMO, Notify(PADDING, os.urandom(octets)))
        return self.protection.seal_messages(
            ExchangeType.GSA_AUTH, FLAG_INITIATOR, 1, payloads, 1200
        )


def test_incomplete_messages_of_strangers_are_bounded_over_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ike_sa_table, "MAX_HELD_OCTETS", ROOM)
    server = Server()
    strangers = [Stranger(f"gm{number}", port=1000 + number) for number in range(4)]
    for stranger in strangers:
        stranger.begin(server)
        for fragment in stranger.fragments(60_000)[:-1]:
            change = server.receive(fragment, stranger)
    table = server.engine.ike_sas
    assert dropped(change) is DropReason.LIMIT
    assert ROOM <= table.held_octets < ROOM + 3 * (ike_sa_table.USUAL_HELD_OCTETS + 1200)

    honest = Stranger("gm9", port=2000)
    honest.begin(server)
    *first, last = honest.fragments(4000)
    for fragment in first:
        assert not server.receive(fragment, honest).events
    assert kinds(honest.read(server.answer(last, honest)))[2:] == GSA_KD

    server.wait(60.0)
    assert table.held_octets == 0
