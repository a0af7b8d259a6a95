"""Everybody is told of every event, of those before the control socket is open, too."""

from __future__ import annotations

from pathlib import Path

from gcks.daemon.audience import Audience
from gcks.daemon.config.loaded import ControlOptions, LogOptions
from gcks.daemon.control.event_lines import Wanted
from gcks.daemon.control.requests import Request, read_request
from gcks.events import Event, NoControlSocket, Reloaded, SocketsNotUsed

EARLY = SocketsNotUsed(("udp 192.0.2.1:848",), "see listen in gcks.yaml")
LATE = Reloaded(3)


async def nothing(request: Request, *_: object) -> None:
    """Nobody asks."""


async def audience(path: Path, told: list[Event]) -> Audience[Request]:
    made: Audience[Request] = Audience(LogOptions(), told.extend)
    made.note(EARLY)
    options = ControlOptions(path, required=False)
    await made.listen(options, read_request, nothing)  # type: ignore[arg-type]
    made.note(LATE)
    return made


async def test_who_looks_later_sees_what_was_told_before(tmp_path: Path) -> None:
    told: list[Event] = []
    made = await audience(tmp_path / "c.sock", told)
    names = [line["event"] for line in made.last_events(10, Wanted())]
    made.close()
    assert names == [EARLY.name, LATE.name]
    assert told == [EARLY, LATE]


async def test_a_socket_that_nobody_asked_for_may_be_missing(tmp_path: Path) -> None:
    told: list[Event] = []
    made = await audience(tmp_path / "no" / "c.sock", told)
    early, missing, late = told
    assert (early, late) == (EARLY, LATE)
    assert isinstance(missing, NoControlSocket) and "c.sock" in missing.cause
    assert made.last_events(10, Wanted()) == []
    made.close()
