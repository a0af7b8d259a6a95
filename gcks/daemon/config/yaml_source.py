"""YAML files with the line of every key.

Plain values are texts, whole numbers, fractions, true and false.  YAML's dates
and numbers to base 60 stay texts: nobody means 79200 by `22:00:00`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from gcks.daemon.config.problems import ConfigError, Findings, KeyPath, Problem

MAX_FILE_OCTETS: Final = 4 << 20
MAX_VALUES: Final = 400_000
"""Aliases count as often as they are used: a few lines of them could fill the memory."""
_MAX_DEPTH: Final = 32
_TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final = {
    "bool": (r"yes|Yes|no|No|true|True|false|False|on|On|off|Off", "ynotfYNOTF"),
    "null": (r"~|null|Null", "~nN"),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    "float": (r"[-+]?[0-9]+\.[0-9]+", "-+0123456789"),
}


class _Loader(yaml.SafeLoader):
    """Safe, and without dates and base 60."""


_Loader.yaml_implicit_resolvers = {}
for _name, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), [*_first])
_Loader.add_implicit_resolver(_TAG + "null", re.compile("$"), [""])


def read_yaml(path: Path) -> tuple[dict[str, Any], Findings]:
    """Return the file's content and a collector of problems that knows its lines.

    Raises `ConfigError` where it isn't a readable YAML mapping.
    """
    try:
        node = yaml.compose(_read_text(path), Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_problem(path, error)]) from None
    except RecursionError:
        raise _unusable(path, "nested too deeply") from None
    builder = _Builder(Findings(str(path), {}))
    content = {} if node is None else builder.build(node, (), 0)
    if builder.values > MAX_VALUES:
        raise _unusable(path, f"holds more than {MAX_VALUES} values, aliases included")
    if not isinstance(content, dict):
        raise _unusable(path, "expected keys and values at the top")
    return content, builder.findings


def _unusable(path: Path, reason: str) -> ConfigError:
    return ConfigError([Problem(str(path), 0, "", reason)])


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE_OCTETS + 1)
        text = octets.decode("utf-8-sig")
    except OSError as error:
        raise _unusable(path, f"can't read it: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _unusable(path, "not UTF-8 text") from None
    if len(octets) > MAX_FILE_OCTETS:
        raise _unusable(path, f"larger than {MAX_FILE_OCTETS} octets")
    return text


def _syntax_problem(path: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return Problem(str(path), mark.line + 1 if mark else 0, "", f"not YAML: {reason}")


class _Builder:
    """Turns nodes into plain values and notes the line of each."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.values = 0
        self._scalars = _Loader("")

    def build(self, node: yaml.Node, path: KeyPath, depth: int) -> Any:
        self.values += 1
        self.findings.lines.setdefault(path, node.start_mark.line + 1)
        if self.values > MAX_VALUES:
            return None
        if depth > _MAX_DEPTH:
            self.findings.add(path, "nested too deeply")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            parts = enumerate(node.value)
            return [self.build(item, (*path, place), depth + 1) for place, item in parts]
        return self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, KeyError, IndexError):
            self.findings.add(path, f"{node.tag} isn't understood here; write a plain value")
            return None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            self.findings.lines[here] = key_node.start_mark.line + 1
            if key in content:
                self.findings.add(here, "given twice; keep one")
            content[key] = self.build(value_node, here, depth + 1)
        return content
