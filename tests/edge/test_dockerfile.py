"""The image, without a container engine: what its build stage makes, what the other one says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.repository import ROOT
from tests.support.site import Site

STEP = re.compile(r"^([A-Z]+) ((?:.*\\\n)*.*)$", re.MULTILINE)
SECRET = re.compile(r"\.(key|psk|pem|sqlite|env)$|^dev\.json$")

Steps = list[tuple[str, str]]


def stages() -> list[Steps]:
    """Return the steps of each stage, its FROM first."""
    found: list[Steps] = []
    for instruction, text in STEP.findall((ROOT / "Dockerfile").read_text()):
        if instruction == "FROM":
            found.append([])
        found[-1].append((instruction, text))
    return found


BUILD, IMAGE = stages()
SAYS = dict(IMAGE)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )


def test_the_build_stage_makes_an_environment_of_the_wheel_alone(tmp_path: Path) -> None:
    """Step by step, of what .dockerignore lets into its context."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    source, target = tmp_path / "source", tmp_path / "gcks"
    source.mkdir()
    for instruction, text in BUILD:
        if instruction == "COPY":
            *names, to = text.split()
            for name in names:
                assert name in allowed, f"{name} isn't in the build's context"
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, source / to / (name if to == "./" else ""))
        elif instruction == "RUN":
            command = text.replace("/opt/gcks", str(target)).replace(
                "python -m", f"{sys.executable} -m"
            )
            done = run("sh", "-ec", f"cd {source} && {command}")
            assert done.returncode == 0, done.stderr
    assert not [file for file in source.rglob("*") if SECRET.search(file.name)]
    assert run(str(target / "bin/gcks"), "version").stdout.startswith("gcks ")
    assert (target / "share/man/man1/gcks.1").is_file()
    schemas = {path.name.split(".")[0] for path in target.glob("share/gcks/*.schema.json")}
    assert schemas == {"gcks", "member", "control", "decode"}
    packages = {one.name for one in target.glob("lib/python3*/site-packages/*")}
    assert "gcks" in packages and not packages & {"pip", "setuptools", "tests", "generated_by"}


def test_the_image_has_the_environment_and_nothing_else() -> None:
    assert [text.split()[0] for kind, text in (*BUILD, *IMAGE) if kind == "FROM"] == [
        "python:3.13-slim"
    ] * 2
    copied = [text for kind, text in IMAGE if kind in ("COPY", "ADD")]
    assert copied == ["--from=build /opt/gcks /opt/gcks"]
    assert "ARG" not in SAYS and not re.search("password|secret|token", str(IMAGE), re.IGNORECASE)


def test_it_runs_as_nobody_in_particular_and_stays_so() -> None:
    kinds = [kind for kind, _ in IMAGE]
    assert kinds.count("USER") == 1 and "RUN" not in kinds[kinds.index("USER") :]
    user = SAYS["USER"]
    assert user not in ("root", "0") and re.search(
        rf"useradd .*--uid [1-9]\d* .*{user}\b", SAYS["RUN"]
    )


def test_the_example_finds_what_it_names() -> None:
    """Its directories belong to the user and outlive the container, its variables are set."""
    example = (ROOT / "config/gcks.yaml").read_text()
    (owned,) = re.findall(rf"install -d -o {SAYS['USER']} .*-m 0700 (.*)", SAYS["RUN"])
    places = {
        str(Path(path).parent) for path in re.findall(r"^  path: (/\S+)", example, re.MULTILINE)
    }
    assert places == set(owned.split()) == {*SAYS["VOLUME"].split(), "/run/gcks"}
    variables = dict(word.split("=", 1) for word in SAYS["ENV"].split())
    assert set(re.findall(r"^[^#]*\$\{(\w+)\}", example, re.MULTILINE)) <= set(variables)
    ports = {
        int(port)
        for port in re.findall(r"_ports: \[([\d, ]+)\]", example)
        for port in port.split(",")
    }
    assert ports <= {int(word.split("/")[0]) for word in SAYS["EXPOSE"].split()}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for daemon in site.daemons:
        daemon.stop()


def test_its_health_is_whether_a_server_answers(site: Site) -> None:
    command = json.loads(SAYS["HEALTHCHECK"].partition(" CMD ")[2])
    program = str(Path(sys.executable).with_name(command[0]))
    control = str(site.directory / "control.sock")
    assert run(program, *command[1:], GCKS_CONTROL=control).returncode == 3
    site.serve()
    done = run(program, *command[1:], GCKS_CONTROL=control)
    assert done.returncode == 0 and json.loads(done.stdout)["groups"] == 1


def test_it_serves_the_mounted_file() -> None:
    program, *arguments = [*json.loads(SAYS["ENTRYPOINT"]), *json.loads(SAYS["CMD"])]
    done = run(str(Path(sys.executable).with_name(program)), *arguments[:1], "/nowhere/gcks.yaml")
    assert arguments == ["serve", "/etc/gcks/gcks.yaml"]
    assert done.returncode == 1 and "/nowhere/gcks.yaml" in done.stderr
