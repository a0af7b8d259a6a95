"""Reading GSA_REKEY: what a multicast datagram must be before anybody looks at what it says.

RFC 9838 sections 2.4.1.2 to 2.4.1.4.  Nothing changes before integrity and signature are
verified, but that authentic fragments are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gcks.errors import Discard, DropReason
from gcks.group.rekey_message import open_part, open_whole, verify_rekey
from gcks.iana import PayloadType
from gcks.ike.protect import Inner
from gcks.member.held_sas import RekeySa
from gcks.member.holding import Holding
from gcks.wire.header import FLAG_INITIATOR, MAJOR_VERSION, Header
from gcks.wire.payloads import Payload


@dataclass(frozen=True, slots=True)
class RekeyMessage:
    """A GSA_REKEY message that the GCKS has sent: integrity and signature are verified."""

    sa: RekeySa
    """The current Rekey SA, which it came over."""
    message_id: int
    payloads: tuple[Payload, ...]
    datagram: bytes = field(repr=False)
    """To know its copies by; b"" where it came in fragments."""

    @property
    def missed(self) -> int:
        """How many messages before it never came, by the Message IDs."""
        return self.message_id - self.sa.next_message_id


def read_rekey(
    holding: Holding, datagram: bytes, header: Header, now: float
) -> RekeyMessage | None:
    """Verify a datagram; None for a copy of what was followed, or a part of a message.

    Raises Discard for what can't be trusted.
    """
    spi = header.spi_i + header.spi_r
    sa, verifier = holding.rekey_sa(spi), holding.verifier
    if sa is None or verifier is None:
        raise Discard(DropReason.UNKNOWN_SPI)
    if _is_known_copy(sa, datagram, header):
        return None
    _check_header(header)
    if sa is not holding.current_rekey:
        # Ruling 28: only copies of older messages may still come over a replaced SA.
        raise Discard(DropReason.STALE, "a new message over a replaced Rekey SA")
    inner = _open(sa, datagram, header, now)
    if inner is None:
        return None
    payloads = verify_rekey(header, inner, verifier.gcauth, verifier.auth_key)
    whole = b"" if header.next_payload == PayloadType.SKF else datagram
    return RekeyMessage(sa, header.message_id, tuple(payloads), whole)


def _open(sa: RekeySa, datagram: bytes, header: Header, now: float) -> Inner | None:
    """Decrypt a message, or put it together from fragments (section 2.4.1.2)."""
    if header.next_payload != PayloadType.SKF:
        return open_whole(datagram, header, sa.cipher)
    fragment = open_part(datagram, header, sa.cipher)
    return sa.reassembly.add(fragment, is_response=False, message_id=header.message_id, now=now)


def _is_known_copy(sa: RekeySa, datagram: bytes, header: Header) -> bool:
    """Tell repeated copies, which the GCKS sends on purpose, from replays (section 2.4.1.3)."""
    if header.message_id >= sa.next_message_id:
        return False
    fragment = header.next_payload == PayloadType.SKF and not sa.last_datagram
    newest = header.message_id == sa.next_message_id - 1
    if datagram == sa.last_datagram or (newest and fragment):
        return True
    raise Discard(DropReason.REPLAY, f"Message ID {header.message_id}")


def _check_header(header: Header) -> None:
    """Ruling 10: response, version and reserved flags clear; the I flag is ignored."""
    if header.major != MAJOR_VERSION:
        raise Discard(DropReason.UNKNOWN_VERSION)
    if header.flags & ~FLAG_INITIATOR:
        raise Discard(DropReason.MALFORMED, "flags of a GSA_REKEY message")
