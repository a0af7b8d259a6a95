"""`gcks demo` acted out: scene after scene until somebody ends it, or once."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from gcks.cli.demo.site import Site, SiteState
from gcks.cli.demo.stage import Stage
from gcks.cli.demo.story import NAMES, OPENING, STORY, Scene
from gcks.errors import LocalError

LOOK_SECONDS: Final = 0.25
PAUSE_SECONDS: Final = 3.0
"""Between two scenes, for who watches."""


class SceneFailed(LocalError):
    """What should have happened has not."""


def play(*, once: bool, directory: Path | None = None) -> None:
    """Act the story out.  Raises `LocalError`; always ends what it has started."""
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="gcks-demo-") as temporary:
        site = Site(directory or Path(temporary), NAMES)
        try:
            with Stage(NAMES, plain=once) as stage:
                _act(site, stage, once=once)
        finally:
            site.stop()


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _act(site: Site, stage: Stage, *, once: bool) -> None:
    stage.tell("The key server starts", f"its files are in {site.directory}")
    site.start_server()
    _scenes(site, stage, OPENING, pause=not once)
    _scenes(site, stage, STORY, pause=not once)
    while not once:
        _scenes(site, stage, STORY, pause=True)
    stage.tell("The end", "everything happened as it should")


def _scenes(site: Site, stage: Stage, scenes: Sequence[Scene], *, pause: bool) -> None:
    for scene in scenes:
        before = site.look()
        stage.tell(scene.title, scene.what)
        began = time.monotonic()
        scene.begin(site)
        _wait(site, stage, scene, before)
        stage.done(time.monotonic() - began)
        if pause:
            _watch(site, stage, PAUSE_SECONDS)


def _wait(site: Site, stage: Stage, scene: Scene, before: SiteState) -> None:
    end = time.monotonic() + scene.seconds
    while True:
        state = site.look()
        stage.show(state)
        if scene.done(before, state):
            return
        if time.monotonic() > end:
            raise SceneFailed(f"{scene.title}: not within {scene.seconds:g} s")
        time.sleep(LOOK_SECONDS)


def _watch(site: Site, stage: Stage, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stage.show(site.look())
        time.sleep(LOOK_SECONDS)
