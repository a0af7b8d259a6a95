"""The end of an IKE SA that is no longer needed: our only request (RFC 9838 section 2.3.4).

<--  HDR, SK{D}          sent again with growing delays, a bounded number of times
-->  HDR, SK{}
"""

from __future__ import annotations

from typing import Final

from gcks.iana import ExchangeType, ProtocolId
from gcks.ike.retransmission import Retransmission
from gcks.keyserver.ike_sa import Established
from gcks.outcome import Transmit
from gcks.wire.delete import Delete

_DELETE_IKE_SA: Final = (Delete(ProtocolId.IKE, 0, ()),)


def send_delete(
    sa: Established, settings: Retransmission, now: float
) -> tuple[Transmit, ...] | None:
    """Send the Delete, or send it again bit-identical; None where all tries are used up."""
    channel = sa.channel
    if channel.pending is not None:
        return channel.repeat(settings, now)
    return channel.request(ExchangeType.INFORMATIONAL, _DELETE_IKE_SA, settings, now)
