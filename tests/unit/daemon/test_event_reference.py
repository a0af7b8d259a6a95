"""docs/events.md: it is what the code says, and the code says all of it.

Shows gcks/events.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from gcks import events as e
from gcks.daemon.audit_notes import NOTES
from generated_by.event_reference import page
from tests.support.repository import ROOT

PACKAGE: Final = ROOT / "gcks"
SERVER, MEMBER, BOTH = "server", "member", "both"
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


@pytest.mark.parametrize("kind", e.KINDS, ids=lambda kind: kind.name)
def test_every_event_and_field_is_explained(kind: type[e.Event]) -> None:
    assert not str(kind.__doc__).startswith(f"{kind.__name__}("), "write a docstring"
    _, _, below = page().partition(f"### `{kind.name}`\n")
    entry, _, _ = below.partition("\n##")
    told = re.findall(r"^- `(\w+)` \(.+?\): .{3,}", entry.replace("\n  ", " "), re.MULTILINE)
    assert told == [field.name for field in dataclasses.fields(kind)]


@pytest.mark.parametrize("kind", e.KINDS, ids=lambda kind: kind.name)
def test_every_event_is_of_the_program_that_makes_it(kind: type[e.Event]) -> None:
    made = {
        side_of(path)
        for path, call in calls()
        if ast.unparse(call.func).removeprefix("e.") == kind.__name__
    }
    bases = {e.ServerEvent: SERVER, e.MemberEvent: MEMBER}
    told = next((side for base, side in bases.items() if issubclass(kind, base)), BOTH)
    assert sides(made) == told


def test_no_line_is_written_that_is_no_event() -> None:
    """Or `gcks events`, the audit log and the page would not know it."""
    by_themselves = [
        (path, call.lineno)
        for path, call in calls()
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in LEVELS
        and ast.unparse(call.func.value).endswith(("logger", "log"))
    ]
    assert by_themselves == []


def test_every_line_that_only_the_audit_log_has_is_told() -> None:
    _, _, table = page().partition("## Only in the audit log\n")
    rows = re.findall(r"^\| `(\w+)` \| .{9,} \| (.*) \|$", table, re.MULTILINE)
    told = {name: re.findall(r"`(\w+)`: \w", fields) for name, fields in rows}
    assert told == {note.name: [f.name for f in dataclasses.fields(note)] for note in NOTES}
