"""INFORMATIONAL on the registration SA: liveness and Delete (RFC 7296 sections 1.4, 2.4)."""

from __future__ import annotations

from gcks.iana import NotifyType
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload


def error_response(notify: NotifyType, data: bytes = b"") -> tuple[Payload, ...]:
    """Refuse a request of the server."""
    return (Notify(notify, data),)
