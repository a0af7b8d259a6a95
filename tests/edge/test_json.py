"""Whatever a command prints with --json is as config/control.schema.json says, for real.

The commands are found in the programs' own tables: one with --json and without a
schema, or that nobody calls here, is a failure.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from gcks.cli import member_command as member
from gcks.cli import server_command as server
from gcks.cli.operate import Subject
from generated_by import manual
from tests.support.captures import ipv4, pcap, udp
from tests.support.daemon_process import Daemon
from tests.support.repository import ROOT
from tests.support.sample_messages import INIT
from tests.support.site import GROUP, Site
from tests.support.waiting import wait_for

PROGRAMS: Final = {"gcks": server.COMMANDS, "gcks-member": member.COMMANDS}
SCHEMA: Final = json.loads((ROOT / "config" / "control.schema.json").read_text())
_DECODE: Final = json.loads((ROOT / "config" / "decode.schema.json").read_text())
_REGISTRY: Final[Any] = Registry().with_resources(
    [
        ("control.schema.json", Resource.from_contents(SCHEMA)),
        ("decode.schema.json", Resource.from_contents(_DECODE)),
    ]
)


def validator(name: str) -> Draft202012Validator:
    """Return what judges by an entry of `$defs`, as a program would refer to it."""
    assert name in SCHEMA["$defs"], f"{name}: config/control.schema.json has no such entry"
    reference = {"$ref": f"control.schema.json#/$defs/{name}"}
    return Draft202012Validator(reference, registry=_REGISTRY)


def speaking_json() -> list[tuple[str, str]]:
    """Return every command of both programs that has --json."""
    return [
        (program, name)
        for program, commands in PROGRAMS.items()
        for name, place in commands.items()
        if any("--json" in one.names for one in manual.parameters(manual.function_of(place)))
    ]


CALLS: Final[dict[tuple[str, str], list[tuple[int, list[str]]]]] = {
    ("gcks", "check"): [(0, ["CONFIG"]), (1, ["BAD"])],
    ("gcks", "plan"): [(0, []), (0, ["OTHER"])],
    ("gcks", "show"): [(0, [subject.value]) for subject in Subject],
    ("gcks", "rekey"): [(0, [GROUP])],
    ("gcks", "exclude"): [
        (0, [GROUP, "fqdn:gm3.test", "--dry-run"]),
        (0, [GROUP, "fqdn:gm3.test", "fqdn:gm9.test", "--now"]),
    ],
    ("gcks", "readmit"): [(0, [GROUP, "fqdn:gm9.test"])],
    ("gcks", "reload"): [(0, [])],
    ("gcks", "events"): [(0, ["--last", "1000", "--level", "debug"])],
    ("gcks", "audit"): [(0, ["AUDIT"]), (1, ["BROKEN"]), (1, ["EMPTY"])],
    ("gcks", "decode"): [(0, ["CAPTURE"]), (1, ["DAMAGED"])],
    ("gcks", "version"): [(0, [])],
    ("gcks-member", "check"): [(0, ["MEMBER"])],
    ("gcks-member", "status"): [(0, [])],
    ("gcks-member", "leave"): [(0, [])],
    ("gcks-member", "version"): [(0, [])],
}
"""Command -> exit code and arguments of each call, in this order; capitals are files below."""


def test_every_command_with_json_is_called() -> None:
    assert set(CALLS) == set(speaking_json())


def names_of(program: str, command: str) -> list[str]:
    """Return the entries of `$defs` that a command has."""
    subjects = [f"-{one.value}" for one in Subject] if command == "show" else [""]
    return [f"{program}-{command}{subject}" for subject in subjects]


@pytest.mark.parametrize(("program", "command"), speaking_json())
def test_every_command_with_json_has_a_schema(program: str, command: str) -> None:
    for name in names_of(program, command):
        assert not validator(name).is_valid({"schema_version": 1, "surprise": 1})


def test_the_schema_is_one_and_names_nothing_that_is_not_there() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    known = {one for commands in speaking_json() for one in names_of(*commands)}
    assert known == {one for one in SCHEMA["$defs"] if one.startswith("gcks")}
    for name in SCHEMA["$defs"]:
        validator(name).is_valid({})  # follows every reference


# --- the commands -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    site.serve()
    for name in ("gm1", "gm2", "gm3"):
        site.join(name).says("registered ")
    yield site
    for daemon in site.daemons:
        daemon.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def files(site: Site) -> dict[str, str]:
    """Return the files that stand for the words in capitals."""
    capture = pcap([ipv4(udp(INIT))])
    lines = (site.directory / "audit.log").read_text().splitlines(keepends=True)
    contents = {
        "BAD": b"nonsense: 1",
        "OTHER": site.text(suite="aes128gcm16").encode(),
        "BROKEN": "".join((lines[0], *lines[2:])).encode(),
        "EMPTY": b"",
        "CAPTURE": capture,
        "DAMAGED": capture[:-7],
    }
    for name, content in contents.items():
        (site.directory / name).write_bytes(content)
    return {
        **{name: str(site.directory / name) for name in contents},
        "CONFIG": str(site.config),
        "AUDIT": str(site.directory / "audit.log"),
        "MEMBER": str(site.directory / "gm1.yaml"),
    }


def said(site: Site, program: str, code: int, *arguments: str) -> str:
    """Call a command; a member's goes to gm1."""
    if program == "gcks":
        return site.gcks(*arguments, code=code)
    if arguments[0] in ("status", "leave"):
        arguments = (*arguments, "--socket", str(site.directory / "gm1.sock"))
    return site.member(*arguments, code=code)


