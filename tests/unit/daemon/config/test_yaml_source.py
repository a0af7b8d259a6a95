"""Configurations of several files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gcks.daemon.config import yaml_source
from gcks.daemon.config.check import check_file
from gcks.daemon.config.problems import ConfigError
from gcks.daemon.config.yaml_source import read_yaml


def write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".yaml").write_text(text)
    return directory / "main.yaml"


def test_lists_are_joined_and_sections_filled_up(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main="include: [g/*.yaml, more.yaml]\ngroups: [{id: one}]\nike: {idle: 5s}\n",
        g__b="groups: [{id: three}]\n",
        g__a="groups:\n  - id: two\n",
        more="ike: {liveness: 30s}\nmetrics: {listen: x}\n",
    )
    content, findings = read_yaml(main)
    assert content == {
        "groups": [{"id": "one"}, {"id": "two"}, {"id": "three"}],
        "ike": {"idle": "5s", "liveness": "30s"},
        "metrics": {"listen": "x"},
    }
    assert str(findings.place(("groups", 1, "id"))) == f"{tmp_path}/g/a.yaml:2"
    assert str(findings.place(("groups", 0, "id"))) == f"{main}:2"
    assert str(findings.place(("ike", "liveness"))) == f"{tmp_path}/more.yaml:1"
    assert [path.name for path in findings.files] == ["a.yaml", "b.yaml", "more.yaml"]
    assert not findings.entries


@pytest.mark.parametrize(
    ("main", "other", "said"),
    [
        ("include: [other.yaml]\nike: {idle: 5s}\n", "ike: {idle: 6s}\n",
         "given in MAIN:2 and again in OTHER:1; keep one"),
        ("include: [other.yaml]\nike: {idle: 5s}\n", "ike: [1]\n", "and again in OTHER:1"),
        ("include: [other.yaml]\n", "include: [main.yaml]\n", "only the main file includes"),
        ("include: other.yaml\n", "", "give a list of files"),
        ("include: [nothing.yaml]\n", "", "nothing.yaml is not there"),
        ("include: [/etc/passwd]\n", "", "/etc/passwd is absolute"),
    ],
)  # fmt: skip
def test_what_contradicts_names_both_places(
    tmp_path: Path, main: str, other: str, said: str
) -> None:
    path = write(tmp_path, main=main, other=other)
    _, findings = read_yaml(path)
    said = said.replace("MAIN", str(path)).replace("OTHER", str(tmp_path / "other.yaml"))
    assert [one for one in findings.errors if said in one.text]


def test_a_problem_is_in_the_file_that_has_it(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        main="include: [groups.yaml]\nserver: {identity: 'fqdn:a'}\n",
        groups="groups:\n  - id: keyid:a\n    colour: red\n",
    )
    problems = [str(one) for one in check_file(path).problems]
    assert any(one.startswith(f"{tmp_path}/groups.yaml:3: groups[0].colour") for one in problems)
    write(tmp_path, groups="groups: [\n")
    with pytest.raises(ConfigError, match=r"groups\.yaml:2: not YAML"):
        read_yaml(path)


def test_no_more_files_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_source, "MAX_INCLUDED", 2)
    path = write(tmp_path, main="include: ['*.yaml']\n", a="", b="", c="")
    _, findings = read_yaml(path)
    assert "3 files; at most 2" in findings.errors[0].text


def test_a_secret_in_an_included_file_is_private(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        main="include: [psk.yaml]\nserver: {identity: 'fqdn:a'}\nlisten: [{address: 192.0.2.1}]\n",
        psk="authentication: {psk: [{identity: 'fqdn:x', secret: 'hex:" + "ab" * 32 + "'}]}\n",
    )
    path.chmod(0o600)
    (tmp_path / "psk.yaml").chmod(0o644)
    assert any("psk.yaml is a file" in str(one) for one in check_file(path).problems)
    (tmp_path / "psk.yaml").chmod(0o600)
    assert not any("psk.yaml is a file" in str(one) for one in check_file(path).problems)
