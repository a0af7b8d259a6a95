"""The configuration reference: current, complete, and its links lead somewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.testing import CliRunner

from gcks.cli.server_command import app
from gcks.daemon.config.notation import KIND
from gcks.daemon.config.reference import anchor, reference_of
from gcks.daemon.config.schema import schema_of
from tests.support.config_models import MODELS, keys_of, options
from tests.support.repository import ROOT

DOCS = ROOT / "docs"
PAGES = [("reference-server.md", False), ("reference-member.md", True)]
ENTRY = re.compile(r"^- \[?\*\*`([^`]+)`\*\*", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")


@pytest.mark.parametrize(("name", "member"), PAGES)
def test_the_reference_is_the_current_one(name: str, member: bool) -> None:
    arguments = ["check", "--reference", *(["--member"] if member else [])]
    published = (DOCS / name).read_bytes()
    remedy = f"bring it up to date: gcks {' '.join(arguments)} > docs/{name}"
    assert published == reference_of(schema_of(member=member)).encode(), remedy
    assert CliRunner().invoke(app, arguments).stdout_bytes == published


@pytest.mark.parametrize(("name", "member"), PAGES)
def test_every_option_has_one_entry_in_the_order_of_the_model(name: str, member: bool) -> None:
    paths = [one.replace("[]", "") for one in ENTRY.findall((DOCS / name).read_text())]
    assert len(paths) == len(set(paths)) > 60
    assert set(paths) == {".".join(keys) for keys in keys_of(MODELS[member])}
    sections = [
        [path for path in paths if path.rpartition(".")[0] == above] for above in ("", "ike")
    ]
    schema = schema_of(member=member)
    ike = schema["$defs"]["MemberIkeSection" if member else "IkeSection"]
    assert sections[0] == list(schema["properties"])
    assert sections[1] == [f"ike.{key}" for key in ike["properties"]]


@pytest.mark.parametrize(("name", "member"), PAGES)
def test_every_description_is_there_once(name: str, member: bool) -> None:
    text = re.sub(r"\[([a-z]+\.md)\]\(\1\)", r"\1", (DOCS / name).read_text())
    text = " ".join(text.split())
    for place, option in options(schema_of(member=member)):
        assert option["description"] in text, place


@pytest.mark.parametrize("name", [name for name, _ in PAGES])
def test_links_lead_somewhere(name: str) -> None:
    text = (DOCS / name).read_text()
    headings = [anchor(one) for one in HEADING.findall(text)]
    assert len(headings) == len(set(headings))
    links = LINK.findall(text)
    assert {file for file, _ in links} >= {"configuration.md"}
    for file, place in links:
        assert not file or (DOCS / file).is_file(), file
        assert not place or place in headings, place


def test_headings_are_linked_as_github_links_them() -> None:
    assert anchor("How values are written") == "how-values-are-written"
    assert anchor("`groups[].data_sas[]`") == "groupsdata_sas"


def entry(**option: Any) -> str:
    """Return what a page says of one option, without its description."""
    required = "default" not in option
    schema = {
        "title": "gcks.yaml",
        "$defs": {},
        "properties": {"key": {"description": "What it is.", **option}},
        "required": ["key"] if required else [],
    }
    first = next(one for one in reference_of(schema).splitlines() if one.startswith("- "))
    return first.removeprefix("- **`key`** · ").removesuffix("<br>")


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"type": "string"}, "text · required"),
        ({"type": "string", "maxLength": 64}, "text, at most 64 characters · required"),
        ({"type": "boolean", "default": True}, "`true` or `false` · default `true`"),
        ({"type": "integer", "minimum": 1, "default": 3}, "whole number from 1 · default `3`"),
        (
            {"type": "number", "minimum": 1, "maximum": 10, "default": 2.0},
            "number, 1 to 10 · default `2.0`",
        ),
        (
            {"anyOf": [{"enum": ["a", "b", "c"]}, {"type": "null"}], "default": None},
            "`a`, `b` or `c` · default `null`",
        ),
        ({"const": "deflate", "default": "deflate"}, "`deflate` · default `deflate`"),
        (
            {"type": "array", "items": {"type": "string"}, "default": ["::/0"]},
            "list, each text · default `['::/0']`",
        ),
        (
            {KIND: "time", "examples": ["5s"], "default": "5s"},
            "[time](#how-values-are-written) · default `5s`",
        ),
    ],
)
def test_values_and_defaults_are_said_in_words(option: dict[str, Any], told: str) -> None:
    assert entry(**option) == told


def test_a_long_default_has_lines_of_its_own() -> None:
    long = ["a" * 100, "b" * 100]
    option = {"type": "array", "items": {"type": "string"}, "description": "It.", "default": long}
    page = reference_of({"title": "member.yaml", "$defs": {}, "properties": {"key": option}})
    assert f"· default below<br>\n  It.\n  - `{long[0]}`\n  - `{long[1]}`\n" in page


def test_an_unknown_kind_of_value_has_to_be_explained() -> None:
    with pytest.raises(KeyError, match="colour"):
        entry(**{KIND: "colour", "examples": []})


@pytest.mark.parametrize(
    "arguments",
    [["--schema", "--reference"], ["--member"], ["--reference", "x.yaml"], ["x.yaml", "--member"]],
)
def test_check_does_one_thing_at_a_time(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["check", *arguments]).exit_code == 2
