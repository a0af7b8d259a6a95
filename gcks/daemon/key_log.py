"""A key table for Wireshark, for development only: whoever reads it reads the registrations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from gcks.iana import Encr, Integ
from gcks.keyserver.gsa_auth import IkeKeyLogEntry

_ENCR: Final = {
    (Encr.AES_GCM_16, 128): "AES-GCM-128 with 16 octet ICV [RFC5282]",
    (Encr.AES_GCM_16, 192): "AES-GCM-192 with 16 octet ICV [RFC5282]",
    (Encr.AES_GCM_16, 256): "AES-GCM-256 with 16 octet ICV [RFC5282]",
    (Encr.AES_CBC, 128): "AES-CBC-128 [RFC3602]",
    (Encr.AES_CBC, 192): "AES-CBC-192 [RFC3602]",
    (Encr.AES_CBC, 256): "AES-CBC-256 [RFC3602]",
}
_INTEG: Final = {
    Integ.NONE: "NONE [RFC4306]",
    Integ.HMAC_SHA2_256_128: "HMAC_SHA2_256_128 [RFC4868]",
    Integ.HMAC_SHA2_384_192: "HMAC_SHA2_384_192 [RFC4868]",
    Integ.HMAC_SHA2_512_256: "HMAC_SHA2_512_256 [RFC4868]",
}


def wireshark_line(entry: IkeKeyLogEntry) -> str:
    """Return one line of Wireshark's ikev2_decryption_table; "" where it can't decrypt."""
    encr = _ENCR.get((Encr(entry.encr), entry.encr_bits or 0))
    integ = _INTEG.get(Integ(entry.integ))
    if encr is None or integ is None:
        return ""
    octets = (entry.spi_i, entry.spi_r, entry.sk_ei, entry.sk_er)
    first = ",".join(part.hex() for part in octets)
    return f'{first},"{encr}",{entry.sk_ai.hex()},{entry.sk_ar.hex()},"{integ}"'


class KeyLogFile:
    """Appends a line for each IKE SA to a file that only its owner reads."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __call__(self, entry: IkeKeyLogEntry) -> None:
        line = wireshark_line(entry)
        if line:
            os.write(self._descriptor, f"{line}\n".encode())
