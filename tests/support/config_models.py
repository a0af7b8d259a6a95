"""Every section and option of a configuration, found in its model and its schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from gcks.daemon.config.member_model import MemberFile
from gcks.daemon.config.server_model import ServerFile


def keys_of(model: type[BaseModel]) -> set[tuple[str, ...]]:
    """Return the path of every key that a configuration may have."""
    found: set[tuple[str, ...]] = set()
    for name, field in model.model_fields.items():
        found.add((name,))
        for section in sections(field.annotation):
            found.update((name, *rest) for rest in keys_of(section))
    return found


def sections(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for argument in get_args(annotation) for section in sections(argument)]


MODELS: dict[bool, type[BaseModel]] = {False: ServerFile, True: MemberFile}


def options(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every option of a schema, with the section's name."""
    for name, section in [("", schema), *schema["$defs"].items()]:
        for key, option in section["properties"].items():
            yield f"{name}.{key}", option
