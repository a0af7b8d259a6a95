"""ESP packets, made by the RFCs without code of gcks."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry
from gcks.iana import Encr, Integ, ProtocolId
from tests.support import captures


def esp_gcm(spi: bytes, keys: GroupSaKeyLogEntry, inner: bytes) -> bytes:
    """RFC 4106: SPI, sequence number and IV; the salt is the end of the key."""
    head, iv = spi + (1).to_bytes(4, "big"), (7).to_bytes(8, "big")
    key, salt = keys.key_e[:-4], keys.key_e[-4:]
    return head + iv + AESGCM(key).encrypt(salt + iv, padded(inner, 4), head)


def padded(inner: bytes, block: int) -> bytes:
    """RFC 4303 section 2.4: padding, its length, Next Header 4 (IPv4)."""
    pad = -(len(inner) + 2) % block
    return inner + bytes(range(1, pad + 1)) + bytes((pad, 4))


SPI = bytes.fromhex("e41b724d")
GCM = GroupSaKeyLogEntry(
    "keyid:demo", ProtocolId.ESP, SPI, "0.0.0.0-255.255.255.255", captures.DESTINATION,
    Encr.AES_GCM_16, 256, Integ.NONE, bytes(range(36)), b"", b"",
)  # fmt: skip
