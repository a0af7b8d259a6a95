"""How values stand in the file: what the JSON Schema says of them, and of their defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, Field, GetJsonSchemaHandler
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

KIND: Final = "x-kind"
"""The annotation in the schema that tells a time from another number or text."""

_TIMES: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_SIZES: Final = (("MiB", 1 << 20), ("KiB", 1 << 10))


class WithoutTitles(GenerateJsonSchema):
    """Makes schemas without titles that only repeat a key's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Notation:
    """Marks a type that the file writes otherwise than the model holds it."""

    kind: str
    """What people call it: time, size, identity ..."""
    schema: JsonSchemaValue
    """What may stand in the file."""
    write: Callable[[Any], Any] = _as_it_is
    """Turns the model's value into the file's, for the default in the schema."""

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> Any:
        return {**self.schema, KIND: self.kind}


def text(pattern: str | None = None, **more: Any) -> JsonSchemaValue:
    """Return the schema of a text, which fits the pattern as a whole."""
    return {"type": "string", **({"pattern": f"^({pattern})$"} if pattern else {}), **more}


def either(*choices: JsonSchemaValue, examples: Iterable[Any]) -> JsonSchemaValue:
    """Return the schema of a value that may be of several types."""
    return {"anyOf": [*choices], "examples": [*examples]}


def one_of(words: Iterable[str]) -> JsonSchemaValue:
    """Return the schema of a text that is one of these."""
    return {"type": "string", "enum": [*words]}


def bounds(least: int, most: int | None = None) -> Any:
    """Tell editors the limits of a number that the rules of groups check, with better reasons."""
    limits = {"minimum": least, "maximum": most}
    return Field(json_schema_extra={key: at for key, at in limits.items() if at is not None})


def write_time(seconds: float) -> str:
    """Write seconds in the largest unit that they are a whole number of: 15m, 500ms."""
    for unit, length in _TIMES:
        if seconds >= length and not seconds % length:
            return f"{seconds / length:g}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"


def write_size(octets: int) -> int | str:
    """Write octets as they are, or with a unit where they are a whole number of it: 64KiB."""
    for unit, length in _SIZES:
        if octets and not octets % length:
            return f"{octets // length}{unit}"
    return octets


def complete(model: type[BaseModel], properties: dict[str, JsonSchemaValue]) -> None:
    """Write in the schema's properties of a model what pydantic doesn't write for people.

    Defaults are as in the file, that of a whole section is {}: each of its keys
    has its own.  Descriptions are one line, however the docstring is broken.
    """
    for name, field in model.model_fields.items():
        told = properties[name]
        if field.description is not None:
            told["description"] = " ".join(field.description.split())
        if isinstance(field.default, BaseModel):
            told["default"] = {}
        for note in field.metadata:
            if isinstance(note, Notation) and "default" in told:
                told["default"] = note.write(field.default)
