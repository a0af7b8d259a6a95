"""From a file's content to its model: every error with its line and a suggestion."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from gcks.daemon.config.problems import Findings, KeyPath
from gcks.daemon.config.quoting import looks_secret
from gcks.daemon.config.remedies import remedy_for
from gcks.errors import Unfit

M = TypeVar("M", bound=BaseModel)
_MAY_REFER: Final = frozenset(
    {"psk", "secret", "master_key", "key", "certificate", "ocsp", "trust_anchors", "crls",
     "raw_public_keys", "path", "command"}
)  # fmt: skip
_SECRET: Final = frozenset({"psk", "secret", "master_key"})


def validate(content: dict[str, Any], model: type[M], findings: Findings) -> M | None:
    """Read content as a model; what is wrong goes to the findings."""
    for place in _references(content, ()):
        findings.add(
            place,
            "the environment is for secrets and paths of files only",
            "write the value itself, or include a file that your deployment writes",
        )
    try:
        return model.model_validate(content)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            place = _known_path(detail["loc"], content)
            findings.add(place, *_explained(detail, place, model))
        return None


def _references(content: Any, place: KeyPath) -> Iterator[KeyPath]:
    """Find ${NAME} where nothing expands it; a hook's command may have its own."""
    if isinstance(content, str) and "${" in content:
        named = [part for part in place if isinstance(part, str)]
        if named[-1] not in _MAY_REFER:
            yield place
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _references(value, (*place, key))
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from _references(value, (*place, number))


def section(content: Any, key: str, model: type[M]) -> M | None:
    """Return one part of a file that isn't valid as a whole, if the part itself is.

    So a mistake in one section doesn't hide the missing file of another.  Its
    own errors have been reported by `validate`.
    """
    return _valid(content.get(key, {}), model)


def entries(content: Any, key: str, model: type[M]) -> list[tuple[int, M]]:
    """Return the valid entries of a list, with their places in the file."""
    listed = content.get(key) if isinstance(content, dict) else None
    if not isinstance(listed, list):
        return []
    checked = [(at, _valid(entry, model)) for at, entry in enumerate(listed)]
    return [(place, entry) for place, entry in checked if entry is not None]


def without_wrong_keys(content: Any, model: type[M]) -> tuple[M | None, list[KeyPath]]:
    """Return a part of a file as if its wrong keys weren't there, and where those are.

    None where a wrong or missing key has no default.
    """
    try:
        return model.model_validate(content), []
    except ValidationError as error:
        wrong = [_known_path(detail["loc"], content) for detail in error.errors(include_url=False)]
    rest = copy.deepcopy(content)
    for *parents, key in filter(None, wrong):
        owner = rest
        for part in parents:
            owner = owner[part]
        if not isinstance(owner, dict):
            return None, wrong
        owner.pop(key, None)
    return _valid(rest, model), wrong


def _valid(content: Any, model: type[M]) -> M | None:
    try:
        return model.model_validate(content)
    except ValidationError:
        return None


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


def _explained(detail: Any, place: KeyPath, model: type[BaseModel]) -> tuple[str, str]:
    """Return reason and remedy."""
    if detail["type"] == "extra_forbidden":
        known = _fields_at(model, place[:-1])
        close = get_close_matches(str(place[-1]), known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return "unknown key", hint
    return _reason(detail, place), remedy_for(detail, place, model)


def _reason(detail: Any, place: KeyPath) -> str:
    if detail["type"] == "missing":
        return "missing"
    if detail["input"] is None:
        return "no value"
    if detail["type"] == "model_type":
        return "expected keys and values below it"
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, Unfit):
        return error.reason
    reason = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return f"{detail['input']!r} {reason}" if _may_be_shown(detail, place) else reason


def _may_be_shown(detail: Any, place: KeyPath) -> bool:
    """Tell whether a value helps and is no secret that went astray."""
    plain = isinstance(detail["input"], str | int | float)
    if not plain or detail["type"] == "value_error" or _SECRET & set(place):
        return False
    return not looks_secret(str(detail["input"]))


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
    return next((section for arg in get_args(annotation) if (section := _section(arg))), None)