@pytest.mark.parametrize(("program", "command"), CALLS, ids=lambda one: one.replace(" ", "-"))
def test_what_a_command_prints_is_as_its_schema_says(
    program: str, command: str, site: Site, files: dict[str, str]
) -> None:
    for code, arguments in CALLS[program, command]:
        given = [files.get(one, one) for one in arguments]
        text = said(site, program, code, command, *given, "--json")
        subject = f"-{arguments[0]}" if command == "show" else ""
        judge = validator(f"{program}-{command}{subject}")
        lines = text.splitlines()
        assert len(lines) > 20 if command == "events" else len(lines) == 1
        for line in lines:
            judge.validate(json.loads(line))
            assert json.loads(line)["schema_version"] == 1


def test_events_that_are_followed_are_as_their_schema_says(site: Site) -> None:
    command = [sys.executable, "-m", "gcks", "events", "--follow", "--json", "--last", "3"]
    follower = Daemon(
        [*command, "--socket", str(site.directory / "control.sock")],
        site.directory / "followed",
    )
    try:
        wait_for(lambda: follower.text.count("\n") == 3, "the past")
        site.gcks("rekey", GROUP)
        follower.says('"event": "rekey_sent"')
        wait_for(lambda: follower.text.endswith("\n"), "a whole line")
    finally:
        follower.stop()
    lines = follower.text.splitlines()
    assert len(lines) > 3
    for line in lines:
        validator("gcks-events").validate(json.loads(line))


# --- the control socket -----------------------------------------------------------------

REQUESTS = [
    {"do": "show", "what": "members", "group": GROUP},
    {"id": 7, "do": "show", "what": "members", "group": "keyid:nope"},
    {"id": "x", "do": "exclude", "group": GROUP, "names": ["fqdn:gm8.test"], "dry_run": True},
    {"do": "events", "last": 5, "follow": False},
]
MEMBER_REQUESTS = [{"id": 1, "do": "status"}, {"do": "events", "last": 5, "follow": False}]


@pytest.mark.parametrize(
    ("name", "kind", "requests"),
    [("control.sock", "request", REQUESTS), ("gm2.sock", "member-request", MEMBER_REQUESTS)],
)
def test_lines_of_the_socket_are_as_their_schemas_say(
    name: str, kind: str, requests: list[dict[str, Any]], site: Site
) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(30)
        peer.connect(str(site.directory / name))
        lines = peer.makefile("rb")
        validator("hello").validate(json.loads(lines.readline()))
        for request in requests:
            validator(kind).validate(request)
            peer.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(lines.readline())
            validator("answer").validate(answer)
            assert answer["id"] == request.get("id")
            if request["do"] == "events":
                assert len(answer["result"]["events"]) == 5
                validator("events-answer").validate(answer["result"])
        assert not validator(kind).is_valid({"do": "format"})
        peer.sendall(b"nonsense\n")
        validator("answer").validate(json.loads(lines.readline()))
