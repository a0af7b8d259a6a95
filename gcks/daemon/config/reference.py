"""The configuration reference: a JSON Schema of `schema.py` as Markdown.

One heading for each section of the file, one entry for each option, both in the
order of the model.  Nothing is known here that the schema doesn't say, but how
the kinds of values are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import wrap
from typing import Any, Final, NamedTuple

import yaml

from gcks.daemon.config.notation import KIND

Schema = dict[str, Any]

_COLUMNS: Final = 118
_BELOW: Final = "default below"
"""Of lists too long for a line."""
_VALUES: Final = "How values are written"
_KINDS: Final = {
    "time": "with a unit, ms, s, m, h, d or w; a bare number is seconds",
    "time in whole seconds": "the same, without fractions of a second",
    "time or auto": "the same, or `auto`",
    "size": "octets, or with a unit, B, KiB or MiB",
    "identity": "kind and name: `fqdn`, `keyid`, `rfc822`, `ipv4`, `ipv6`, and `dn` and `gn` as"
    " `dn:hex:...`",
    "identity or pattern": "the same; in the name `*`, `?` and `[...]` stand for other characters",
    "IP address": "IPv4 or IPv6; names are not looked up",
    "network": "an address, or a network with its prefix length",
    "network or any": "the same, or `any`",
    "address and port": "joined by a colon; IPv6 addresses stand in brackets",
    "ports": "one, a range, or `any`",
    "IP protocol": "`any`, `icmp`, `tcp`, `udp`, `icmpv6`, or a number",
    "file": "a path, relative to the main configuration file; it may begin with"
    " `${CREDENTIALS_DIRECTORY}` or another variable of the environment",
    "file pattern": "the same without variables; `*`, `?` and `[...]` stand for other characters",
    "secret": "`file:PATH`; `hex:${NAME}` of the environment; or `hex:...` in a configuration"
    " that others can't read",
    "proposal": "keywords joined by `-`",
}


_PAGES: Final = {
    "gcks.yaml": (
        "gcks check --reference",
        "[reference-member.md](reference-member.md) is the same for a member's file",
    ),
    "member.yaml": (
        "gcks check --reference --member",
        "[reference-server.md](reference-server.md) is the same for the server's file",
    ),
}
"""By the title of the schema: what prints the page, and where the other one is."""


class _PageSection(NamedTuple):
    """One section of the file; `path` is how its keys are reached, "" for the file itself."""

    path: str
    schema: Schema
    introduction: str


def reference_of(schema: Schema) -> str:
    """Return the page of a file's schema, as text that ends with a newline.

    Raises KeyError where nothing says how a kind of value is written.
    """
    lines = [*_opening(schema["title"]), *_values(schema)]
    for section in _sections(_PageSection("", schema, ""), schema["$defs"]):
        lines += _described(section)
    return "\n".join(lines)


def anchor(heading: str) -> str:
    """Return what a heading is linked by, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _sections(section: _PageSection, known: Schema) -> Iterator[_PageSection]:
    """Yield a section and those below it, in the order of the file."""
    yield section
    for key, option in section.schema["properties"].items():
        name = _section_of(option)
        if name is not None:
            path = _path(section.path, key, option)
            yield from _sections(_PageSection(path, known[name], option["description"]), known)


def _section_of(option: Schema) -> str | None:
    """Return the name of the section that an option is, or a list of; None for a value."""
    choices = (option, option.get("items", {}), *option.get("anyOf", ()))
    link = next((choice["$ref"] for choice in choices if "$ref" in choice), None)
    return None if link is None else str(link).rpartition("/")[2]


def _path(above: str, key: str, option: Schema) -> str:
    """Write a path as `check` does, without the numbers: groups[].data_sas[].suite."""
    whole = f"{above}.{key}" if above else key
    return f"{whole}[]" if _section_of(option) and "items" in option else whole


# --- the parts of the page ------------------------------------------------------------------


