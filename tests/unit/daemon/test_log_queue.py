"""The log on its way out: nothing is lost by itself, and nobody waits for who doesn't read."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from gcks import events as e
from gcks.daemon import log_queue, logs
from gcks.daemon.config.loaded import LogOptions
from gcks.daemon.log_queue import LogQueue
from gcks.daemon.logs import EventLog, configure
from tests.support.event_samples import sample
from tests.support.repository import ROOT

LINES = 5000
"""A pipe holds far less."""
DAEMON = f"""
import sys
from gcks.daemon.config.loaded import LogOptions
from gcks.daemon.logs import EventLog, configure
from gcks.daemon.process import run_to_end
from gcks.errors import LocalError
from gcks.events import MemberLeft
from tests.support.event_samples import sample

async def main():
    log = EventLog(configure(LogOptions("json", "info")))
    for number in range({LINES}):
        log.write([sample(MemberLeft, identity=str(number))], 1.0)
    print("all are on their way", flush=True)
    %s

sys.exit(run_to_end(main))
"""


def daemon(end: str) -> subprocess.Popen[str]:
    """A daemon that logs at once what its log takes only when read, and then ends."""
    command = [sys.executable, "-c", DAEMON % end]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("end", "code", "last"),
    [
        ("", 0, None),
        ("raise KeyboardInterrupt", 0, None),
        ("raise LocalError('the disk is gone')", 1, "gcks: the disk is gone"),
        ("raise RuntimeError('a fault of ours')", 1, "RuntimeError: a fault of ours"),
    ],
    ids=["stopped", "interrupted", "failed", "crashed"],
)
def test_a_daemon_that_ends_has_written_every_line(end: str, code: int, last: str | None) -> None:
    process = daemon(end)
    assert process.stdout is not None
    process.stdout.readline()  # most of it waits for us
    _, said = process.communicate(timeout=60)
    lines = said.splitlines()
    assert [json.loads(line)["identity"] for line in lines[:LINES]] == [*map(str, range(LINES))]
    assert (lines[-1] == last) if last else (len(lines) == LINES)
    assert process.returncode == code


@pytest.mark.parametrize("end", ["", "raise LocalError('gone' * 5000)"], ids=["stopped", "failed"])
def test_a_pipe_that_nobody_reads_holds_up_neither_the_daemon_nor_its_end(end: str) -> None:
    with daemon(end) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "all are on their way\n"
        assert process.wait(20) == bool(end)


class Stuck:
    """Takes lines, but not before it is let go."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self._go = threading.Event()

    def write(self, line: str) -> None:
        self._go.wait(10)
        self.taken.append(line)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    stuck = Stuck()
    yield stuck
    stuck.let_go()


def test_what_finds_no_room_is_counted_and_told_when_there_is_room(
    stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_queue, "MAX_WAITING_OCTETS", 100)
    queue = LogQueue()
    monkeypatch.setattr(logs, "LOG_QUEUE", queue)
    stream = io.StringIO()
    log = EventLog(configure(LogOptions("json", "info"), stream))
    for number in range(25):
        queue.put(partial(stuck.write, str(number)), 10)
    assert not queue.flush(0.001)
    log.write([], 1.0)
    assert stream.getvalue() == ""
    stuck.let_go()
    assert queue.flush()
    assert stuck.taken == [str(number) for number in range(10)]
    told = [log.write([], 2.0), log.write([], 3.0)]
    assert told == [(e.LogLinesLost(15),), ()], "whoever doesn't read the log knows, too"
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["event"], line["count"], line["level"]) == ("log_lines_lost", 15, "warning")
    queue.put(partial(stuck.write, "goes on"), 10)
    assert queue.flush() and stuck.taken[-1] == "goes on"


@pytest.mark.parametrize("error", [BrokenPipeError(), UnicodeEncodeError("utf-8", "", 0, 0, "")])
def test_a_line_that_cant_be_written_is_counted_and_the_next_comes(error: Exception) -> None:
    taken: list[str] = []

    def fail() -> None:
        raise error

    queue = LogQueue()
    queue.put(fail, 10)
    queue.put(partial(taken.append, "next"), 10)
    assert queue.flush()
    assert taken == ["next"]
    assert (queue.take_lost(), queue.take_lost()) == (1, 0)


def test_a_log_elsewhere_is_written_at_once() -> None:
    stream = io.StringIO()
    EventLog(configure(LogOptions("json", "info"), stream)).write([sample(e.MemberLeft)], 1.0)
    assert stream.getvalue()
