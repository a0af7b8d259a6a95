"""Configuration files: the examples load, and what is wrong is named with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from gcks.daemon.config.check import check_server
from gcks.daemon.config.member_file import load_member
from gcks.daemon.config.member_model import MemberFile
from gcks.daemon.config.problems import ConfigError
from gcks.daemon.config.server_file import load_server
from gcks.daemon.config.server_model import ServerFile
from gcks.daemon.dev import prepare

ROOT = Path(__file__).parents[3]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with all the files that the examples refer to."""
    files = prepare(tmp_path / "dev")
    for name, source in {
        "server.pem": files.server_certificate, "server.key": files.server_key,
        "ca.pem": files.ca, "gm1.psk": files.secret, "branch.psk": files.secret,
        "master.key": files.master_key,
    }.items():  # fmt: skip
        target = tmp_path / name
        target.write_bytes(source.read_bytes())
        target.chmod(0o600)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return tmp_path


def example(name: str) -> str:
    return (ROOT / "config" / name).read_text()


def write(directory: Path, text: str) -> Path:
    path = directory / "config.yaml"
    path.write_text(text.replace("/var/lib/gcks/", f"{directory}/"))
    return path


def keys_of(model: type[BaseModel]) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for name, field in model.model_fields.items():
        found.add((name,))
        for section in sections(field.annotation):
            found.update((name, *rest) for rest in keys_of(section))
    return found


def sections(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for argument in get_args(annotation) for section in sections(argument)]


def keys_in(content: Any) -> set[tuple[str, ...]]:
    if isinstance(content, list):
        return set().union(*map(keys_in, content)) if content else set()
    if not isinstance(content, dict):
        return set()
    below = {(name, *rest) for name, value in content.items() for rest in keys_in(value)}
    return {(name,) for name in content} | below


def test_the_server_example_loads(directory: Path) -> None:
    config = load_server(write(directory, example("gcks.yaml")))
    group = config.groups["keyid:video"]
    assert [sa.name for sa in group.data_sas] == ["stream", "control"]
    assert config.listeners[0].ike == (500, 848)
    assert config.metrics is not None
    assert config.metrics.port == 9848


def test_the_member_example_loads(directory: Path) -> None:
    config = load_member(write(directory, example("member.yaml")))
    assert str(config.settings.identity) == "fqdn:gm1.example"
    assert config.data_plane.kind == "xfrm"


@pytest.mark.parametrize(
    ("name", "model", "commented"),
    [
        ("gcks.yaml", ServerFile, set()),
        ("member.yaml", MemberFile, {("authentication", "certificate"), ("authentication", "key")}),
    ],
)
def test_the_examples_hold_every_key(
    name: str, model: type[BaseModel], commented: set[tuple[str, ...]]
) -> None:
    assert keys_of(model) - keys_in(yaml.safe_load(example(name))) == commented


# ruff: noqa: E501
WRONG = [
    ("atd: 5s", "atd: soon", "groups[0].atd", "no duration"),
    ("sender_id_bits: 16", "sender_id_bitz: 16", "groups[0].sender_id_bitz", "sender_id_bits?"),
    ("suite: aes256gcm16             # default; as", "suite: des #", "groups[0].rekey.suite", "none of"),
    ("address: 239.255.84.8", "address: 192.0.2.9", "groups[0].rekey.address", "not a multicast"),
    ("destination: 239.1.2.3", "destination: 192.0.2.3", "groups[0].data_sas[0].destination", "multicast"),
    ("dtd: 15s", "dtd: 4s", "groups[0].dtd", "longer than atd"),
    ("id: keyid:video", "id: video", "groups[0].id", "expected one of"),
    ("secret: file:gm1.psk", "secret: file:none", "authentication.psk[0].secret", "can't read"),
    ("certificate: server.pem", "certificate: ca.pem", "server.key", "not the key of"),
    ("sender: fqdn:gm1.example ", "sender: fqdn:gm9.example ", "groups[0].data_sas[1].sender", "may not send"),
    ("senders: many", "senders: single", "groups[0].data_sas[0].sender", "must name it"),
    ("name: control", "name: stream", "groups[0].data_sas", "two SAs are named"),
    ("lifetime: 1h ", "lifetime: 20s ", "groups[0].data_sas[0].lifetime", "more than twice"),
    ("spread: 2s", "spread: 1h", "groups[0].rekey.spread", "a few seconds"),
    ("protocol: esp                # default", "protocol: ah #", "groups[0].data_sas[0].suite", "none of"),
    ("identity: fqdn:gcks.example", "identity: 7", "server.identity", "string"),
    ("- address: 192.0.2.1", "- address: nowhere", "listen[0].address", "does not appear to be"),
    ("authentication: ed25519", "authentication: md5", "groups[0].rekey.authentication", "choose one"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "key", "reason"), WRONG)
def test_a_wrong_value_is_named_with_line_key_and_reason(
    directory: Path, right: str, wrong: str, key: str, reason: str
) -> None:
    text = example("gcks.yaml")
    assert right in text
    path = write(directory, text.replace(right, wrong, 1))
    report = check_server(path)
    assert not report.usable
    found = [p for p in report.problems if p.key == key and reason in p.reason and not p.warning]
    assert found, report.problems
    if key.rpartition(".")[2] == wrong.split(":")[0]:
        assert wrong.split()[0].rstrip(":") in path.read_text().splitlines()[found[0].line - 1]


def test_all_problems_come_at_once(directory: Path) -> None:
    text = example("gcks.yaml")
    text = text.replace("atd: 5s", "atd: soon").replace("capacity: 1000000", "capacity: many")
    with pytest.raises(ConfigError) as caught:
        load_server(write(directory, text))
    assert {"groups[0].atd", "groups[0].capacity"} <= {p.key for p in caught.value.problems}


def test_a_secret_that_others_can_read_is_refused(directory: Path) -> None:
    (directory / "gm1.psk").chmod(0o644)
    report = check_server(write(directory, example("gcks.yaml")))
    assert "chmod 600" in str(report.problems[0])


@pytest.mark.parametrize(
    "text", ["", "- a", "a: [", "server: {identity: 'fqdn:a'}\n\tx: 1", "a: b: c"]
)
def test_what_is_no_configuration_is_one_clear_error(directory: Path, text: str) -> None:
    report = check_server(write(directory, text))
    assert not report.usable
    assert report.problems


def test_a_key_given_twice_is_an_error(directory: Path) -> None:
    report = check_server(write(directory, example("gcks.yaml") + "\nstore: {master_key: x}\n"))
    assert any(p.key == "store" and "twice" in p.reason for p in report.problems)
