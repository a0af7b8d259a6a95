"""YAML files with the line of every key.

Plain values are texts, whole numbers, fractions, true and false.  YAML's dates
and numbers to base 60 stay texts: nobody means 79200 by `22:00:00`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from gcks.daemon.config.opening import read_file
from gcks.daemon.config.problems import (
    KEEP_ONE,
    ConfigError,
    FilePlace,
    Findings,
    KeyPath,
    Problem,
    reading_remedy,
)

MAX_FILE_OCTETS: Final = 4 << 20
MAX_OCTETS: Final = 16 << 20
"""Of all files together."""
MAX_VALUES: Final = 400_000
"""Aliases count as often as they are used: a few lines of them could fill the memory."""
MAX_INCLUDED: Final = 1_000
"""Files."""
INCLUDE: Final = "include"
_TOO_DEEP: Final = ("nested too deeply", "see config/gcks.yaml and config/member.yaml")
_YAML_REMEDIES: Final = {
    "another document": "keep one document to a file",
    "special characters": "take that character out",
    "": "indent with spaces, and put texts with : # [ or { into quotes",
}
"""Words of the parser's -> what to do; the last fits always."""
_GLOB: Final = frozenset("*?[")
_MAX_DEPTH: Final = 32
_MAX_COMPOSED_DEPTH: Final = 100
"""What is deeper has no place in the findings; recursion has its limits."""
_TOO_MANY: Final = (f"holds more than {MAX_VALUES} values, aliases included", "use fewer")
_TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final = {
    "bool": (r"yes|Yes|no|No|true|True|false|False|on|On|off|Off", "ynotfYNOTF"),
    "null": (r"~|null|Null", "~nN"),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    "float": (r"[-+]?[0-9]+\.[0-9]+", "-+0123456789"),
}


_Safe: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _Loader(_Safe):  # type: ignore[misc]
    """Safe, without dates and base 60, and it gives up early on what is too much."""

    _nodes = _depth = 0

    def descend_resolver(self, parent: object, index: object) -> None:
        """Count; both parsers call this before they make a node."""
        del parent, index
        self._nodes += 1
        self._depth += 1
        if self._depth > _MAX_COMPOSED_DEPTH:
            raise _TooMuch(*_TOO_DEEP)
        if self._nodes > 2 * MAX_VALUES:  # keys are nodes too
            raise _TooMuch(*_TOO_MANY)

    def ascend_resolver(self) -> None:
        self._depth -= 1


class _TooMuch(Exception):
    """More than a configuration can hold."""


_Loader.yaml_implicit_resolvers = {}
for _name, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), [*_first])
_Loader.add_implicit_resolver(_TAG + "null", re.compile("$"), [""])


def read_yaml(path: Path) -> tuple[dict[str, Any], Findings]:
    """Return the content of a file and what it includes, and a collector that knows all lines.

    Raises `ConfigError` where a file isn't a readable YAML mapping.
    """
    findings = Findings(str(path), {})
    builder = _Builder(findings)
    content = _read_into(builder, path, {})
    for included in _included(path, content.pop(INCLUDE, []), findings):
        findings.files.append(included)
        builder.file = str(included)
        content = _read_into(builder, included, content)
        if INCLUDE in content:
            findings.add((INCLUDE,), "only the main file includes others", "name them there")
            del content[INCLUDE]
    return content, findings


