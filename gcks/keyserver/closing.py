"""The end of an IKE SA that is no longer needed: our only request (RFC 9838 section 2.3.4).

<--  HDR, SK{D}          sent again with growing delays, a bounded number of times
-->  HDR, SK{}
"""

from __future__ import annotations

from typing import Final

from gcks.errors import Discard, DropReason
from gcks.iana import ExchangeType, ProtocolId
from gcks.keyserver.ike_sa import Established, PendingRequest
from gcks.keyserver.settings import ServerSettings
from gcks.outcome import Transmit
from gcks.wire.delete import Delete
from gcks.wire.header import Header

_DELETE_IKE_SA: Final = (Delete(ProtocolId.IKE, 0, ()),)


def send_delete(sa: Established, settings: ServerSettings) -> Transmit | None:
    """Send the Delete, or send it again bit-identical; None where all tries are used up."""
    if sa.pending is None:
        exchange, message_id = ExchangeType.INFORMATIONAL, sa.next_message_id
        octets = sa.protection.seal(exchange, 0, message_id, _DELETE_IKE_SA)
        sa.pending = PendingRequest(exchange, message_id, octets)
        sa.next_message_id += 1
    elif sa.pending.tries >= settings.retransmit_tries:
        return None
    else:
        sa.pending.tries += 1
    return Transmit(sa.pending.octets, sa.path)


def retransmit_seconds(sa: Established, settings: ServerSettings) -> float:
    """Return how long to wait for the response to the newest try."""
    tries = sa.pending.tries if sa.pending is not None else 1
    return settings.retransmit_first_seconds * settings.retransmit_factor ** (tries - 1)


def check_response(sa: Established, header: Header, datagram: bytes) -> None:
    """Hold a response against our request.  Raises `Discard`; any content will do."""
    if sa.pending is None:
        raise Discard(DropReason.WRONG_ROLE, "a response to nothing")
    expected = sa.pending.exchange, sa.pending.message_id
    if (header.exchange, header.message_id) != expected:
        raise Discard(DropReason.OUT_OF_WINDOW, f"a response with Message ID {header.message_id}")
    sa.protection.open(datagram, header)
