"""What a peer of another major version is told (RFC 7296 section 2.5, RFC 9395)."""

from __future__ import annotations

from typing import Final

from gcks.datagrams import Path
from gcks.errors import Discard, DropReason
from gcks.events import RequestRefused
from gcks.iana import ExchangeType, NotifyType
from gcks.wire.header import FLAG_RESPONSE, Header
from gcks.wire.message import encode_message
from gcks.wire.notify import Notify

_ANSWER: Final = (Notify(NotifyType.INVALID_MAJOR_VERSION),)


def wrong_version(header: Header, path: Path) -> tuple[bytes, RequestRefused]:
    """Tell a request the version we speak.  Raises `Discard`.

    Never more octets than came in: anybody can have sent it.
    """
    exchange, message_id = ExchangeType(header.exchange), header.message_id
    octets = encode_message(
        header.spi_i, header.spi_r, exchange, FLAG_RESPONSE, message_id, _ANSWER
    )
    cause = f"major version {header.major}"
    if header.is_response or header.length < len(octets):
        raise Discard(DropReason.UNKNOWN_VERSION, cause)
    notify = NotifyType.INVALID_MAJOR_VERSION
    return octets, RequestRefused(str(path.remote), exchange, notify, cause)
