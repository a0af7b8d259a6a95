"""The published JSON Schemas: current, and the example files fit them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from gcks.cli.server import app
from gcks.daemon.config.schema import schema_of
from tests.unit.daemon.conftest import ROOT

FILES = [("gcks", False), ("member", True)]


@pytest.mark.parametrize(("name", "member"), FILES)
def test_the_published_schema_is_the_current_one(name: str, member: bool) -> None:
    """`gcks check --schema > config/gcks.schema.json` brings it up to date."""
    published = json.loads((ROOT / "config" / f"{name}.schema.json").read_text())
    assert published == schema_of(member=member)
    Draft202012Validator.check_schema(published)
    arguments = ["check", "--schema", *(["--member"] if member else [])]
    assert json.loads(CliRunner().invoke(app, arguments).output) == published


@pytest.mark.parametrize(("name", "member"), FILES)
def test_the_example_fits_its_schema(name: str, member: bool) -> None:
    content: Any = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())
    Draft202012Validator(schema_of(member=member)).validate(content)
    assert not Draft202012Validator(schema_of(member=member)).is_valid({**content, "colour": 1})


@pytest.mark.parametrize("value", ["15m", "500ms", 30, 1.5])
def test_durations_may_have_units(value: object) -> None:
    schema = schema_of(member=False)
    idle = {**schema["$defs"]["IkeSection"]["properties"]["idle"], "$defs": schema["$defs"]}
    assert Draft202012Validator(idle).is_valid(value)
    assert not Draft202012Validator(idle).is_valid("soon")
