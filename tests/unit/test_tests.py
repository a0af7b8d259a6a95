"""The tests' own structure holds: what several of them use stands in tests/support."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.repository import ROOT

TESTS = ROOT / "tests"
NOT_TO_IMPORT = ("test_", "bench_", "conftest")
"""How modules begin that pytest or a person starts, and that nobody else may depend on."""
MODULE = re.compile(r"gcks(?:/\w+)+(?:\.py)?")


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Yield each imported module's name, whole and split from what is taken of it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize("file", sorted(TESTS.rglob("*.py")), ids=lambda file: file.stem)
def test_what_tests_share_is_in_support(file: Path) -> None:
    """Nobody imports a test, a benchmark or a conftest, nor another directory's module."""
    here = ".".join(("tests", *file.relative_to(TESTS).parent.parts))
    for module, name in imports(file):
        parts = (*module.split("."), name)
        assert not any(part.startswith(NOT_TO_IMPORT) for part in parts), module
        if parts[0] == "tests":
            assert f"{module}.".startswith(("tests.support.", f"{here}.")), module


def mirrored(file: Path) -> Path:
    """Return the module that a unit test of this name and place is about."""
    place = file.relative_to(TESTS / "unit")
    return ROOT / "gcks" / place.with_name(place.name.removeprefix("test_"))


@pytest.mark.parametrize(
    "file",
    [*(TESTS / "exchange").glob("test_*.py"), *(TESTS / "unit").glob("*/**/test_*.py")],
    ids=lambda file: f"{file.parent.name}/{file.stem}",
)
def test_a_test_says_which_modules_it_shows(file: Path) -> None:
    """By its name and place, or, where it is about several modules, in its docstring."""
    if TESTS / "unit" in file.parents and mirrored(file).exists():
        return
    named = MODULE.findall(ast.get_docstring(ast.parse(file.read_text())) or "")
    assert named, "write `Shows gcks/...` into the docstring"
    assert [path for path in named if not (ROOT / path).exists()] == []
