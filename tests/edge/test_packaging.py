"""What is made of the commands: manual pages by real formatters, completion by real shells."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import pytest

from gcks.cli import member_command as member
from gcks.cli import server_command as server
from gcks.cli.names import MAX_NAMES
from generated_by import manual
from tests.support.daemon_process import MANY_MEMBERS, Daemon
from tests.support.repository import ROOT
from tests.support.site import GROUP, JOIN, Site
from tests.support.waiting import wait_for

HERE = Path(__file__).parent
COMPLETION = ROOT / "config" / "completion"
PAGES = {"gcks.1": server.COMMANDS, "gcks-member.1": member.COMMANDS}
DELIBERATE = re.compile(r"missing date|longer than 80 bytes")
"""A page's date would be that of its making; a synopsis may be long."""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


def run(*command: str, code: int = 0, where: Path | None = None) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=where,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_every_generated_file_is_current() -> None:
    assert run(sys.executable, str(ROOT / "docs/generate"), "--check") == ""


@needs("mandoc")
@pytest.mark.parametrize("page", PAGES)
def test_manual_pages_are_well_formed(page: str) -> None:
    told = subprocess.run(
        ["mandoc", "-T", "lint", str(ROOT / "docs/man" / page)], capture_output=True, text=True
    ).stdout
    assert [line for line in told.splitlines() if not DELIBERATE.search(line)] == []


@needs("mandoc")
@pytest.mark.parametrize("page", PAGES)
def test_a_manual_page_explains_every_command_and_option(page: str) -> None:
    """As the commands' own --help has them."""
    program = page.removesuffix(".1")
    text = " ".join(run("mandoc", "-T", "ascii", str(ROOT / "docs/man" / page)).split())
    text = re.sub(r".\x08", "", text)
    for name in PAGES[page]:
        assert f"{program} {name}" in text
        shown = run(program, name, "--help")
        for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", shown)) - {"--help"}:
            assert option in text, (name, option)


@pytest.mark.parametrize("commands", PAGES.values(), ids=PAGES)
def test_every_parameter_is_explained(commands: dict[str, str]) -> None:
    for name, place in commands.items():
        for one in manual.parameters(manual.function_of(place)):
            assert len(one.help.split()) >= 2, (name, one.names)


@pytest.mark.parametrize("commands", PAGES.values(), ids=PAGES)
def test_no_path_is_a_wrong_command_line_because_it_cant_be_read(commands: dict[str, str]) -> None:
    """Who opens it says why, and ends with 1; typer would say 2, and only to users but root."""
    for name, place in commands.items():
        for one in inspect.signature(manual.function_of(place), eval_str=True).parameters.values():
            kind, info = get_args(one.annotation)
            if "Path" in str(kind):
                assert info.readable is False, (name, one.name)


# --- completion -----------------------------------------------------------------------------------

