"""config/decode.schema.json: the JSON Schema of `gcks decode --json`."""

from __future__ import annotations

from typing import Any, Final

from gcks.daemon.config.schema import DIALECT
from gcks.decode.report import SCHEMA_VERSION

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


def decode_schema() -> dict[str, Any]:
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
        "$schema": DIALECT,
        "title": "gcks decode --json",
        **whole,
        "$defs": _definitions(),
    }
