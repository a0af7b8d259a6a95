"""docs/events.md: it is what the code says, and the code says all of it."""

from __future__ import annotations

import ast
import dataclasses
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from gcks import events as e
from gcks.daemon.audit import LOST
from gcks.daemon.audit_chain import TORN
from gcks.daemon.event_reference import page
from gcks.daemon.log_lines import AUDIT_LINES, BOTH, LINES, MEMBER, SERVER
from tests.support.event_samples import kinds
from tests.support.repository import ROOT

PACKAGE: Final = ROOT / "gcks"
LEVELS: Final = {"debug", "info", "warning", "error", "critical"}
PLACES: Final = {
    "member": MEMBER, "keyserver": SERVER, "group": SERVER,
    "daemon/member_runtime.py": MEMBER, "daemon/sa_worker.py": MEMBER,
    "daemon/control/member_answers.py": MEMBER,
    "daemon/server_runtime.py": SERVER, "daemon/server_sockets.py": SERVER,
    "daemon/senders.py": SERVER, "daemon/audit_trail.py": SERVER, "daemon/audit.py": SERVER,
    "daemon/control/server_answers.py": SERVER,
}  # fmt: skip
"""Whose code it is; everything else in gcks/daemon is both programs'."""


@cache
def calls() -> list[tuple[Path, ast.Call]]:
    return [
        (path.relative_to(PACKAGE), node)
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]


def side_of(path: Path) -> str:
    return PLACES.get(str(path)) or PLACES.get(path.parts[0]) or BOTH


def sides(places: set[str]) -> str:
    return places.pop() if len(places) == 1 else BOTH


def test_the_page_is_the_current_one() -> None:
    """Whoever renames an event, or a field, sees it in the page's difference."""
    assert (ROOT / "docs" / "events.md").read_text() == page(), "run docs/generate"


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.name)
def test_every_event_and_field_is_explained(kind: type[e.Event]) -> None:
    assert not str(kind.__doc__).startswith(f"{kind.__name__}("), "write a docstring"
    _, _, below = page().partition(f"### `{kind.name}`\n")
    entry, _, _ = below.partition("\n##")
    told = re.findall(r"^- `(\w+)` \(.+?\): .{3,}", entry.replace("\n  ", " "), re.MULTILINE)
    assert told == [field.name for field in dataclasses.fields(kind)]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.name)
def test_every_event_is_of_the_program_that_makes_it(kind: type[e.Event]) -> None:
    made = {
        side_of(path)
        for path, call in calls()
        if isinstance(call.func, ast.Name) and call.func.id == kind.__name__
    }
    bases = {e.ServerEvent: SERVER, e.MemberEvent: MEMBER}
    told = next((side for base, side in bases.items() if issubclass(kind, base)), BOTH)
    assert sides(made) == told


def test_every_line_that_a_daemon_writes_by_itself_is_in_the_table() -> None:
    """With its level, its fields and the program: by the calls of the loggers."""
    found: dict[str, tuple[set[str], set[str], set[str]]] = {}
    for path, call in calls():
        function, first = call.func, call.args[:1]
        if (
            isinstance(function, ast.Attribute)
            and function.attr in LEVELS
            and ast.unparse(function.value).endswith("logger")
            and isinstance(first[0], ast.Constant)
        ):
            levels, fields, places = found.setdefault(str(first[0].value), (set(), set(), set()))
            levels.add(function.attr)
            fields.update(str(keyword.arg) for keyword in call.keywords)
            places.add(side_of(path))
    assert set(found) == set(LINES)
    for name, (levels, fields, places) in found.items():
        line = LINES[name]
        assert (levels, fields) == ({line.level}, set(line.fields)), name
        assert sides(places) == line.by, name


def test_every_line_that_only_the_audit_log_has_is_in_the_table() -> None:
    tree = ast.parse((PACKAGE / "daemon" / "audit.py").read_text())
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Dict):
            continue
        keys = [ast.literal_eval(key) for key in node.keys if isinstance(key, ast.Constant)]
        if keys[:1] == ["event"]:
            found[ast.unparse(node.values[0])] = set(keys[1:])
    found.pop("event.name")
    names = {"TORN": TORN, "LOST": LOST}
    assert {names.get(name, name.strip("'")): keys for name, keys in found.items()} == {
        name: set(line.fields) for name, line in AUDIT_LINES.items()
    }
