"""The keys of a key log, by what a message's header names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gcks.crypto.encr import Cipher, make_cipher
from gcks.decode.model import SaKeys
from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry, KeyLogEntry
from gcks.iana import ExchangeType, Integ, ProtocolId
from gcks.ike.key_log_entry import IkeKeyLogEntry
from gcks.wire.header import Header


class Opener(NamedTuple):
    """What opens a message, and the SA that it belongs to."""

    cipher: Cipher
    sa: str


class KeyRing:
    """Ciphers of IKE SAs and Rekey SAs, keys of all group SAs."""

    __slots__ = ("_ike", "_rekey", "group_sas")

    def __init__(self, entries: Iterable[KeyLogEntry] = ()) -> None:
        self._ike: dict[tuple[bytes, bytes, bool], Cipher] = {}
        self._rekey: dict[bytes, Opener] = {}
        group_sas: dict[tuple[int, bytes], GroupSaKeyLogEntry] = {}
        for entry in entries:
            if isinstance(entry, IkeKeyLogEntry):
                self._add_ike(entry)
                continue
            group_sas[entry.protocol, entry.spi] = entry
            if entry.protocol == ProtocolId.GIKE_UPDATE:
                self._add_rekey(entry)
        self.group_sas: SaKeys = group_sas

    def _add_ike(self, entry: IkeKeyLogEntry) -> None:
        for from_initiator, key_e, key_a in (
            (True, entry.sk_ei, entry.sk_ai),
            (False, entry.sk_er, entry.sk_ar),
        ):
            cipher = make_cipher(entry.encr, entry.integ, key_e, key_a)
            self._ike[entry.spi_i, entry.spi_r, from_initiator] = cipher

    def _add_rekey(self, entry: GroupSaKeyLogEntry) -> None:
        integ = entry.integ or Integ.NONE
        cipher = make_cipher(entry.encr or 0, integ, entry.key_e, entry.key_a)
        self._rekey[entry.spi] = Opener(cipher, f"Rekey SA of {entry.group}")

    def opener(self, header: Header) -> Opener | None:
        """Return what opens a message: by SPIs, and in an IKE SA by who sent it."""
        if header.exchange == ExchangeType.GSA_REKEY:
            return self._rekey.get(header.spi_i + header.spi_r)
        cipher = self._ike.get((header.spi_i, header.spi_r, header.from_initiator))
        return None if cipher is None else Opener(cipher, "IKE SA")
