"""The JSON Schema of a line of events, made of the events' own fields."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from typing import Any, Final

from gcks import events as e
from gcks.daemon.control.event_lines import MISSED, SCHEMA_VERSION

_PLAIN: Final = {str: "string", int: "integer", float: "number", bool: "boolean"}


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema of a line: one alternative for each event."""
    missed = _line_schema(MISSED, {"count": {"type": "integer"}}, ["count"])
    kinds = sorted(e.KINDS, key=lambda kind: kind.name)
    return {"oneOf": [*map(_schema_of, kinds), missed]}


def _schema_of(kind: type[e.Event]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    properties = {field.name: _type_schema(hints[field.name]) for field in fields(kind)}
    always = [name for name, told in properties.items() if told != {"type": "string"}]
    return _line_schema(kind.name, properties, always)  # empty texts are left out


def _line_schema(name: str, properties: dict[str, Any], required: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "schema_version": {"const": SCHEMA_VERSION},
            "at": {"type": "string", "format": "date-time"},
            "event": {"const": name},
            **properties,
        },
        "required": ["schema_version", "at", "event", *required],
        "additionalProperties": False,
    }


def _type_schema(hint: Any) -> dict[str, Any]:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {
            "enum": [
                member.value if isinstance(member.value, str) else member.name for member in hint
            ]
        }
    if typing.get_origin(hint) is tuple:
        return {"type": "array", "items": _type_schema(typing.get_args(hint)[0])}
    return {"type": _PLAIN[hint]}
