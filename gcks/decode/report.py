"""Explanations as JSON, and the JSON Schema of it (config/decode.schema.json)."""

from __future__ import annotations

from typing import Any, Final

from gcks.decode.carriers import Carried, Census
from gcks.decode.model import ExplainedPayload, Explanation, Item, SaKeys
from gcks.decode.text import flags_of, kind_of, time_text
from gcks.decode.titles import EXCHANGES
from gcks.iana import ExchangeType, ProtocolId
from gcks.wire.header import Header

SCHEMA_VERSION: Final = 1
"""Of the whole answer; fields may be added without changing it."""


def message_json(explanation: Explanation) -> dict[str, Any]:
    """Return one message."""
    return {
        "number": explanation.number,
        **_carried(explanation.carried),
        "header": None if explanation.header is None else _header(explanation.header),
        "protection": explanation.protection.value,
        "checks": [_item(check) for check in explanation.checks],
        "payloads": [_payload(payload) for payload in explanation.payloads],
        "problem": explanation.problem or None,
        "repeats": explanation.repeats,
    }


def _carried(carried: Carried) -> dict[str, Any]:
    return {
        "packet": carried.packet,
        "time": time_text(carried.time) or None,
        "from": None if carried.source is None else str(carried.source),
        "to": None if carried.destination is None else str(carried.destination),
        "transport": carried.transport,
        "octets": len(carried.octets),
    }


def _header(header: Header) -> dict[str, Any]:
    return {
        "spi_i": header.spi_i.hex(),
        "spi_r": header.spi_r.hex(),
        "version": f"{header.major}.{header.version & 0x0F}",
        "exchange": str(ExchangeType(header.exchange)),
        "exchange_type": header.exchange,
        "kind": kind_of(header),
        "flags": flags_of(header),
        "message_id": header.message_id,
        "reference": EXCHANGES.get(header.exchange),
    }


def _payload(payload: ExplainedPayload) -> dict[str, Any]:
    return {
        "payload": payload.title,
        "name": payload.long_title,
        "reference": payload.reference,
        "octets": payload.octets,
        "critical": payload.critical,
        "problem": payload.problem or None,
        "items": [_item(item) for item in payload.items],
    }


def _item(item: Item) -> dict[str, Any]:
    return {"name": item.name, "value": item.value, "items": [_item(one) for one in item.items]}


def report(messages: list[dict[str, Any]], census: Census, group_sas: SaKeys) -> dict[str, Any]:
    """Return the whole answer."""
    return {
        "schema_version": SCHEMA_VERSION,
        "messages": messages,
        "packets": census.packets,
        "esp": [_esp(spi, count, group_sas) for spi, count in sorted(census.esp.items())],
        "left_out": dict(sorted(census.others.items())),
        "problem": census.problem or None,
    }


def _esp(spi: bytes, count: int, group_sas: SaKeys) -> dict[str, Any]:
    known = group_sas.get((ProtocolId.ESP, spi))
    return {"spi": spi.hex(), "packets": count, "group": None if known is None else known.group}


# --- the schema -----------------------------------------------------------------------

_TEXT: Final = {"type": "string"}
_MAYBE_TEXT: Final = {"type": ["string", "null"]}
_COUNT: Final = {"type": "integer", "minimum": 0}
_MAYBE_COUNT: Final = {"type": ["integer", "null"], "minimum": 0}
_ITEMS: Final = {"type": "array", "items": {"$ref": "#/$defs/item"}}


def _object(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has exactly these fields."""
    named = {name.rstrip("_"): schema for name, schema in properties.items()}
    return {
        "type": "object",
        "properties": named,
        "required": sorted(named),
        "additionalProperties": False,
    }


def _hex(octets: int) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^[0-9a-f]{{{2 * octets}}}$"}


def _definitions() -> dict[str, Any]:
    return {
        "item": _object(name=_TEXT, value=_TEXT, items=_ITEMS),
        "payload": _object(
            payload=_TEXT, name=_TEXT, reference=_TEXT, octets=_COUNT,
            critical={"type": "boolean"}, problem=_MAYBE_TEXT, items=_ITEMS,
        ),
        "header": _object(
            spi_i=_hex(8), spi_r=_hex(8), version=_TEXT, exchange=_TEXT, exchange_type=_COUNT,
            kind={"enum": ["request", "response", "one-way"]},
            flags={"type": "array", "items": _TEXT},
            message_id=_COUNT, reference=_MAYBE_TEXT,
        ),
        "message": _object(
            number=_COUNT, packet=_MAYBE_COUNT, time=_MAYBE_TEXT, from_=_MAYBE_TEXT,
            to=_MAYBE_TEXT, transport=_TEXT, octets=_COUNT,
            header={"anyOf": [{"$ref": "#/$defs/header"}, {"type": "null"}]},
            protection={"enum": ["clear", "decrypted", "encrypted", "fragment"]},
            checks=_ITEMS,
            payloads={"type": "array", "items": {"$ref": "#/$defs/payload"}},
            problem=_MAYBE_TEXT, repeats=_MAYBE_COUNT,
        ),
        "esp": _object(spi=_hex(4), packets=_COUNT, group=_MAYBE_TEXT),
    }  # fmt: skip


def schema() -> dict[str, Any]:
    """Return the JSON Schema of `gcks decode --json`."""
    whole = _object(
        schema_version={"const": SCHEMA_VERSION},
        messages={"type": "array", "items": {"$ref": "#/$defs/message"}},
        packets=_COUNT,
        esp={"type": "array", "items": {"$ref": "#/$defs/esp"}},
        left_out={"type": "object", "additionalProperties": _COUNT},
        problem=_MAYBE_TEXT,
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gcks decode --json",
        **whole,
        "$defs": _definitions(),
    }
