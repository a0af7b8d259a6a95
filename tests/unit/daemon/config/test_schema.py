"""The published JSON Schemas: current, the example files fit them, every option is explained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter
from typer.testing import CliRunner

from gcks.cli.server_command import app
from gcks.daemon.config.check import check_file
from gcks.daemon.config.notation import write_size, write_time
from gcks.daemon.config.schema import schema_of
from gcks.daemon.config.values import Octets, Seconds
from gcks.ike.keywords import ENCR, IKE, INTEG
from tests.support.config_files import SMALLEST, example, write
from tests.support.config_models import MODELS, options, sections
from tests.support.repository import ROOT

FILES = [("gcks", False), ("member", True)]


@pytest.mark.parametrize(("name", "member"), FILES)
def test_the_published_schema_is_the_current_one(name: str, member: bool) -> None:
    """`gcks check --schema > config/gcks.schema.json` brings it up to date."""
    published = json.loads((ROOT / "config" / f"{name}.schema.json").read_text())
    assert published == schema_of(member=member)
    Draft202012Validator.check_schema(published)
    arguments = ["check", "--schema", *(["--member"] if member else [])]
    assert json.loads(CliRunner().invoke(app, arguments).output) == published


# --- what fits, and what doesn't --------------------------------------------------------------


def fits(content: Any, *, member: bool) -> bool:
    return Draft202012Validator(schema_of(member=member)).is_valid(content)


def changed(name: str, path: str, value: Any) -> Any:
    """Return an example with another value at a path such as groups.0.rekey.copies."""
    content = yaml.safe_load(example(f"{name}.yaml"))
    *parents, key = [int(part) if part.isdigit() else part for part in path.split(".")]
    here = content
    for part in parents:
        here = here[part]
    here[key] = value
    return content


@pytest.mark.parametrize(("name", "member"), FILES)
def test_the_example_fits_its_schema(name: str, member: bool) -> None:
    content: Any = yaml.safe_load(example(f"{name}.yaml"))
    assert fits(content, member=member)
    assert not fits(content, member=not member)


SERVER = [
    ("ike.idle", "15m", "15 minutes"),
    ("ike.idle", 1.5, -1),
    ("ike.idle", 30, True),
    ("ike.idle", "500ms", "soon"),
    ("groups.0.atd", 5, 5.5),
    ("ike.fragment_size", "64KiB", "64KB"),
    ("ike.fragment_size", 1200, 1200.5),
    ("ike.proposals", ["aes256gcm16-prfsha256-x25519-kw256"], ["aes256gcm16,prfsha256"]),
    ("ike.max_ike_sas", 1, 0),
    ("ike.childless", False, "no"),
    ("ike.optimized_rekey", None, {"colour": 1}),
    ("server.identity", "dn:hex:3000", "gcks.example"),
    ("listen.0.address", "2001:db8::1", "gcks.example"),
    ("listen.0.address", "fe80::1%eth0", "gcks%eth0"),
    ("listen.0.ike_ports", [500], 500),
    ("authentication.psk.0.identity", "*:*", "branch*.example"),
    ("authentication.psk.0.secret", "hex:00", "gm1.psk"),
    ("authentication.revocation", "hard", "very hard"),
    ("metrics.listen", "[::1]:9848", "9848"),
    ("metrics", None, []),
    ("logging.level", "debug", "loud"),
    ("groups.0.rekey.copies", 16, 17),
    ("groups.0.rekey.suite", "aes256-sha256", "aes256gcm16-sha256"),
    ("groups.0.rekey.key_wrap", "kw128", "kwarx"),
    ("groups.0.rekey.authentication", "implicit", "none"),
    ("groups.0.data_sas.0.suite", "sha256", "aes256"),
    ("groups.0.data_sas.0.source_port", "5000-5010", "5000,5010"),
    ("groups.0.data_sas.0.ip_protocol", 132, "sctp"),
    ("groups.0.data_sas.0.destination", "ff3e::/32", "everywhere"),
    ("groups.0.data_sas.0.destination", "239.1.0.0/255.255.0.0", "239.1.0.0/"),
    ("groups.0.data_sas.0.renew", None, "often"),
    ("groups.0.colour", None, None),
]
MEMBER = [
    ("ike.reregister_jitter", "auto", None),
    ("ike.reregister_jitter", "30s", "automatic"),
    ("server.transport", "auto", "sctp"),
    ("ceiling.encryption", ["aes128"], ["null"]),
    ("ceiling.signatures", ["ed25519"], ["ed448"]),
    ("ceiling.destinations", ["239.0.0.0/8"], "239.0.0.0/8"),
    ("data_plane.features", ["ipcomp"], ["colour"]),
    ("local.port", 0, 65536),
    ("server.port", 848, 0),
]


@pytest.mark.parametrize(
    ("name", "path", "right", "wrong"),
    [*(("gcks", *one) for one in SERVER), *(("member", *one) for one in MEMBER)],
)
def test_an_editor_tells_right_from_wrong(name: str, path: str, right: Any, wrong: Any) -> None:
    member = name == "member"
    known = path.rpartition(".")[2] != "colour"
    assert fits(changed(name, path, right), member=member) == known
    assert not fits(changed(name, path, wrong), member=member)


def test_the_suites_that_the_schema_lists_are_those_that_check_takes(directory: Path) -> None:
    listed = schema_of(member=False)["$defs"]["DataSaSection"]["properties"]["suite"]["enum"]
    esp = [*ENCR, *(f"{encr}-{integ}" for encr in ENCR for integ in INTEG)]
    for protocol, suite in [("esp", one) for one in esp] + [("ah", one) for one in INTEG]:
        given = f"destination: 239.1.1.2, protocol: {protocol}, suite: {suite}"
        text = SMALLEST.replace("destination: 239.1.1.2", given)
        assert check_file(write(directory, text)).usable == (suite in listed), suite


# --- descriptions and defaults ------------------------------------------------------------------


@pytest.mark.parametrize(("name", "member"), FILES)
def test_every_option_is_explained_in_a_line(name: str, member: bool) -> None:
    for place, option in options(schema_of(member=member)):
        told = option.get("description", "")
        assert len(told.split()) >= 3, f"{place}: write a docstring below the key of the model"
        assert told[0].isupper() or told[0] == "`", place
        assert told.endswith(".") and "\n" not in told and "  " not in told, place
        assert told.count("`") % 2 == 0, place


@pytest.mark.parametrize("member", [False, True])
def test_defaults_and_examples_fit_where_they_stand(member: bool) -> None:
    schema = schema_of(member=member)
    for place, option in options(schema):
        here = Draft202012Validator({**option, "$defs": schema["$defs"]})
        told = [option["default"]] if "default" in option else []
        assert all(here.is_valid(one) for one in [*told, *option.get("examples", [])]), place


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for section in sections(field.annotation):
            yield from models(section)


@pytest.mark.parametrize("member", [False, True])
def test_defaults_are_written_as_in_the_file_and_mean_the_same(member: bool) -> None:
    schema = schema_of(member=member)
    found = 0
    for model in models(MODELS[member]):
        told = schema["$defs"].get(model.__name__, schema)["properties"]
        for key, field in model.model_fields.items():
            assert field.is_required() == ("default" not in told[key]), key
            if field.is_required() or field.default is None:
                continue
            read = TypeAdapter(Annotated[(field.annotation, None, *field.metadata)])
            assert read.validate_python(told[key]["default"]) == field.default, key
            found += 1
    assert found > 40


def test_defaults_have_units_and_words() -> None:
    server, member = (schema_of(member=one)["$defs"] for one in (False, True))
    ike, sa = server["IkeSection"]["properties"], server["DataSaSection"]["properties"]
    assert [ike[key]["default"] for key in ("idle", "rekey_after")] == ["5s", "4h"]
    assert [sa[key]["default"] for key in ("source_port", "ip_protocol")] == ["any", "udp"]
    assert server["MetricsSection"]["properties"]["listen"]["default"] == "127.0.0.1:9848"
    assert member["MemberIkeSection"]["properties"]["reregister_jitter"]["default"] == "auto"
    assert member["CeilingSection"]["properties"]["max_rekey_lifetime"]["default"] == "7d"


@pytest.mark.parametrize("seconds", [0, 0.25, 0.5, 1, 1.5, 59, 60, 90, 3600, 5400, 86400, 604800])
def test_a_time_is_written_so_that_it_reads_the_same(seconds: float) -> None:
    written = write_time(seconds)
    assert TypeAdapter(Seconds).validate_python(written) == seconds
    assert len(written) <= 6


@pytest.mark.parametrize(
    ("octets", "written"), [(0, 0), (1200, 1200), (65536, "64KiB"), (2 << 20, "2MiB")]
)
def test_a_size_has_a_unit_where_that_is_shorter(octets: int, written: int | str) -> None:
    assert write_size(octets) == written
    assert TypeAdapter(Octets).validate_python(written) == octets


def test_every_algorithm_of_an_ike_sa_is_named() -> None:
    proposals = schema_of(member=False)["$defs"]["IkeSection"]["properties"]["proposals"]
    assert set(IKE) <= set(re.findall(r"\w+", proposals["description"]))
