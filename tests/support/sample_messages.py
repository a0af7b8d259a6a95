"""Messages with their keys: what a capture and a key log hold."""

from __future__ import annotations

from typing import Any

from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry
from gcks.iana import Encr, Integ, ProtocolId
from gcks.ike.key_log_entry import IkeKeyLogEntry
from tests.support.captures import with_length
from tests.support.seeds import messages, vectors

IKE = IkeKeyLogEntry(
    b"initiatr", b"respondr", Encr.AES_GCM_16, 256, Integ.NONE, b"e" * 36, b"f" * 36, b"", b""
)
INIT = with_length(next(messages()))
REKEYS = vectors("rekey")


def rekey_entry(vector: dict[str, Any]) -> GroupSaKeyLogEntry:
    """Return the key log's entry for a vector's Rekey SA."""
    given = vector["inputs"]
    return GroupSaKeyLogEntry(
        "keyid:demo", ProtocolId.GIKE_UPDATE, bytes.fromhex(given["rekey_spi"]), "192.0.2.1",
        "239.1.2.3", given["encr"], 256, given["integ"], bytes.fromhex(given["GSK_e"]),
        bytes.fromhex(given["GSK_a"]), bytes.fromhex(given["GSK_w"]),
    )  # fmt: skip


def rekey_messages(vector: dict[str, Any]) -> list[bytes]:
    """Return a vector's datagrams."""
    return list(map(bytes.fromhex, vector["datagrams"]))