def _opening(file: str) -> list[str]:
    command, other = _PAGES[file]
    text = (
        f"[config/{file}](../config/{file}) shows all of them at work, {other}, and"
        " [configuration.md](configuration.md) says what is not about a single option."
        " What has a default can be left out. `[]` stands for an entry of a list: a key"
        " below `groups[]` is given in each group."
    )
    return [
        f"<!-- Printed by `{command}`; change the models in gcks/daemon/config instead. -->",
        "",
        f"# Every option of {file}",
        "",
        *_wrapped(text),
        "",
    ]


def _values(schema: Schema) -> list[str]:
    """Say how the kinds of values that occur are written."""
    by_kind: dict[str, list[Any]] = {}
    for value in _walk(schema):
        if KIND in value:
            by_kind.setdefault(value[KIND], value["examples"])
    rows = {
        kind: f"| {kind} | {_KINDS[kind]} | {', '.join(map(_code, examples))} |"
        for kind, examples in by_kind.items()
    }
    ordered = [rows[kind] for kind in _KINDS if kind in rows]
    return [f"## {_VALUES}", "", "| value | how | such as |", "| --- | --- | --- |", *ordered, ""]


def _walk(value: Any) -> Iterator[Schema]:
    """Yield every mapping in a schema."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _walk(part)


def _described(section: _PageSection) -> list[str]:
    """Write a section: its heading, what it is for, its options."""
    if section.path:
        level = "#" * (2 + section.path.count("."))
        lines = [f"{level} `{section.path}`", "", *_wrapped(section.introduction), ""]
    else:
        lines = ["## The file", ""]
    required = section.schema.get("required", ())
    for key, option in section.schema["properties"].items():
        lines += _entry(_path(section.path, key, option), option, required=key in required)
    return [*lines, ""]


def _entry(path: str, option: Schema, *, required: bool) -> list[str]:
    """Write one option; a section only as a link to where it is described."""
    needed = "required" if required else _default(option)
    if _section_of(option) is not None:
        kind = "list of sections" if "items" in option else "section"
        return [f"- [**`{path}`**](#{anchor(path)}) · {kind} · {needed}"]
    parts = option["default"] if needed == _BELOW else []
    return [
        f"- **`{path}`** · {_value(option)} · {needed}<br>",
        *(f"  {line}" for line in _wrapped(option["description"], 2)),
        *(f"  - {_code(part)}" for part in parts),
    ]


def _default(option: Schema) -> str:
    value = option["default"]
    if _section_of(option) is not None:
        return "default: none" if not isinstance(value, dict) else "default: those of its options"
    written = _code(value)
    return _BELOW if isinstance(value, list) and len(written) > _COLUMNS else f"default {written}"


# --- what a value is --------------------------------------------------------------------------


def _value(option: Schema) -> str:
    """Say which values an option takes."""
    if KIND in option:
        return f"[{option[KIND]}](#{anchor(_VALUES)})"
    if "items" in option:
        return f"list, each {_value(option['items'])}"
    if "anyOf" in option:
        return " or ".join(
            _value(choice) for choice in option["anyOf"] if choice != {"type": "null"}
        )
    words = option.get("enum", [option["const"]] if "const" in option else [])
    if words:
        *most, last = map(_code, words)
        return f"{', '.join(most)} or {last}" if most else last
    return _PLAIN[option["type"]] + _limits(option)


_PLAIN: Final = {
    "boolean": "`true` or `false`",
    "integer": "whole number",
    "number": "number",
    "string": "text",
}


def _limits(option: Schema) -> str:
    least, most = option.get("minimum"), option.get("maximum")
    if "maxLength" in option:
        return f", at most {option['maxLength']} characters"
    if least is None:
        return ""
    return f" from {least}" if most is None else f", {least} to {most}"


def _code(value: Any) -> str:
    """Write a value as YAML does, on one line."""
    written = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return f"`{written.removesuffix(chr(10)).removesuffix('...').rstrip()}`"


def _wrapped(text: str, indent: int = 0) -> list[str]:
    """Break a text into lines; other documents that it names become links."""
    linked = re.sub(r"(?<![\w/(\[-])([a-z]+\.md)\b", r"[\1](\1)", text)
    return wrap(linked, _COLUMNS - indent, break_long_words=False, break_on_hyphens=False)
