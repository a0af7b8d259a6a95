"""From a file's content to its model: every error with its line and a suggestion."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from gcks.daemon.config.problems import Findings, KeyPath
from gcks.daemon.config.yaml_source import read_yaml

M = TypeVar("M", bound=BaseModel)


def read_model(path: Path, model: type[M]) -> tuple[M | None, Findings]:
    """Read a YAML file as a model; what is wrong is in the findings.

    Raises `ConfigError` where the file isn't YAML at all.
    """
    content, findings = read_yaml(path)
    try:
        return model.model_validate(content), findings
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            place = _known_path(detail["loc"], content)
            findings.add(place, _reason(detail, place, model))
        return None, findings


def _known_path(location: tuple[int | str, ...], content: Any) -> KeyPath:
    """Keep of pydantic's location what stands in the file, and the last part."""
    path: list[str | int] = []
    here = content
    for part in location:
        inside = isinstance(here, dict) and part in here
        listed = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if inside or listed:
            here = here[part]
            path.append(part)
        elif isinstance(here, dict):
            path.append(part)
    return tuple(path)


def _reason(detail: Any, place: KeyPath, model: type[BaseModel]) -> str:
    if detail["type"] == "extra_forbidden":
        known = _fields_at(model, place[:-1])
        close = get_close_matches(str(place[-1]), known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return f"unknown key; {hint}"
    if detail["type"] == "missing":
        return "missing; it has no default"
    return str(detail["msg"]).removeprefix("Value error, ")


def _fields_at(model: type[BaseModel], path: KeyPath) -> list[str]:
    here: type[BaseModel] = model
    for part in path:
        if isinstance(part, str) and part in here.model_fields:
            here = _section(here.model_fields[part].annotation) or here
    return list(here.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    """Find the model in an annotation such as list[Section] or Section | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _section(arg))), None)
