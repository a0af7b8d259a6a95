"""One event of every kind, with fields of the declared types."""

from __future__ import annotations

import dataclasses
import typing
from enum import Enum
from typing import Any

from gcks import events as e


def sample(kind: type[e.Event], **fields: Any) -> e.Event:
    """Make an event with values of the right types, and with these fields."""
    hints = typing.get_type_hints(kind)
    made = {field.name: _value(hints[field.name], field.name) for field in dataclasses.fields(kind)}
    return kind(**{**made, **fields})


def _value(hint: Any, name: str) -> Any:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    if hint == tuple[str, ...]:
        return (f"one of {name}", "another")
    known: dict[Any, Any] = {str: f"some {name}", int: 1, float: 1.5, bool: True}
    return known.get(hint, (1, 2))
