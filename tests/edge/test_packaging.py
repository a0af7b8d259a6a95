"""What is made of the commands: manual pages by real formatters, completion by real shells."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from gcks.cli import manual, member, server
from tests.edge.test_dev import ROOT
from tests.edge.test_operator import GROUP, Site

HERE = Path(__file__).parent
COMPLETION = ROOT / "config" / "completion"
PAGES = {"gcks.1": server.COMMANDS, "gcks-member.1": member.COMMANDS}
DELIBERATE = re.compile(r"missing date|longer than 80 bytes")
"""A page's date would be that of its making; a synopsis may be long."""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


def run(*command: str, code: int = 0) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "PATH": path}
    )
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
        for one in manual.parameters(manual._function(place)):
            assert len(one.help.split()) >= 2, (name, one.names)


@pytest.mark.parametrize("commands", PAGES.values(), ids=PAGES)
def test_no_path_is_a_wrong_command_line_because_it_cant_be_read(commands: dict[str, str]) -> None:
    """Who opens it says why, and ends with 1; typer would say 2, and only to users but root."""
    for name, place in commands.items():
        for one in inspect.signature(manual._function(place), eval_str=True).parameters.values():
            kind, info = get_args(one.annotation)
            if "Path" in str(kind):
                assert info.readable is False, (name, one.name)


def test_the_dockerfile_copies_what_the_build_needs(tmp_path: Path) -> None:
    """No container engine here: its build stage, step by step."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        words = line.split()
        if words[:1] != ["COPY"] or words[1].startswith("--"):
            continue
        for name in words[1:-1]:
            assert name in allowed, f"{name} isn't in the build's context"
            target = tmp_path / words[-1] / (name if words[-1] == "./" else "")
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, target)
    wheels = tmp_path / "wheels"
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(wheels), str(tmp_path))
    (wheel,) = wheels.iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("share/man/man1/gcks.1") for name in names)
    for schema in ("gcks", "member", "control", "decode"):
        assert any(name.endswith(f"share/gcks/{schema}.schema.json") for name in names), schema
    assert "gcks/cli/server.py" in names and not [n for n in names if n.startswith("tests/")]


# --- completion -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    site.serve()
    before = os.environ.get("GCKS_CONTROL")
    os.environ["GCKS_CONTROL"] = str(site.directory / "control.sock")
    yield site
    if before is None:
        del os.environ["GCKS_CONTROL"]
    for daemon in site.daemons:
        daemon.stop()


def bash(line: str) -> set[str]:
    told = run("bash", str(HERE / "complete.bash"), str(COMPLETION / "gcks.bash"), line)
    return set(told.split())


def fish(line: str) -> set[str]:
    script = f"source {COMPLETION}/gcks.fish; complete -C '{line}'"
    return {one.split("\t")[0] for one in run("fish", "--no-config", "-c", script).splitlines()}


SHELLS = [pytest.param(bash, marks=needs("bash")), pytest.param(fish, marks=needs("fish"))]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_and_subjects_are_completed(shell: Callable[[str], set[str]]) -> None:
    assert shell("gcks re") == {"reload", "rekey", "readmit"}
    assert {"groups", "members", "sas"} <= shell("gcks show ")
    assert "--certificate" in shell("gcks exclude --cert")


@pytest.mark.parametrize("shell", SHELLS)
def test_names_of_the_running_servers_groups_are_completed(
    shell: Callable[[str], set[str]], site: Site
) -> None:
    del site
    assert shell("gcks rekey ") == {GROUP}
    kind, _, name = GROUP.partition(":")
    typed = shell(f"gcks rekey {kind}:{name[:1]}")
    assert typed == {name if shell is bash else GROUP}, "bash replaces what follows the colon"


@needs("zsh")
@pytest.mark.parametrize(
    ("typed", "made"), [("gcks vers", "gcks version"), ("gcks rekey k", GROUP)]
)
def test_zsh_completes_in_an_interactive_shell(typed: str, made: str, site: Site) -> None:
    del site
    assert made in run("zsh", "-f", str(HERE / "complete.zsh"), str(COMPLETION), typed, made)
