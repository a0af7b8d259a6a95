"""All GSA_REKEY messages that ever left, read by one who has every key of the journal.

What is sent is in the journal; one Message ID has one content; no IV comes twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gcks.crypto.errors import IntegrityError
from gcks.crypto.key_wrap import unwrap
from gcks.datagrams import Transmit
from gcks.group.key_download import rekey_keys
from gcks.group.rekey_message import open_part, open_whole, rekey_cipher
from gcks.iana import ExchangeType, PayloadType
from gcks.ike.protect import Fragment, Inner, join_fragments
from gcks.wire.header import HEADER_OCTETS, Header, decode_header
from gcks.wire.kd import KeyDownload, WrappedKey
from gcks.wire.payloads import decode_chain
from tests.property.worlds.broken import hold
from tests.property.worlds.ledger import Ledger, SaLife

_SK_BODY, _SKF_BODY = HEADER_OCTETS + 4, HEADER_OCTETS + 8
_IV_OCTETS = 8

KeyStep = tuple[bytes, bytes]
"""A key, and one that it opens."""


@dataclass(frozen=True)
class Told:
    """What one message tells: who has the key of `over` and the first of a step gets the second."""

    over: bytes
    """Keying material of the Rekey SA that it came over."""
    steps: tuple[KeyStep, ...]


class Air:
    """What was sent by multicast."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.told: list[Told] = []
        self._contents: dict[tuple[bytes, int, int], bytes] = {}
        """(Rekey SA, Message ID, fragment) -> octets."""
        self._ivs: dict[tuple[bytes, bytes], bytes] = {}
        self._parts: dict[tuple[bytes, int], dict[int, Fragment]] = {}

    def take(self, transmits: Sequence[Transmit]) -> None:
        """Look at what leaves after a commit."""
        for transmit in transmits:
            if transmit.multicast:
                self._hear(transmit.octets)

    def _hear(self, octets: bytes) -> None:
        header = decode_header(octets)
        spi, message_id = header.spi_i + header.spi_r, header.message_id
        hold(header.exchange == ExchangeType.GSA_REKEY, "sent", "other multicast than GSA_REKEY")
        hold(spi in self._ledger.keymats, "sent", f"Rekey SA {spi.hex()} is in no journal")
        reserved = self._ledger.reserved.get(spi, 0)
        if not self._ledger.is_removed(spi):  # else nobody will use it again
            text = f"Message ID {message_id}, reserved below {reserved}"
            hold(message_id < reserved, "sent", text)
        place = spi, message_id, _number(octets, header)
        if place in self._contents:
            hold(self._contents[place] == octets, "message-ids", f"{message_id} has two contents")
            return
        self._contents[place] = octets
        self._check_iv(spi, octets, header)
        inner = self._open(self._ledger.keymats[spi], octets, header)
        if inner is not None:
            self._read(self._ledger.keymats[spi], inner)

    def _check_iv(self, spi: bytes, octets: bytes, header: Header) -> None:
        at = _SKF_BODY if header.next_payload == PayloadType.SKF else _SK_BODY
        iv = octets[at : at + _IV_OCTETS]
        same = self._ivs.setdefault((spi, iv), octets) == octets
        hold(same, "ivs", f"{iv.hex()} twice under Rekey SA {spi.hex()}")

    def _open(self, rekey: SaLife, octets: bytes, header: Header) -> Inner | None:
        keys = rekey_keys(rekey.keymat, rekey.policy)
        cipher = rekey_cipher(rekey.policy.transforms, keys)
        if header.next_payload != PayloadType.SKF:
            return open_whole(octets, header, cipher)
        part = open_part(octets, header, cipher)
        parts = self._parts.setdefault((rekey.spi, header.message_id), {})
        parts[part.number] = part
        if len(parts) < part.total:
            return None
        return join_fragments([parts[number] for number in sorted(parts)])

    def _read(self, rekey: SaLife, inner: Inner) -> None:
        for payload in decode_chain(inner.first, inner.octets):
            if isinstance(payload, KeyDownload):
                self.told.append(Told(rekey.keymat, self._steps(rekey, payload)))

    def _steps(self, rekey: SaLife, kd: KeyDownload) -> tuple[KeyStep, ...]:
        steps = []
        for bag in kd.group_bags:
            sa = self._ledger.keymats.get(bag.spi)
            hold(sa is not None, "sent", f"SA {bag.spi.hex()} is in no journal")
            for wrapped in bag.sa_keys:
                around, inside = self._opened(rekey, wrapped)
                hold(sa and inside == sa.keymat, "sent", f"other keys for SA {bag.spi.hex()}")
                steps.append((around, inside))
        for wrapped in (key for bag in kd.member_bags for key in bag.wrap_keys):
            around, inside = self._opened(rekey, wrapped)
            hold(inside in self._ledger.tree_keys, "sent", "a tree key that is in no journal")
            steps.append((around, inside))
        return tuple(steps)

    def _opened(self, rekey: SaLife, wrapped: WrappedKey) -> KeyStep:
        """Return which key it is wrapped under, and what is inside."""
        gsk_w = rekey_keys(rekey.keymat, rekey.policy).gsk_w
        tree = [key for key, group in self._ledger.tree_keys.items() if group == rekey.group]
        for key in [gsk_w] if wrapped.kwk_id == 0 else reversed(tree):
            try:
                inside = unwrap(key, wrapped.encrypted_key)
            except IntegrityError:
                continue
            return (rekey.keymat if wrapped.kwk_id == 0 else key), inside
        hold(False, "sent", f"a key wrapped under one that is in no journal, KWK {wrapped.kwk_id}")
        raise AssertionError


def _number(octets: bytes, header: Header) -> int:
    """Return the number of a fragment, 0 for a whole message."""
    if header.next_payload != PayloadType.SKF:
        return 0
    return int.from_bytes(octets[_SK_BODY : _SK_BODY + 2], "big")
