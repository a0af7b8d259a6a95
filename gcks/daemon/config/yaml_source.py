"""YAML files with the line of every key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from gcks.daemon.config.problems import ConfigError, Findings, KeyPath, Problem

MAX_FILE_OCTETS: Final = 4 << 20
_MAX_DEPTH: Final = 32


def read_yaml(path: Path) -> tuple[dict[str, Any], Findings]:
    """Return the file's content and a collector of problems that knows its lines.

    Raises `ConfigError` where it isn't a readable YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError([Problem(str(path), 0, "", f"can't read it: {reason}")]) from None
    if len(text) > MAX_FILE_OCTETS:
        raise ConfigError([Problem(str(path), 0, "", f"larger than {MAX_FILE_OCTETS} octets")])
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_problem(path, error)]) from None
    findings = Findings(str(path), {})
    if node is None:
        return {}, findings
    content = _build(node, (), findings, 0)
    if not isinstance(content, dict):
        raise ConfigError([Problem(str(path), 1, "", "expected keys and values at the top")])
    return content, findings


def _syntax_problem(path: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or str(error)
    return Problem(str(path), mark.line + 1 if mark else 0, "", f"not YAML: {reason}")


def _build(node: yaml.Node, path: KeyPath, findings: Findings, depth: int) -> Any:
    findings.lines.setdefault(path, node.start_mark.line + 1)
    if depth > _MAX_DEPTH:
        findings.add(path, "nested too deeply")
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, findings, depth)
    if isinstance(node, yaml.SequenceNode):
        parts = enumerate(node.value)
        return [_build(item, (*path, place), findings, depth + 1) for place, item in parts]
    return yaml.SafeLoader("").construct_object(node)


def _mapping(
    node: yaml.MappingNode, path: KeyPath, findings: Findings, depth: int
) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        here = (*path, key)
        if key in content:
            findings.lines[here] = key_node.start_mark.line + 1
            findings.add(here, "given twice")
        findings.lines[here] = key_node.start_mark.line + 1
        content[key] = _build(value_node, here, findings, depth + 1)
    return content
