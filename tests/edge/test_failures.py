"""What the system refuses, and files that are something else: one line with a remedy."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.repository import ROOT

PROGRAMS: Final = {"gcks": "gcks", "gcks-member": "gcks.cli.member_command"}
CONTROL: Final = ("--socket", "{}/nobody.sock")


def run(
    *command: str, where: Path, before: tuple[str, ...] = (), stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Run a command in a directory; `{}` stands for it in the arguments."""
    program, *rest = (one.replace("{}", str(where)) for one in command)
    return subprocess.run(
        [*before, sys.executable, "-m", PROGRAMS[program], *rest],
        stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, cwd=where,
        stdin=subprocess.DEVNULL, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "300"},
    )  # fmt: skip


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command complains of, which is no traceback."""
    text = (done.stdout or "") + done.stderr
    assert "Traceback" not in text and "[Errno" not in text, text
    return text


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "directory").mkdir()
    (tmp_path / "nonsense").write_bytes(bytes(range(256)))
    (tmp_path / "empty").touch()
    return tmp_path


# --- files that can't be what they should be ------------------------------------------------

WRONG = [
    (["gcks", "demo", "--once", "--dir", "/proc/none"], 1, "can't write to /proc/none: ", "--dir"),
    (["gcks", "demo", "--once", "--dir", "empty"], 1, "empty: File exists", "--dir"),
    (["gcks", "audit", "directory"], 1, "can't read directory: Is a directory", "name a file"),
    (["gcks", "audit", "none"], 1, "can't read none: No such file", "check the path"),
    (["gcks", "audit", "nonsense"], 1, "broken: nonsense:", "not an entry"),
    (["gcks", "decode", "directory"], 1, "can't read directory: Is a directory", "name a file"),
    (["gcks", "decode", "none.pcap"], 1, "none.pcap: neither a capture", "check the path"),
    (["gcks", "decode", "nonsense"], 1, "nonsense: neither a capture", "tcpdump -w"),
    (["gcks", "decode", "empty"], 1, "empty: neither a capture", "tcpdump -w"),
    (["gcks", "decode", "00", "--keys", "directory"], 1, "can't read directory", "name a file"),
    (["gcks", "check", "directory"], 1, "directory: can't read it", "name a file"),
    (["gcks", "serve", "none"], 1, "none: can't read it", "check the path"),
    (["gcks", "serve", "nonsense"], 1, "nonsense: not UTF-8", "name a configuration"),
    (["gcks", "serve", "--dev", "--key-log", "directory"], 1, "Is a directory", "name a file"),
    (["gcks", "serve", "--dev", "--data-dir", "/proc/none"], 1, "/proc/none: ", "--data-dir"),
    (["gcks", "serve", "--dev", "--data-dir", "empty"], 1, "empty: File exists", "--data-dir"),
    (["gcks-member", "run", "--config", "directory"], 1, "can't read it", "name a file"),
    (["gcks-member", "run", "--dev", "directory"], 1, "dev.json", "gcks serve --dev"),
    (["gcks", "exclude", "keyid:a", "--certificate", "none"], 2, "No such file", "check the path"),
    (["gcks", "readmit", "keyid:a", "--certificate", "directory"], 2, "directory", "name a file"),
    (["gcks", "exclude", "keyid:a", "--certificate", "nonsense"], 2, "no PEM", "openssl x509"),
    (["gcks", "show", "--socket", "nonsense"], 3, "no key server at nonsense", "--socket"),
    (["gcks-member", "status", "--socket", "directory"], 3, "no member at directory", "--socket"),
    (["gcks", "plan", "none", *CONTROL], 3, "nobody.sock (No such file", "start it"),
]


@pytest.mark.parametrize(
    ("command", "code", "reason", "remedy"), WRONG, ids=[" ".join(one[0]) for one in WRONG]
)
def test_a_file_that_is_something_else(
    command: list[str], code: int, reason: str, remedy: str, place: Path
) -> None:
    done = run(*command, where=place)
    text = said(done)
    assert done.returncode == code, text
    assert reason in text and remedy in text, text


def spoil(name: str, content: bytes | None) -> Callable[[Path], None]:
    """Return what makes a file of a development directory something else; None: a directory."""

    def work(directory: Path) -> None:
        (directory / name).mkdir() if content is None else (directory / name).write_bytes(content)

    return work


@pytest.mark.parametrize(
    "work",
    [
        spoil("ca.pem", b""),
        spoil("psk", b""),
        spoil("master.key", b"short"),
        spoil("master.key", None),
        spoil("gcks.sqlite", None),
        spoil("gcks.sqlite", b"nonsense" * 1000),
    ],
    ids=["no ca", "empty psk", "short key", "key is a directory", "store is one", "no database"],
)
def test_a_development_directory_with_other_files(
    work: Callable[[Path], None], place: Path
) -> None:
    work(place / "directory")
    done = run("gcks", "serve", "--dev", "--data-dir", "directory", where=place)
    text = said(done)
    assert done.returncode == 1 and str(place / "directory") in text
    assert "choose another" in text or "name another" in text or "write to the file" in text, text


@pytest.mark.parametrize("content", ["[]", "{}", '{"identity": 7}', "nonsense"])
def test_a_dev_json_that_is_none(content: str, place: Path) -> None:
    (place / "directory" / "dev.json").write_text(content)
    done = run("gcks-member", "run", "--dev", "directory", where=place)
    assert done.returncode == 1 and "gcks serve --dev" in said(done)


def test_an_identity_that_is_none(place: Path) -> None:
    done = run("gcks-member", "run", "--dev", "directory", "--identity", "x", where=place)
    assert done.returncode == 1
    assert "--identity: 'x'" in said(done) and "such as fqdn:gm1.dev" in done.stderr


# --- what only others may ---------------------------------------------------------------------


@pytest.fixture
def without_privileges() -> tuple[str, ...]:
    """Return what takes from root the right to read and write everything."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


