"""The key log: one JSON object per line, written by the daemons, read by `gcks decode`.

    {"type": "gcks-key-log", "version": 1}
    {"type": "ike_sa", "spi_i": "...", "spi_r": "...", "encr": "AES_GCM_16", ...}
    {"type": "rekey_sa", "group": "keyid:demo", "spi": "...", ...}
    {"type": "data_sa", "group": "keyid:demo", "protocol": "ESP", "spi": "...", ...}

docs/decode.md has all fields.  Lines of other types are for readers of later
versions and are skipped; a line that is damaged is named and skipped, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from gcks.crypto.encr import encr_key_octets, integ_key_octets
from gcks.crypto.errors import CryptoError
from gcks.errors import LocalError
from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry, KeyLogEntry
from gcks.iana import Encr, Integ, ProtocolId, Registry
from gcks.ike.key_log_entry import IkeKeyLogEntry
from gcks.wire.gsa import SA_SPI_OCTETS
from gcks.wire.header import IKE_SPI_OCTETS

FORMAT: Final = "gcks-key-log"
VERSION: Final = 1
HEADER: Final = json.dumps({"type": FORMAT, "version": VERSION})

_IKE: Final = "ike_sa"
_REKEY: Final = "rekey_sa"
_DATA: Final = "data_sa"

R = TypeVar("R", bound=Registry)


@dataclass(frozen=True, slots=True)
class KeyLogContent:
    """What a key log holds, and what of it could not be read."""

    entries: tuple[KeyLogEntry, ...] = field(default=(), repr=False)
    problems: tuple[str, ...] = ()


# --- writing --------------------------------------------------------------------------


def encode_entry(entry: KeyLogEntry) -> str:
    """Return the line of one SA, without its end."""
    fields = _ike_fields(entry) if isinstance(entry, IkeKeyLogEntry) else _group_fields(entry)
    return json.dumps(fields)


def _ike_fields(entry: IkeKeyLogEntry) -> dict[str, Any]:
    return {
        "type": _IKE,
        "spi_i": entry.spi_i.hex(),
        "spi_r": entry.spi_r.hex(),
        **_algorithms(entry.encr, entry.encr_bits, entry.integ),
        "sk_ei": entry.sk_ei.hex(),
        "sk_er": entry.sk_er.hex(),
        "sk_ai": entry.sk_ai.hex(),
        "sk_ar": entry.sk_ar.hex(),
    }


def _group_fields(entry: GroupSaKeyLogEntry) -> dict[str, Any]:
    is_rekey = entry.protocol == ProtocolId.GIKE_UPDATE
    common = {
        "spi": entry.spi.hex(),
        "source": entry.source,
        "destination": entry.destination,
        **_algorithms(entry.encr, entry.encr_bits, entry.integ),
    }
    if is_rekey:
        keys = {"gsk_e": entry.key_e.hex(), "gsk_a": entry.key_a.hex(), "gsk_w": entry.key_w.hex()}
        return {"type": _REKEY, "group": entry.group, **common, **keys}
    keys = {"key_e": entry.key_e.hex(), "key_a": entry.key_a.hex()}
    protocol = str(ProtocolId(entry.protocol))
    return {"type": _DATA, "group": entry.group, "protocol": protocol, **common, **keys}


def _algorithms(encr: int | None, bits: int | None, integ: int) -> dict[str, Any]:
    name = None if encr is None else str(Encr(encr))
    return {"encr": name, "encr_bits": bits, "integ": str(Integ(integ))}


# --- reading --------------------------------------------------------------------------


def decode_key_log(text: str) -> KeyLogContent:
    """Read a key log.  Raises `LocalError` where it isn't one, or one of a later version."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines or not _is_header(lines[0][1]):
        raise LocalError(
            "this is no key log; `gcks serve --key-log FILE` and"
            " `gcks-member run --key-log FILE` write one"
        )
    entries: list[KeyLogEntry] = []
    problems: list[str] = []
    for number, line in lines:
        try:
            decoded = _decode_line(line)
        except (ValueError, KeyError, TypeError, CryptoError) as error:
            problems.append(f"line {number} of the key log can't be used: {_said(error)}")
            continue
        entries.extend(decoded)
    return KeyLogContent(tuple(entries), tuple(problems))


def _said(error: Exception) -> str:
    """Name the error without quoting the line, which holds keys."""
    if isinstance(error, json.JSONDecodeError):
        return "not JSON"
    return f"no {error}" if isinstance(error, KeyError) else str(error)