MEMBERS = 60
"""More than are offered at once."""
FROM_NOW_ON = ("fqdn:old*.test", "fqdn:lost.test")
"""Excluded by an operator; the first is a pattern, which a shell must not take for its own."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    site.serve()
    file = site.directory / "members.yaml"
    lines = JOIN.format(name="gm0", local="", **vars(site)).splitlines()
    file.write_text("\n".join(line for line in lines if not line.startswith("control:")))
    crowd = Daemon(
        [*MANY_MEMBERS, str(file), "1", str(MEMBERS)],
        site.directory / "members.log",
    )
    site.daemons.insert(0, crowd)
    site.gcks("exclude", GROUP, *FROM_NOW_ON)
    wait_for(lambda: site.ask("show", "server")["members"] == MEMBERS, "all members")
    before = os.environ.get("GCKS_CONTROL")
    os.environ["GCKS_CONTROL"] = str(site.directory / "control.sock")
    yield site
    if before is None:
        del os.environ["GCKS_CONTROL"]
    for daemon in site.daemons:
        daemon.stop()


def bash(line: str) -> set[str]:
    program = line.split()[0]
    script = COMPLETION / f"{program}.bash"
    told = run("bash", str(HERE / "complete.bash"), str(script), program, line)
    return set(told.split())


def fish(line: str) -> set[str]:
    """Where there are no files: those are what it offers when the program offers nothing."""
    script = f"source {COMPLETION}/{line.split()[0]}.fish; complete -C '{line}'"
    with TemporaryDirectory() as nowhere:
        told = run("fish", "--no-config", "-c", script, where=Path(nowhere))
    return {one.split("\t")[0] for one in told.splitlines()}


def zsh(line: str, made: str) -> bool:
    """Tell whether an interactive zsh makes one line of another."""
    return made in run("zsh", "-f", str(HERE / "complete.zsh"), str(COMPLETION), line, made)


Shell = Callable[[str], set[str]]
SHELLS = [pytest.param(bash, marks=needs("bash")), pytest.param(fish, marks=needs("fish"))]


def as_offered(shell: Shell, names: set[str]) -> set[str]:
    """Return names that begin as what is typed: bash replaces what follows the colon."""
    if shell is not bash:
        return names
    return {name.partition(":")[2].replace("*", "\\*") for name in names}


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_and_subjects_are_completed(shell: Shell) -> None:
    assert shell("gcks re") == {"reload", "rekey", "readmit"}
    assert {"groups", "members", "sas"} <= shell("gcks show ")
    assert "--certificate" in shell("gcks exclude --cert")
    assert shell("gcks-member st") == {"status"}
    assert shell("gcks-member run --transport ") == {"udp", "tcp", "auto"}
    assert "--key-log" in shell("gcks-member run --key")


@pytest.mark.parametrize("shell", SHELLS)
def test_names_of_the_running_servers_groups_are_completed(shell: Shell, site: Site) -> None:
    del site
    assert shell("gcks rekey ") == {GROUP}
    kind, _, name = GROUP.partition(":")
    typed = shell(f"gcks rekey {kind}:{name[:1]}")
    assert typed == as_offered(shell, {GROUP})
    assert shell("gcks show sas --group ") == {GROUP}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("before", [f"gcks exclude {GROUP} ", "gcks show members --match "])
def test_names_of_members_are_completed(before: str, shell: Shell, site: Site) -> None:
    """At most 50 of them; what is typed finds those beyond, too."""
    del site
    every = {f"fqdn:gm{number}.test" for number in range(1, MEMBERS + 1)}
    offered = shell(before)
    assert offered < every and len(offered) == MAX_NAMES
    fifties = {f"fqdn:gm5{digit}.test" for digit in ("", *range(10))}
    assert shell(f"{before}fqdn:gm5") == as_offered(shell, fifties)
    assert shell(f"{before}fqdn:nobody") == set()


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_typed_counts(shell: Shell, site: Site) -> None:
    del site
    fifties = {f"fqdn:gm5{digit}.test" for digit in range(10)}
    again = shell(f"gcks exclude {GROUP} fqdn:gm5.test fqdn:gm5")
    assert again == as_offered(shell, fifties), "who is named already is not offered again"
    assert shell("gcks exclude keyid:nope fqdn:") == set()
    assert shell("gcks show sas --match ") == set(), "there is nothing to match"


@pytest.mark.parametrize("shell", SHELLS)
def test_exclusions_are_completed_by_the_names_that_they_were_made_with(
    shell: Shell, site: Site
) -> None:
    """Quoted where the shell would take a pattern for its own."""
    del site
    quoted = {name.replace("*", "\\*") if shell is bash else name for name in FROM_NOW_ON}
    assert shell(f"gcks readmit {GROUP} ") == quoted
    assert shell(f"gcks readmit {GROUP} fqdn:o") == as_offered(shell, {FROM_NOW_ON[0]})


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line", ["gcks rekey --socket {} ", "gcks exclude --socket {} {} fqdn:g"])
def test_a_socket_that_is_typed_is_asked(
    line: str, shell: Shell, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCKS_CONTROL", "/nonexistent.sock")
    assert shell(line.format(site.directory / "control.sock", GROUP))
    assert not shell(line.format("/nonexistent.sock", GROUP))


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "line", ["gcks rekey ", f"gcks exclude {GROUP} ", f"gcks readmit {GROUP} "]
)
def test_without_a_server_nothing_is_offered_and_nothing_said(
    line: str, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither where nobody listens, nor where somebody listens who never answers."""
    monkeypatch.setenv("GCKS_CONTROL", "/nonexistent.sock")
    assert shell(line) == set()
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute.sock"))
        mute.listen()
        monkeypatch.setenv("GCKS_CONTROL", str(tmp_path / "mute.sock"))
        assert shell(line) == set()


@needs("zsh")
@pytest.mark.parametrize(
    ("typed", "made"),
    [
        ("gcks vers", "gcks version"),
        ("gcks rekey k", GROUP),
        (f"gcks exclude {GROUP} fqdn:gm7", "fqdn:gm7.test"),
        ("gcks show members --match fqdn:gm8", "fqdn:gm8.test"),
        (f"gcks readmit {GROUP} fqdn:o", r"fqdn:old\*.test"),
        ("gcks-member stat", "gcks-member status"),
    ],
)
def test_zsh_completes_in_an_interactive_shell(typed: str, made: str, site: Site) -> None:
    del site
    assert zsh(typed, made)
