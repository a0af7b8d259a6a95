"""Opening GSA_REKEY messages in tests as a member does, whole or in fragments."""

from __future__ import annotations

from collections.abc import Sequence

from gcks.crypto.encr import Cipher
from gcks.errors import Discard, DropReason, WireError
from gcks.group.rekey_message import open_part, open_whole, verify_rekey
from gcks.ike.protect import join_fragments
from gcks.wire.header import Header, decode_header
from gcks.wire.payloads import Payload
from gcks.wire.transform import Transform


def open_rekey(
    datagram: bytes, header: Header, cipher: Cipher, gcauth: Transform, auth_key: bytes | None
) -> tuple[Payload, ...]:
    """Open one whole message.  Raises `Discard`."""
    return verify_rekey(header, open_whole(datagram, header, cipher), gcauth, auth_key)


def open_fragments(
    datagrams: Sequence[bytes], cipher: Cipher, gcauth: Transform, auth_key: bytes | None
) -> tuple[Payload, ...]:
    """Raises `Discard` for a set that isn't complete and in order."""
    headers = [decode_header(datagram) for datagram in datagrams]
    pairs = zip(datagrams, headers, strict=True)
    parts = [open_part(datagram, header, cipher) for datagram, header in pairs]
    try:
        whole = join_fragments(parts)
    except WireError as error:
        raise Discard(DropReason.MALFORMED, str(error)) from None
    return verify_rekey(headers[0], whole, gcauth, auth_key)
