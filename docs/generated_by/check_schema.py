"""The JSON Schema of `gcks check --json`."""

from __future__ import annotations

from typing import Any

from gcks.daemon.config.check import SCHEMA_VERSION
from gcks.daemon.config.schema import DIALECT


def check_schema() -> dict[str, Any]:
    """Return the JSON Schema of `gcks check --json`."""
    types = {"file": "string", "line": "integer", "key": "string"}
    types |= {"reason": "string", "remedy": "string"}
    problem = {
        "type": "object",
        "properties": {
            **{name: {"type": kind} for name, kind in types.items()},
            "warning": {"type": "boolean"},
        },
        "required": [*types, "warning"],
        "additionalProperties": False,
    }
    properties = {
        "schema_version": {"const": SCHEMA_VERSION},
        "file": {"type": "string"},
        "usable": {"type": "boolean"},
        "summary": {"type": "string"},
        "problems": {"type": "array", "items": problem},
    }
    return {
        "$schema": DIALECT,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
