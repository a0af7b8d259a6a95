"""Links in the documents lead somewhere, and the files of the code that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\(((?!https?:)[^)#\s]*)(?:#([^)\s]+))?\)")
NAMED = re.compile(r"`((?:gcks|tests)/[\w/.]+)`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = (title.strip().lower() for title in HEADING.findall(page.read_text()))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for file, place in LINK.findall(page.read_text()):
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not place or place in anchors(target), f"{file}#{place}"


DEVELOPERS = ["CONTRIBUTING.md", "README.md", "docs/architecture.md"]


@pytest.mark.parametrize("name", DEVELOPERS)
def test_named_modules_exist(name: str) -> None:
    named = set(NAMED.findall((ROOT / name).read_text()))
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_document_can_be_found_from_the_readme() -> None:
    """Over one or several links."""
    reached, new = set(), {ROOT / "README.md"}
    while new:
        page = new.pop()
        reached.add(page)
        targets = ((page.parent / file).resolve() for file, _ in LINK.findall(page.read_text()))
        new |= {target for target in targets if target.suffix == ".md"} - reached
    assert set(PAGES) <= reached
