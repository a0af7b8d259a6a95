"""The key log's file: private, refused where it isn't, never by mistake in a service."""

from __future__ import annotations

import os
import resource
import stat
from math import inf
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gcks.cli import member_command as member
from gcks.cli import server_command as server
from gcks.daemon.key_log_file import KeyLogFile, KeyLogOptions, open_key_log, warning
from gcks.decode.key_log_format import decode_key_log
from gcks.errors import LocalError
from gcks.iana import ProtocolId
from gcks.journal import SaDeleted, SaSaved
from tests.support.gsa_policies import ESP, REKEY
from tests.support.sample_messages import IKE


def saved(spi: bytes = ESP.spi, *, retired: bool = False) -> SaSaved:
    return SaSaved(
        "keyid:demo",
        ProtocolId.ESP,
        spi,
        "a",
        ESP.encode(),
        b"k" * 36,
        0,
        9,
        5.0 if retired else inf,
    )


def test_what_is_appended_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    rekey = SaSaved("keyid:demo", 6, REKEY.spi, "", REKEY.encode(), b"k" * 68, 0, 9)
    first = KeyLogFile(path)
    first(IKE)
    first.journal([saved(), saved(retired=True), SaDeleted("keyid:demo", 3, ESP.spi)])
    assert len(list(KeyLogFile(path).restored([rekey, saved(retired=True)]))) == 2
    content = decode_key_log(path.read_text())
    assert [getattr(one, "protocol", None) for one in content.entries] == [None, 3, 6, 3]
    assert path.read_text().count("gcks-key-log") == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    path.touch()
    path.chmod(mode)
    with pytest.raises(LocalError, match="others can read the key log .*; chmod 600 it"):
        KeyLogFile(path)
    assert path.read_text() == ""


def test_neither_links_nor_pipes_nor_directories(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("link", "pipe", ".", "missing/keys"):
        with pytest.raises(LocalError, match="can't write the key log"):
            KeyLogFile(tmp_path / name)
    with pytest.raises(LocalError, match="no regular file"):
        KeyLogFile(Path(os.devnull))
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("variable", ["INVOCATION_ID", "NOTIFY_SOCKET"])
def test_a_service_must_be_told_twice(tmp_path: Path, variable: str) -> None:
    path = tmp_path / "keys"
    environment = {variable: "x"}
    with pytest.raises(LocalError, match="say --key-log-under-systemd as well"):
        open_key_log(KeyLogOptions(path), environment)
    assert not path.exists()
    assert open_key_log(KeyLogOptions(path, under_systemd=True), environment).path == path
    assert open_key_log(KeyLogOptions(path), {}).path == path


def test_the_warning_says_what_it_costs() -> None:
    text = warning(Path("/x/keys"))
    assert text.startswith("WARNING: all keys are written to /x/keys.")


@pytest.mark.parametrize(
    ("app", "arguments"),
    [(server.app, ["serve", "--dev"]), (member.app, ["run", "--dev", "/nowhere"])],
)
def test_the_commands_refuse_in_one_line(
    app: object, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys"
    monkeypatch.setenv("INVOCATION_ID", "x")
    done = CliRunner().invoke(app, [*arguments, "--key-log", str(path)])  # type: ignore[arg-type]
    assert done.exit_code == 1
    assert "a service must not log keys by mistake" in done.stderr
    only = CliRunner().invoke(app, [*arguments, "--key-log-under-systemd"])  # type: ignore[arg-type]
    assert only.exit_code == 2
    assert not path.exists()


def test_a_full_disk_costs_the_log_only(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    log = KeyLogFile(path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), limits[1]))
    try:
        log(IKE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    log(IKE)
    assert path.read_bytes() != before
