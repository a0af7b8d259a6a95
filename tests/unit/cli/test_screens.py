"""The live screens in every state: on small and on large terminals, with and without colour.

Shows gcks/daemon/screen.py and gcks/cli/demo/stage.py.
"""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gcks.cli.demo.site import MemberState, SiteState
from gcks.cli.demo.stage import Stage
from gcks.cli.demo.story import NAMES, OPENING, STORY
from gcks.daemon.screen import Screen
from gcks.errors import RefusalReason
from gcks.events import Event, RegistrationRefused, SaCreated
from gcks.iana import NotifyType, ProtocolId
from gcks.member.phases import MembershipState
from tests.support.frames import check, frames, has_colour, words

SPI, DATA_SPI = "5f" * 16, "0a1b2c3d"
REFUSED = "the server refused the registration: AUTHORIZATION_FAILED"
SIZES = [(80, 24), (160, 50)]
COLOURS = [{}, {"NO_COLOR": "1"}]


class Output(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(columns: int, rows: int, **environment: str) -> Console:
    environment = {"TERM": "xterm-256color", **environment}
    return Console(file=Output(), width=columns, height=rows, _environ=environment)


def drawn(console: Console) -> str:
    assert isinstance(console.file, Output)
    return console.file.getvalue()


def states() -> list[MemberState]:
    """Return a member in every state, by name."""
    every = ["not started", "starting", *(state.value for state in MembershipState)]
    return [
        MemberState(
            f"gm{number}", state, SPI if number % 2 else "", (DATA_SPI,), 1234, 12, 7,
            REFUSED if state == MembershipState.WAITING.value else "",
        )
        for number, state in enumerate(every)
    ]  # fmt: skip


def keys(member: MemberState) -> str:
    if member.rekey_spi == "":
        return "none"
    return "current" if member.state == "registered" else "old"


@pytest.mark.parametrize("environment", COLOURS)
@pytest.mark.parametrize("size", SIZES)
def test_the_demonstration_shows_every_state_and_the_newest_scene(
    size: tuple[int, int], environment: dict[str, str]
) -> None:
    console = terminal(*size, **environment)
    members = {member.name: member for member in states()}
    with Stage(NAMES, console=console) as stage:
        for scene in (*OPENING, *STORY):
            stage.tell(scene.title, scene.what)
            stage.show(SiteState(SPI, 7, DATA_SPI, members))
            stage.done(2.5)
    pictures = frames(drawn(console))
    check(pictures, *size)
    told = words(pictures[-1])
    assert SPI in told and DATA_SPI in told
    for one in members.values():
        assert f"{one.name} {one.state} {keys(one)} 12 1234" in told
    for word in REFUSED.split():
        assert word in told, "whole, on some line"
    assert STORY[-1].title in told and told.count("Done after 2.5 s.") >= 2
    assert has_colour(drawn(console)) is not bool(environment)


HINT = "give fqdn:gm1.example a rule, [bold]or[/bold] correct its IDi: docs/configuration.md"
STRANGER = "fqdn:gm\x1b[2J.example"
EVENTS: list[Event] = [
    *(SaCreated("keyid:demo", ProtocolId.GIKE_UPDATE, SPI, number) for number in range(50)),
    RegistrationRefused(
        "keyid:demo", STRANGER, "[2001:db8::1]:500", NotifyType.AUTHORIZATION_FAILED,
        RefusalReason.MALFORMED, "no rule of the group fits", HINT,
    ),
]  # fmt: skip


@pytest.mark.parametrize("environment", COLOURS)
@pytest.mark.parametrize("size", SIZES)
async def test_a_development_screen_shows_all_of_the_newest_events(
    size: tuple[int, int], environment: dict[str, str]
) -> None:
    console = terminal(*size, **environment)
    screen = Screen("gcks serve --dev", console)
    lines = [("group", f"[keyid:demo]   {REFUSED}"), *[("data SA", f"ESP {DATA_SPI}")] * 4]
    lines.append(("files", f"/{'@' * 90}"))
    screen.events(EVENTS)
    screen.start(lambda: lines)
    screen.stop()
    (*_, picture) = pictures = frames(drawn(console))
    check(pictures, *size)
    told = words(picture)
    assert f"group [keyid:demo] {REFUSED}" in told and told.count(DATA_SPI) == 4
    assert "".join(picture).count("@") == 90
    assert "lifetime_seconds=49" in told and "lifetime_seconds=1 " not in told
    assert f'hint="{HINT}"' in told and r"\x1b[2J" in told
    assert "[2J" not in drawn(console).replace(r"\x1b[2J", "")


@pytest.mark.parametrize("file", [io.StringIO(), Output()], ids=["pipe", "dumb terminal"])
def test_what_is_no_screen_gets_lines(
    file: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(file=file, _environ={"TERM": "dumb", "FORCE_COLOR": "1"})
    with Stage(NAMES, console=console) as stage:
        stage.tell("title", "text")
        stage.done(0.25)
    Screen("gcks serve --dev", console).start(lambda: [("group", "keyid:demo")])
    told = "title: text\n  done: after 0.2 s\ngcks serve --dev\ngroup      keyid:demo\n"
    assert (capsys.readouterr().out, file.getvalue()) == (told, "")
