"""Wireshark's key tables: ikev2_decryption_table and esp_sa.

Both live in Wireshark's profile directory; the algorithms have Wireshark's own
names, and what it can't decrypt has no line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final

from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry, KeyLogEntry
from gcks.iana import Encr, Integ, ProtocolId
from gcks.ike.key_log_entry import IkeKeyLogEntry
from gcks.wire.header import IKE_SPI_OCTETS

IKE_TABLE: Final = "ikev2_decryption_table"
ESP_TABLE: Final = "esp_sa"

_IKE_ENCR: Final = {
    (Encr.AES_GCM_16, 128): "AES-GCM-128 with 16 octet ICV [RFC5282]",
    (Encr.AES_GCM_16, 192): "AES-GCM-192 with 16 octet ICV [RFC5282]",
    (Encr.AES_GCM_16, 256): "AES-GCM-256 with 16 octet ICV [RFC5282]",
    (Encr.AES_CBC, 128): "AES-CBC-128 [RFC3602]",
    (Encr.AES_CBC, 192): "AES-CBC-192 [RFC3602]",
    (Encr.AES_CBC, 256): "AES-CBC-256 [RFC3602]",
}
_IKE_INTEG: Final = {
    Integ.NONE: "NONE [RFC4306]",
    Integ.HMAC_SHA2_256_128: "HMAC_SHA2_256_128 [RFC4868]",
    Integ.HMAC_SHA2_384_192: "HMAC_SHA2_384_192 [RFC4868]",
    Integ.HMAC_SHA2_512_256: "HMAC_SHA2_512_256 [RFC4868]",
}
_ESP_ENCR: Final = {
    Encr.AES_GCM_16: "AES-GCM with 16 octet ICV [RFC4106]",
    Encr.AES_CBC: "AES-CBC [RFC3602]",
}
_ESP_INTEG: Final = {
    Integ.NONE: "NULL",
    Integ.HMAC_SHA2_256_128: "HMAC-SHA-256-128 [RFC4868]",
    Integ.HMAC_SHA2_384_192: "HMAC-SHA-384-192 [RFC4868]",
    Integ.HMAC_SHA2_512_256: "HMAC-SHA-512-256 [RFC4868]",
}
_ANY: Final = "*"


def tables(entries: Iterable[KeyLogEntry]) -> Mapping[str, str]:
    """Return the content of each table file, by its name."""
    known = list(entries)
    return {IKE_TABLE: _join(map(ike_line, known)), ESP_TABLE: _join(map(esp_line, known))}


def _join(lines: Iterable[str]) -> str:
    """Put the lines together, each once."""
    return "".join(f"{line}\n" for line in dict.fromkeys(lines) if line)


def ike_line(entry: KeyLogEntry) -> str:
    """Return a line of the IKEv2 table for an IKE SA or a Rekey SA; "" where there is none.

    A Rekey SA's SPI stands in both SPI fields of the header (RFC 9838 section
    4.1), and its keys are the same either way.
    """
    if isinstance(entry, IkeKeyLogEntry):
        keys = (entry.sk_ei, entry.sk_er, entry.sk_ai, entry.sk_ar)
        return _ike_line((entry.spi_i, entry.spi_r), entry, keys)
    if entry.protocol != ProtocolId.GIKE_UPDATE:
        return ""
    halves = entry.spi[:IKE_SPI_OCTETS], entry.spi[IKE_SPI_OCTETS:]
    return _ike_line(halves, entry, (entry.key_e, entry.key_e, entry.key_a, entry.key_a))


def _ike_line(
    spis: tuple[bytes, bytes], entry: KeyLogEntry, keys: tuple[bytes, bytes, bytes, bytes]
) -> str:
    encr = _IKE_ENCR.get((Encr(entry.encr or 0), entry.encr_bits or 0))
    integ = _IKE_INTEG.get(Integ(entry.integ))
    if encr is None or integ is None:
        return ""
    e_i, e_r, a_i, a_r = (key.hex() for key in keys)
    return f'{spis[0].hex()},{spis[1].hex()},{e_i},{e_r},"{encr}",{a_i},{a_r},"{integ}"'


def esp_line(entry: KeyLogEntry) -> str:
    """Return a line of the ESP table; "" for anything but ESP that Wireshark can decrypt."""
    if isinstance(entry, IkeKeyLogEntry) or entry.protocol != ProtocolId.ESP:
        return ""
    encr = _ESP_ENCR.get(Encr(entry.encr or 0))
    integ = _ESP_INTEG.get(Integ(entry.integ))
    if encr is None or integ is None:
        return ""
    cells = (
        _version(entry), _address(entry.source), _address(entry.destination),
        f"0x{entry.spi.hex()}", encr, _key(entry.key_e), integ, _key(entry.key_a),
    )  # fmt: skip
    return ",".join(f'"{cell}"' for cell in cells)


def _key(key: bytes) -> str:
    return f"0x{key.hex()}" if key else ""


def _address(selector: str) -> str:
    """Return an address, "*" for a range; without an IPv6 scope, which could have a quote in it."""
    try:
        return str(ip_address(ip_address(selector).packed))
    except ValueError:
        return _ANY


def _version(entry: GroupSaKeyLogEntry) -> str:
    return "IPv6" if ":" in entry.destination + entry.source else "IPv4"
