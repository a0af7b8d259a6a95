"""docs/rulings.md has the text of every ruling that the code, the tests and the documents cite."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "rulings.md"
HEADING = re.compile(r"^### Ruling (\d+)\n\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
CITED = re.compile(r"\brulings?\s+(\d+(?:(?:,| and|, and)\s+\d+)*)", re.IGNORECASE)
UNNUMBERED = re.compile(r"\brulings?:|\(see the ruling|ruling beside", re.IGNORECASE)


def texts() -> dict[int, str]:
    """Return number -> text of each ruling."""
    return {int(number): text.strip() for number, text in HEADING.findall(PAGE.read_text())}


def sources() -> Iterator[Path]:
    python = ((ROOT / part).rglob("*.py") for part in ("gcks", "tests"))
    pages = (page for page in (ROOT / "docs").glob("*.md") if page != PAGE)
    return (path for path in chain(*python, pages) if path != Path(__file__))


def citations(text: str) -> list[int]:
    return [int(number) for cited in CITED.findall(text) for number in re.findall(r"\d+", cited)]


def test_rulings_are_numbered_without_a_gap_and_each_has_a_text() -> None:
    numbers = [int(number) for number, _ in HEADING.findall(PAGE.read_text())]
    assert numbers == list(range(1, len(numbers) + 1))
    for number, text in texts().items():
        assert re.match(r"\*.*?\.\*\s\S", text, re.DOTALL), f"ruling {number} names no section"


def test_every_cited_ruling_has_a_text() -> None:
    known = texts()
    cited = {path: citations(path.read_text()) for path in sources()}
    missing = {
        str(path.relative_to(ROOT)): unknown
        for path, numbers in cited.items()
        if (unknown := [number for number in numbers if number not in known])
    }
    assert not missing
    assert {number for numbers in cited.values() for number in numbers} >= {1, 16, 24, 48}


def test_a_ruling_that_another_cites_has_a_text() -> None:
    assert set(citations(PAGE.read_text())) <= set(texts())


def test_no_ruling_is_cited_without_its_number() -> None:
    cited = {path: UNNUMBERED.findall(path.read_text()) for path in sources()}
    assert {str(path.relative_to(ROOT)): words for path, words in cited.items() if words} == {}


def test_a_ruling_that_is_not_kept_yet_says_which_issue_will_do_it() -> None:
    for number, text in texts().items():
        if "not yet" in text.lower():
            assert re.search(r"\*Not yet \(issue \d+[^)]*\):\*\s\w", text), f"ruling {number}"