FORBIDDEN = [
    (["gcks", "audit", "locked"], "can't read locked: Permission denied", "let the user"),
    (["gcks", "decode", "locked"], "can't read locked: Permission denied", "let the user"),
    (["gcks", "check", "locked"], "locked: can't read it: Permission denied", "let the user"),
    (["gcks", "serve", "locked"], "locked: can't read it: Permission denied", "let the user"),
    (["gcks", "serve", "--dev", "--data-dir", "closed"], "closed: Permission denied", "--data-dir"),
    (["gcks", "demo", "--once", "--dir", "closed"], "closed/psk: Permission denied", "--dir"),
    (["gcks-member", "run", "--config", "locked"], "Permission denied", "let the user"),
]


@pytest.mark.parametrize(
    ("command", "reason", "remedy"), FORBIDDEN, ids=[" ".join(one[0]) for one in FORBIDDEN]
)
def test_a_file_that_the_user_may_not_use(
    command: list[str], reason: str, remedy: str, place: Path, without_privileges: tuple[str, ...]
) -> None:
    (place / "locked").touch(mode=0)
    (place / "closed").mkdir(mode=0o555)
    done = run(*command, where=place, before=without_privileges)
    text = said(done)
    assert done.returncode == 1 and reason in text and remedy in text, text


# --- the other end ----------------------------------------------------------------------------


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Path]:
    """Listen at a UNIX socket as some other program does."""
    path = tmp_path / "stranger.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b'"hello"\n', b"{}\n"):
                peer, _ = listener.accept()
                with peer:
                    peer.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path


def test_a_socket_of_another_program(stranger: Path) -> None:
    for _ in range(3):
        done = run("gcks", "show", "--socket", str(stranger), where=stranger.parent)
        assert done.returncode == 3
        assert f"{stranger} is another program's socket; name its socket" in said(done)


@pytest.mark.parametrize(
    "command", [["version", "--json"], ["check", "--reference"], ["check", "--schema"]]
)
def test_output_that_cant_be_written(command: list[str], tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    done = run("gcks", *command, where=tmp_path, stdout=full)
    os.close(full)
    assert (done.returncode, done.stderr) == (
        1,
        "gcks: can't write the output: No space left on device\n",
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = run("gcks", *command, where=tmp_path, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, ""), "who reads no more has seen enough"
