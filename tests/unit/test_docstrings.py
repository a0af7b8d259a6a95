"""The layers that speak RFCs say which section they follow, what they take and what they raise."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "gcks"
FILES = [path for layer in ("wire", "crypto", "ike") for path in (PACKAGE / layer).glob("*.py")]
RFC_SECTION = re.compile(r"RFC \d+\s+sections?\s+\d")
OCTETS = "+-+-+-+-"
READS = ("decode_", "read_")

Definition = ast.FunctionDef | ast.ClassDef


def definitions(body: list[ast.stmt], inside: str = "") -> Iterator[tuple[str, Definition]]:
    """Yield public classes, functions and methods, with the names of their classes."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            name = f"{inside}{node.name}"
            yield name, node
            if isinstance(node, ast.ClassDef):
                yield from definitions(node.body, f"{name}.")


def says_all_by_its_type(node: Definition) -> bool:
    """Tell whether it is an attribute or method that a Protocol only names."""
    (*_, last) = node.body
    return isinstance(last, ast.Expr) and ast.unparse(last) == "..."


def read(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


READERS = [
    pytest.param(path, name, ast.get_docstring(node) or "", id=f"{path.stem}.{name}")
    for path in FILES
    if path.parent.name == "wire"
    for name, node in definitions(read(path).body)
    if name.startswith(READS)
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_is_public_is_explained(path: Path) -> None:
    silent = [
        name
        for name, node in definitions(read(path).body)
        if not ast.get_docstring(node) and not says_all_by_its_type(node)
    ]
    assert silent == []


@pytest.mark.parametrize(("path", "name", "text"), READERS)
def test_a_reader_of_octets_says_what_it_raises_and_where_the_rfc_has_it(
    path: Path, name: str, text: str
) -> None:
    assert "WireError" in text
    assert RFC_SECTION.search(text) or RFC_SECTION.search(ast.get_docstring(read(path)) or "")


def test_every_reader_is_looked_at() -> None:
    assert len(READERS) >= 37


@pytest.mark.parametrize(
    "path", sorted({param.values[0] for param in READERS}), ids=lambda p: p.stem
)
def test_a_module_that_reads_octets_begins_with_their_picture(path: Path) -> None:
    assert OCTETS in (ast.get_docstring(read(path)) or "")
