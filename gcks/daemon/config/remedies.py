"""What to do about an error of pydantic's: by its type, and by what the schema says of the key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

import yaml
from pydantic import BaseModel

from gcks.daemon.config.notation import KIND
from gcks.daemon.config.problems import KeyPath
from gcks.errors import Unfit

Option = dict[str, Any]
"""The JSON Schema of a key, and below `keys` those of the section that it is, if it is one."""

_SHOWN_WORDS: Final = 8
"""Keys that are named; more would fill the line."""
_PLAIN: Final = {
    "boolean": "write true or false",
    "integer": "write a whole number",
    "number": "write a number",
    "string": "write a text",
}
_REFERENCE: Final = "`gcks check --reference` explains it"


def remedy_for(detail: Any, place: KeyPath, model: type[BaseModel]) -> str:
    """Return the remedy; `detail` is one of `ValidationError.errors()`."""
    option = option_at(model, place)
    if detail["type"] == "missing":
        return _add(str(place[-1]), option)
    if detail["input"] is None:
        return _give_a_value(place, option)
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, Unfit):
        return error.remedy
    return _BY_TYPE.get(detail["type"], _such_as)(option, detail["input"])


# --- the key ----------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _schema(model: type[BaseModel]) -> Option:
    return model.model_json_schema()


def option_at(model: type[BaseModel], place: KeyPath) -> Option:
    """Return the schema of a key or list entry; {} for one that isn't known."""
    whole = _schema(model)
    here: Option = whole
    for part in place:
        here = next((below for form in _forms(here, whole) if (below := _below(form, part))), {})
    (form, *others) = [form for form in _forms(here, whole) if form.get("type") != "null"]
    whole_form = here if others else {**form, **here}
    sections = (form, *_forms(form.get("items", {}), whole))
    keys = next((section for section in sections if "properties" in section), None)
    return whole_form if keys is None else {**whole_form, "keys": keys}


def _forms(here: Option, whole: Option) -> Iterator[Option]:
    """Yield what a value may be: the schema itself, or what it refers to, or its alternatives."""
    for choice in here.get("anyOf", (here,)):
        name = choice.get("$ref", "").rpartition("/")[2]
        yield whole["$defs"][name] if name else choice


def _below(here: Option, part: str | int) -> Option:
    if isinstance(part, int):
        return dict(here.get("items", {}))
    return dict(here.get("properties", {}).get(part, {}))


# --- what to do -------------------------------------------------------------------------


def _add(key: str, option: Option) -> str:
    needed = _needed(option)
    if needed:
        return f"add entries with {needed}" if "items" in option else f"add it with {needed} in it"
    example = _example(option)
    return f"add it, such as {key}: {example}" if example else "add it"


def _needed(option: Option) -> str:
    """Name the keys of a section that have no default."""
    return _listed(option.get("keys", {}).get("required", ()), "and")


def _listed(words: Sequence[str], last: str) -> str:
    """Join words: a, b and c."""
    head = f" {last} ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else ""
    return head or "".join(words)


def _give_a_value(place: KeyPath, option: Option) -> str:
    if isinstance(place[-1], int):
        return "fill the entry in, or take it out"
    if "default" in option:
        return "give one, or leave the key out for its default"
    return _such_as(option, None)


def _such_as(option: Option, given: Any) -> str:
    """Show a value that is right."""
    if "keys" in option:
        return _write_keys(option, given)
    if "enum" in option:
        return _choose(option, given)
    examples = " or ".join(map(_yaml, option.get("examples", ())[:2])) or _example(option)
    if examples:
        return f"write it such as {examples}"
    return _PLAIN.get(option.get("type", ""), _REFERENCE)


def _example(option: Option) -> str:
    items = option.get("items", {})
    if option.get(KIND) == "file":
        return "FILE"
    if "examples" in option:
        return _yaml(option["examples"][0])
    if option.get("default") not in (None, {}, []):
        return _yaml(option["default"])
    inner = items.get("examples", items.get("enum", ()))
    return _yaml([inner[0]]) if inner else ""


def _yaml(value: Any) -> str:
    written: str = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return written.removesuffix("\n").removesuffix("...").rstrip()


def _choose(option: Option, given: Any) -> str:
    """Say which words there are; the reason has named them already."""
    words = option.get("enum", [option["const"]] if "const" in option else [])
    close = get_close_matches(str(given), map(str, words), 1)
    if close:
        return f"did you mean {close[0]}?"
    if len(words) == 1:
        return f"write {words[0]}, or leave the key out"
    if isinstance(option.get("default"), str):
        return f"choose one, or leave the key out for {option['default']}"
    return "choose one of these"


def _within(option: Option, given: Any) -> str:
    del given
    least, most = option.get("minimum"), option.get("maximum")
    if most is None:
        return f"write {least} or more"
    return f"write {most} or less" if least is None else f"write {least} to {most}"


def _length(option: Option, given: Any) -> str:
    del given
    return f"write {option.get('minLength', 0)} to {option.get('maxLength')} characters"


def _write_keys(option: Option, given: Any) -> str:
    del given
    names = list(option.get("keys", {}).get("properties", ()))
    told = _needed(option) or _listed(names[:_SHOWN_WORDS], "or")
    return f"write entries with {told}" if "items" in option else f"write {told} below it"


def _true_or_false(option: Option, given: Any) -> str:
    del option, given
    return _PLAIN["boolean"]


def _add_entry(option: Option, given: Any) -> str:
    del given
    return f"add an entry with {_needed(option)}" if _needed(option) else "add an entry"


_BY_TYPE: Final[dict[str, Callable[[Option, Any], str]]] = {
    "literal_error": _choose,
    "greater_than_equal": _within,
    "less_than_equal": _within,
    "string_too_short": _length,
    "string_too_long": _length,
    "too_short": _add_entry,
    "bool_type": _true_or_false,
    "model_type": _write_keys,
}
"""Of pydantic's error types; of all others a right value is shown."""