def _read_into(builder: _Builder, path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Return the content with that of a file added to it."""
    try:
        node = yaml.compose(_read_text(path, builder), Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_problem(path, error)]) from None
    except _TooMuch as error:
        raise _unusable(path, *error.args) from None
    if node is None:
        return content
    if not isinstance(node, yaml.MappingNode):
        reason = "expected keys and values at the top"
        raise _unusable(path, reason, "begin from config/gcks.yaml or config/member.yaml")
    merged: dict[str, Any] = builder.build(node, (), 0, content)
    if builder.values > MAX_VALUES:
        raise _unusable(path, *_TOO_MANY)
    return merged


def _included(path: Path, patterns: Any, findings: Findings) -> list[Path]:
    """Return the files that the main file names, patterns in order, each once."""
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        findings.add((INCLUDE,), "no list", "give a list of files, such as [groups/*.yaml]")
        return []
    included: dict[Path, None] = {}
    for place, pattern in enumerate(patterns):
        files = _matching(path.parent, pattern)
        if not files and not _GLOB & set(pattern):
            where = "absolute" if Path(pattern).is_absolute() else "not there"
            remedy = f"give a path from {path.parent}"
            findings.add((INCLUDE, place), f"{pattern} is {where}", remedy)
        included.update(dict.fromkeys(file for file in files if file.is_file()))
    included.pop(path, None)
    if len(included) > MAX_INCLUDED:
        remedy = f"at most {MAX_INCLUDED} can be included"
        findings.add((INCLUDE,), f"{len(included)} files", remedy)
        return []
    return list(included)


def _matching(directory: Path, pattern: str) -> list[Path]:
    if Path(pattern).is_absolute():
        return []
    try:
        return sorted(directory.glob(pattern))
    except (ValueError, IndexError, OSError):
        return []  # it is empty, or no name of a file


def _unusable(path: Path, reason: str, remedy: str) -> ConfigError:
    return ConfigError([Problem(str(path), 0, "", reason, remedy)])


def _read_text(path: Path, builder: _Builder) -> str:
    try:
        octets, _ = read_file(path, MAX_FILE_OCTETS)
        text = octets.decode("utf-8-sig")
    except OSError as error:
        raise _unusable(path, f"can't read it: {error.strerror}", reading_remedy(error)) from None
    except UnicodeDecodeError:
        raise _unusable(path, "not UTF-8 text", "name a configuration, or convert it") from None
    except ValueError:
        raise _unusable(path, "no name of a file", "name a configuration") from None
    if len(octets) > MAX_FILE_OCTETS:
        raise _unusable(
            path, f"larger than {MAX_FILE_OCTETS} octets", "move parts to files that it includes"
        )
    builder.octets += len(octets)
    if builder.octets > MAX_OCTETS:
        reason = f"with the files before it larger than {MAX_OCTETS} octets"
        raise _unusable(path, reason, "include fewer or smaller files")
    return text


def _syntax_problem(path: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
    remedy = next(what for words, what in _YAML_REMEDIES.items() if words in str(error))
    return Problem(str(path), mark.line + 1 if mark else 0, "", f"not YAML: {reason}", remedy)


class _Builder:
    """Turns nodes into plain values and notes the place of each.

    Of several files lists are joined and mappings filled up; what is neither can be
    given in one of them only.
    """

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.file = findings.file
        """The file that is being read."""
        self.values = self.octets = 0
        """What has been read so far."""
        self._scalars = _Loader("")

    def build(self, node: yaml.Node, path: KeyPath, depth: int, before: Any = None) -> Any:
        """Return a node's value; `before` is what an earlier file has in its place."""
        self.values += 1
        self.findings.places.setdefault(path, self._place(node))
        if self.values > MAX_VALUES:
            return before
        if depth > _MAX_DEPTH:
            self.findings.add(path, *_TOO_DEEP)
            return None
        if isinstance(node, yaml.MappingNode) and isinstance(before, dict | None):
            return self._mapping(node, path, depth, before or {})
        if isinstance(node, yaml.SequenceNode) and isinstance(before, list | None):
            return self._sequence(node, path, depth, before or [])
        if before is not None:
            first, second = self.findings.place(path), self._place(node)
            self.findings.add(path, f"given in {first} and again in {second}", KEEP_ONE)
            return before
        return self._scalar(node, path)

    def _place(self, node: yaml.Node) -> FilePlace:
        return FilePlace(self.file, node.start_mark.line + 1)

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, KeyError, IndexError):
            self.findings.add(path, f"{node.tag} isn't understood here", "write a plain value")
            return None

    def _sequence(
        self, node: yaml.SequenceNode, path: KeyPath, depth: int, before: list[Any]
    ) -> list[Any]:
        parts = enumerate(node.value, len(before))
        return before + [self.build(item, (*path, place), depth + 1) for place, item in parts]

    def _mapping(
        self, node: yaml.MappingNode, path: KeyPath, depth: int, before: dict[str, Any]
    ) -> dict[str, Any]:
        content, mine = dict(before), set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            if key in mine:
                self.findings.add(here, "given twice", KEEP_ONE)
                content.pop(key, None)
            if key not in content:
                self.findings.places[here] = self._place(key_node)
            mine.add(key)
            content[key] = self.build(value_node, here, depth + 1, content.get(key))
        return content
