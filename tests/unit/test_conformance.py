"""docs/conformance.md stays true: every test that it names exists, every row says something."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import NamedTuple

import pytest

from tests.support.repository import ROOT

TABLE = ROOT / "docs" / "conformance.md"
TEST = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_\w+)`")
REASON = re.compile(r"^(not yet: .*\(issue [345]\)|not applicable: .+)")
NORMATIVE_SECTIONS = (
    "2.1.1", "2.3.1", "2.3.2", "2.3.3", "2.3.4", "2.4.1", "2.4.1.1", "2.4.1.2", "2.4.1.3",
    "2.4.1.4", "2.4.2", "2.4.3", "2.5.1", "2.5.2", "2.6", "2.7", "3.1", "3.2", "3.3", "3.4",
    "4.1", "4.2", "4.3", "4.4", "4.5", "4.6", "4.7", "4.8", "5",
)  # fmt: skip
"""Sections with requirements for a GCKS or GM; a subsection stands for its parent."""


class Row(NamedTuple):
    section: str
    requirement: str
    who: str
    shown_by: str


def rows() -> list[Row]:
    found = []
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| ") and cells[0] != "§":
            found.append(Row(*cells))
    return found


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.section} {row.requirement[:60]}")
def test_a_requirement_is_shown_by_tests_that_exist_or_says_why_not(row: Row) -> None:
    assert row.requirement
    assert row.who in ("GCKS", "GM", "both")
    named = TEST.findall(row.shown_by)
    rest = TEST.sub("", row.shown_by).strip(" ,;")
    assert named or rest, "neither test nor reason"
    assert not rest or REASON.match(rest), rest
    for path, test in named:
        assert test in functions_of(path), f"{path} has no {test}"


@pytest.mark.parametrize("section", NORMATIVE_SECTIONS)
def test_every_normative_section_has_rows(section: str) -> None:
    sections = {row.section for row in rows()}
    assert any(one == section or one.startswith(f"{section}.") for one in sections)
