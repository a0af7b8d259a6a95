"""INFORMATIONAL on the registration SA: liveness and Delete (RFC 7296 sections 1.4, 2.4)."""

from __future__ import annotations

from collections.abc import Sequence

from gcks.iana import ExchangeType, NotifyType, ProtocolId
from gcks.ike.legality import Rule, check
from gcks.wire.delete import Delete
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload

DELETE_IKE_SA = Delete(ProtocolId.IKE, 0, ())


def closes_ike_sa(payloads: Sequence[Payload]) -> bool:
    """Tell whether the server's request deletes the IKE SA.

    An empty request is a liveness check.  Raises PeerError.
    """
    contents = check(Rule(ExchangeType.INFORMATIONAL, is_response=False), payloads)
    return any(one.protocol == ProtocolId.IKE for one in contents.all(Delete))


def error_response(notify: NotifyType, data: bytes = b"") -> tuple[Payload, ...]:
    """Refuse a request of the server."""
    return (Notify(notify, data),)