def _is_header(line: str) -> bool:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and fields.get("type") == FORMAT


def _decode_line(line: str) -> Iterable[KeyLogEntry]:
    try:
        fields = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(fields, dict):
        raise ValueError("no JSON object")
    kind = fields.get("type")
    if kind == FORMAT and fields.get("version") != VERSION:
        raise LocalError(
            f"a key log of version {fields.get('version')!s:.20}; this gcks reads version"
            f" {VERSION}: decode with the gcks that wrote it"
        )
    reader = _READERS.get(str(kind))
    return () if reader is None else (reader(fields),)


def _decode_ike(fields: dict[str, Any]) -> IkeKeyLogEntry:
    encr, bits, integ = _read_algorithms(fields)
    if encr is None:
        raise ValueError("an IKE SA without encryption")
    octets_e, octets_a = encr_key_octets(encr, bits), integ_key_octets(integ)
    return IkeKeyLogEntry(
        spi_i=_octets(fields, "spi_i", IKE_SPI_OCTETS),
        spi_r=_octets(fields, "spi_r", IKE_SPI_OCTETS),
        encr=encr,
        encr_bits=bits,
        integ=integ,
        sk_ei=_octets(fields, "sk_ei", octets_e),
        sk_er=_octets(fields, "sk_er", octets_e),
        sk_ai=_octets(fields, "sk_ai", octets_a),
        sk_ar=_octets(fields, "sk_ar", octets_a),
    )


def _decode_rekey(fields: dict[str, Any]) -> GroupSaKeyLogEntry:
    if fields["encr"] is None:
        raise ValueError("a Rekey SA without encryption")
    return _decode_group(fields, ProtocolId.GIKE_UPDATE, ("gsk_e", "gsk_a", "gsk_w"))


def _decode_data(fields: dict[str, Any]) -> GroupSaKeyLogEntry:
    protocol = _member_of(ProtocolId, fields["protocol"])
    if protocol not in (ProtocolId.ESP, ProtocolId.AH):
        raise ValueError("a Data-Security SA that is neither ESP nor AH")
    return _decode_group(fields, protocol, ("key_e", "key_a"))


def _decode_group(
    fields: dict[str, Any], protocol: ProtocolId, names: tuple[str, ...]
) -> GroupSaKeyLogEntry:
    encr, bits, integ = _read_algorithms(fields)
    sizes = (encr_key_octets(encr, bits) if encr is not None else 0, _integ_octets(integ))
    key_e, key_a = (_octets(fields, n, size) for n, size in zip(names, sizes, strict=False))
    return GroupSaKeyLogEntry(
        group=str(fields["group"]),
        protocol=protocol,
        spi=_octets(fields, "spi", SA_SPI_OCTETS[protocol]),
        source=str(fields["source"]),
        destination=str(fields["destination"]),
        encr=encr,
        encr_bits=bits,
        integ=integ,
        key_e=key_e,
        key_a=key_a,
        key_w=_hexadecimal(fields, names[2]) if len(names) > 2 else b"",
    )


def _integ_octets(integ: Integ) -> int:
    return 0 if integ == Integ.NONE else integ_key_octets(integ)


def _read_algorithms(fields: dict[str, Any]) -> tuple[Encr | None, int | None, Integ]:
    encr, bits = fields["encr"], fields["encr_bits"]
    if bits is not None and not isinstance(bits, int):
        raise ValueError("encr_bits is no number")
    name = None if encr is None else _member_of(Encr, encr)
    return name, bits, _member_of(Integ, fields["integ"])


def _member_of(registry: type[R], name: object) -> R:
    number = registry.__members__.get(name) if isinstance(name, str) else None
    if number is None:
        raise ValueError(f"an unknown {registry.__name__}")
    return number


def _hexadecimal(fields: dict[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(fields[name])
    except (ValueError, TypeError):
        raise ValueError(f"{name} is not hexadecimal") from None


def _octets(fields: dict[str, Any], name: str, size: int) -> bytes:
    octets = _hexadecimal(fields, name)
    if len(octets) != size:
        raise ValueError(f"{name} has {len(octets)} octets, not {size}")
    return octets


_READERS: Final[dict[str, Callable[[dict[str, Any]], KeyLogEntry]]] = {
    _IKE: _decode_ike,
    _REKEY: _decode_rekey,
    _DATA: _decode_data,
}
