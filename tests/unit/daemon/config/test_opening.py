"""Files of a configuration: ordinary ones only, without waiting, and secrets nobody else knows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gcks.daemon.config import yaml_source
from gcks.daemon.config.check import check_file
from gcks.daemon.config.files import Files
from gcks.daemon.config.opening import read_file
from gcks.daemon.config.problems import MAX_TOLD, ConfigError, Problem
from gcks.daemon.config.yaml_source import read_yaml

KEY = b"k" * 32


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "gcks.yaml")


def secret(path: Path, mode: int = 0o600) -> Path:
    path.write_bytes(KEY)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["fifo", "directory"])
def test_what_is_no_ordinary_file_is_refused_at_once(
    tmp_path: Path, files: Files, make: Callable[[Path], None]
) -> None:
    """Nobody writes to this FIFO: open(2) would wait for ever."""
    make(tmp_path / "odd")
    with pytest.raises(OSError, match=r"ordinary|directory"):
        read_file(tmp_path / "odd", 10)
    with pytest.raises(ValueError, match="can't read"):
        files.secret("file:odd")
    with pytest.raises(ConfigError, match="can't read it"):
        read_yaml(tmp_path / "odd")


def test_a_device_is_not_read(files: Files) -> None:
    with pytest.raises(ValueError, match="no ordinary file"):
        files.master_key("/dev/zero")


def test_one_octet_too_many_is_enough(tmp_path: Path) -> None:
    secret(tmp_path / "k")
    assert read_file(tmp_path / "k", 31)[0] == KEY
    assert read_file(tmp_path / "k", 7)[0] == KEY[:8]


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (secret(tmp_path / "k"), tmp_path, Path("/dev/null"), tmp_path / "none"):
        for _ in range(3):
            try:
                read_file(path, 10)
            except OSError:
                continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- secrets ----------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="to give files away needs root")
def test_a_secret_of_somebody_else_is_refused(tmp_path: Path, files: Files) -> None:
    path = secret(tmp_path / "k")
    assert files.secret("file:k") == KEY
    os.chown(path, 65534, 65534)
    with pytest.raises(ValueError, match="belongs to uid 65534; chown it"):
        files.secret("file:k")


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o644])
def test_a_secret_is_judged_by_what_was_opened(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """Its name may lead elsewhere between a look at it and the opening."""
    secret(tmp_path / "k", mode)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: pytest.fail("looked at by its name"))
    with pytest.raises(ValueError, match="chmod 600"):
        files.secret("file:k")


# --- too much ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [" + "1," * 5_000 + "]", "more than .* values"),
        ("".join(f"a{number}: 1\n" for number in range(2_000)), "more than .* values"),
        ("a: " + "[" * 500, "nested"),
        ("a: " + "[" * 150 + "]" * 150, "nested too deeply"),
        ("a: " + "{b: " * 150 + "}" * 150, "nested too deeply"),
    ],
)
def test_what_is_too_much_is_given_up_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    path = tmp_path / "gcks.yaml"
    path.write_text(text)
    monkeypatch.setattr(yaml_source, "MAX_VALUES", 1_000)
    monkeypatch.setattr(yaml_source._Builder, "build", lambda *_: pytest.fail("was composed"))
    with pytest.raises(ConfigError, match=said):
        read_yaml(path)


def test_all_files_together_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_source, "MAX_OCTETS", 1_000)
    (tmp_path / "main.yaml").write_text("include: ['g/*.yaml']\n")
    (tmp_path / "g").mkdir()
    for number in range(9):
        (tmp_path / "g" / f"{number}.yaml").write_text("#" * 100 + "\n")
    read_yaml(tmp_path / "main.yaml")
    (tmp_path / "g" / "9.yaml").write_text("#" * 100 + "\n")
    with pytest.raises(ConfigError, match=r"9\.yaml: with the files before it larger than 1000"):
        read_yaml(tmp_path / "main.yaml")


@pytest.mark.parametrize("pattern", ["", ".", "a\\0b", "/", "**x"])
def test_a_pattern_that_is_none_is_a_problem(tmp_path: Path, pattern: str) -> None:
    path = tmp_path / "gcks.yaml"
    path.write_text(f'include: ["{pattern}"]\nserver: {{}}\n')
    assert not check_file(path).usable


def test_a_path_with_a_nul_is_a_problem(tmp_path: Path, files: Files) -> None:
    assert "no name of a file" in str(check_file(Path("\0")).problems[0])
    with pytest.raises(ValueError, match="NUL"):
        files.master_key("a\0b")


def test_an_error_tells_of_a_flood_of_problems_only_the_first() -> None:
    problems = [Problem("f", number, "", "wrong", "mend it") for number in range(MAX_TOLD + 5)]
    text = str(ConfigError(problems))
    assert text.count("wrong") == MAX_TOLD and text.endswith("... and 5 more")
    assert len(ConfigError(problems).problems) == MAX_TOLD + 5


# --- what messages repeat ---------------------------------------------------------------

DIGITS = "00112233445566778899aabbccddeeff" * 2
BASE64 = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k="
SERVER = """
server: {{identity: 'fqdn:a', key: '{0}'}}
listen: [{{address: 192.0.2.1}}]
store: {{path: x, master_key: '{0}'}}
authentication: {{psk: [{{identity: 'fqdn:b', secret: 'file:{0}'}}], trust_anchors: ['{0}']}}
groups:
  - id: keyid:a
    members: [{{identity: 'fqdn:*', send: true}}]
    data_sas: [{{name: a, destination: 239.1.1.2}}]
"""


@pytest.mark.parametrize(
    "text",
    [f"hex:{DIGITS}", f" {DIGITS}", DIGITS, BASE64, f"-----BEGIN PRIVATE KEY-----\\n{BASE64}"],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gcks.yaml"
    path.write_text(SERVER.format(text).replace("'", '"'))
    told = "\n".join(map(str, check_file(path).problems))
    for key in ("server.key", "store.master_key", "psk[0].secret", "trust_anchors[0]"):
        assert key in told
    assert not re.search("00112233|q83vASNF|BEGIN", told)
    if text.startswith(("hex:", "-----BEGIN")):
        assert "hex: is only for psk and secret" in told


def test_a_number_that_is_a_secret_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "gcks.yaml"
    path.write_text(f"server: {{identity: 'fqdn:a', key: {'12345678' * 8}}}\n")
    told = "\n".join(map(str, check_file(path).problems))
    assert "server.key" in told and "12345678" not in told


@pytest.mark.parametrize(
    "name", ["gm1.psk", "gcks-server-certificate-of-the-data-centre-2026.key", "/etc/gcks/gm1.psk"]
)
def test_names_of_files_are_repeated(files: Files, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        files.secret(f"file:{name}")


def test_the_environment_is_not_repeated(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path may hold any variable, and some of them are secrets."""
    monkeypatch.setenv("GM1_PSK", "do-not-tell")
    text = SERVER.format("${GM1_PSK}/y").replace("path: x", "path: '/x/${GM1_PSK}/y/z'")
    path = tmp_path / "gcks.yaml"
    path.write_text(text + "control: {path: '/x/${GM1_PSK}'}\naudit: {path: '${NOT_THERE}/x'}\n")
    told = "\n".join(map(str, check_file(path).problems))
    assert "do-not-tell" not in told and told.count("${GM1_PSK}") >= 5
    assert "audit.path: the environment has no NOT_THERE" in told
