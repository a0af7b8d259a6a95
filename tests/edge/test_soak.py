"""Three real minutes: 500 members, rekeys, reloads, readers that don't read; nothing grows.

Whatever is done is done by a thread of its own, so that nothing waits for anything
else; how late the server's event loop is, the server itself says ten times a second.
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gcks.cli.client import Client
from gcks.daemon.health import BEAT_SECONDS
from tests.support.daemon_process import MANY_MEMBERS, Daemon
from tests.support.free_ports import free_ports
from tests.support.site import GROUP, JOIN, Site
from tests.support.waiting import wait_for

SECONDS = float(os.environ.get("GCKS_SOAK_SECONDS", "180"))
MEMBERS, PROCESSES = 500, 5
REKEY_SECONDS, RELOAD_SECONDS, SCRAPE_SECONDS, ASK_SECONDS = 4.0, 15.0, 1.0, 0.05
AS_OFTEN = 0.9
"""Of what these say must have happened."""
LAG_SECONDS = "0.05"
"""A bucket of the histogram."""
GROWTH_OCTETS = 1 << 20
"""From the second quarter to the last, 90 seconds: a leak of 1 MiB a minute is too much."""
CUT_SECONDS = 40.0
"""The server gives up a reader after 30 seconds."""


class Every(threading.Thread):
    """Does something every so many seconds."""

    def __init__(self, seconds: float, action: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._seconds, self._action = seconds, action
        self._ended = threading.Event()
        self._error: Exception | None = None
        self.times = 0
        self.start()

    def run(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            try:
                self._action()
            except Exception as error:
                self._error = error
                return
            self.times += 1
            due += self._seconds

    def end(self) -> None:
        self._ended.set()
        self.join(60)
        assert self._error is None, self._error
        assert self.times >= AS_OFTEN * int(SECONDS / self._seconds)


class Glutton:
    """Orders more than a socket holds, and takes none of it; comes back when thrown out."""

    def __init__(self, path: Path) -> None:
        self._path, self.thrown_out = path, -1
        self._come()

    def _come(self) -> None:
        self.thrown_out += 1
        self._sock = asking(self._path, b'{"do": "show", "what": "members"}\n' * 50)
        self._poll = select.poll()
        self._poll.register(self._sock, 0)  # a hang-up is always told

    def look(self) -> None:
        if self._poll.poll(0):
            self._sock.close()
            self._come()


def asking(path: Path, octets: bytes) -> socket.socket:
    """Return a connection to the control socket that has asked, and reads nothing."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    sock.sendall(octets)
    return sock


def resident_octets(pid: int) -> int:
    """Return the memory of a process that is in RAM."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def waited_seconds(pid: int) -> float:
    """Return how long a process was ready to run, and other programs had the CPUs."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def growth(sizes: list[int]) -> float:
    """Return by how much the last quarter is above the second; the first warms up."""
    quarter = len(sizes) // 4
    return statistics.mean(sizes[-quarter:]) - statistics.mean(sizes[quarter : 2 * quarter])


def sample(page: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
    assert found, name
    return float(found[1])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for daemon in site.daemons:
        daemon.stop(9)


class Soak:
    """A server and its crowd, what is done to them, and what is seen of them."""

    def __init__(self, site: Site) -> None:
        (metrics,) = free_ports(1)
        self.site, self.url = site, f"http://127.0.0.1:{metrics}/metrics"
        self._metrics = f"metrics: {{listen: '127.0.0.1:{metrics}'}}\n"
        self.write(0)
        site.started_by = ["setsid"]  # its own share of the CPUs, as a service has it
        self.server = site.serve()
        self.control = site.directory / "control.sock"
        self.crowd = self._come()
        self.pages: list[str] = []
        self.round_trips: list[float] = []
        self.reloads: list[float] = []
        self.sizes: dict[int, list[int]] = {
            one.process.pid: [] for one in (self.server, *self.crowd)
        }

    def write(self, number: int) -> None:
        text = self.site.text() + self._metrics
        capacity = f"capacity: {1000 + number}\n    atd:"  # a reload that changes something
        self.site.config.write_text(text.replace("atd:", capacity))

    def _come(self) -> list[Daemon]:
        file = self.site.directory / "member.yaml"
        text = JOIN.format(name="x", local="", **vars(self.site))
        file.write_text(text.replace("control: {path: 'x.sock'}\n", ""))
        share = MEMBERS // PROCESSES
        crowd = [
            Daemon(
                [*MANY_MEMBERS, str(file), str(number * share), str(share)],
                self.site.directory / f"crowd{number}.log",
            )
            for number in range(PROCESSES)
        ]
        self.site.daemons += crowd
        with Client(self.control) as client:
            wait_for(
                lambda: client.ask("show", what="server")["members"] == MEMBERS,
                "all members",
                seconds=60,
            )
        return crowd

    # --- what threads do --------------------------------------------------------------

    def scrape(self) -> None:
        """Keep the first page and the last."""
        with urllib.request.urlopen(self.url, timeout=5) as page:
            self.pages = [*self.pages[:1], page.read().decode()]

    def measure(self) -> None:
        for pid, sizes in self.sizes.items():
            sizes.append(resident_octets(pid))

    def ask(self, client: Client) -> None:
        began = time.monotonic()
        client.ask("show", what="server")
        self.round_trips.append(time.monotonic() - began)

    def rotate_and_reload(self, client: Client) -> None:
        number, log = len(self.reloads) + 1, self.site.directory / "audit.log"
        log.rename(log.with_suffix(f".{number:03}"))
        self.write(number)
        began = time.monotonic()
        client.ask("reload")
        self.reloads.append(time.monotonic() - began)
        assert log.exists(), "it goes on in a new file"

    # --- what is judged ------------------------------------------------------------------

    def check_lag(self) -> None:
        """The 99th percentile of all the time between the first scrape and the last."""
        before, after = self.pages
        bounds = [*re.findall(r'gcks_loop_lag_seconds_bucket\{le="(\S+)"\}', after)]
        within = {
            bound: sample(after, name) - sample(before, name)
            for bound in bounds
            if (name := f'gcks_loop_lag_seconds_bucket{{le="{bound}"}}')
        }
        round_trip = statistics.quantiles(self.round_trips, n=100)[98]
        print(f"beats within seconds {within}; round trip p99 {round_trip * 1e3:.1f} ms")
        waited = waited_seconds(self.server.process.pid)
        assert within["+Inf"] >= AS_OFTEN * SECONDS / BEAT_SECONDS
        assert within[LAG_SECONDS] >= 0.99 * within["+Inf"], f"waited {waited:.1f} s for a CPU"

    def check_memory(self) -> None:
        grown = {pid: growth(sizes) for pid, sizes in self.sizes.items()}
        print(f"growth {[int(one) for one in grown.values()]} octets, the server's first")
        assert max(grown.values()) < GROWTH_OCTETS

    def check_rekeys(self, ordered: int) -> None:
        """Every rekey that was ordered has come to every member."""
        name = f'gcks_rekeys_sent_total{{copy="first",group="{GROUP}"}}'
        sent = sample(self.pages[-1], name)
        with Client(self.control) as client:
            sas = client.ask("show", what="sas")["sas"]
        spis = {sa["name"]: sa["spi"] for sa in sas if sa["state"] == "current"}
        members = [one for process in self.crowd for one in results(process)]
        assert len(members) == MEMBERS
        assert {one["state"] for one in members} == {"registered"}
        assert {one["rekey_spi"] for one in members} == {spis["rekey"]}
        assert all(spis["one"] in one["data_spis"] for one in members)
        assert {one["registrations"] for one in members} == {1}
        assert {one["rekeys_missed"] for one in members} == {0}
        assert sent >= min(one["rekeys"] for one in members) >= ordered


def results(process: Daemon) -> list[dict[str, object]]:
    """End a process of members; return what it says of each."""
    assert process.stop() == 0, process.text[-2000:]
    return [json.loads(line) for line in process.text.splitlines() if line.startswith('{"state"')]


@pytest.mark.alone
def test_five_hundred_members_for_three_minutes(site: Site) -> None:
    soak = Soak(site)
    deaf = asking(soak.control, b'{"do": "events", "last": 1000, "follow": true}\n')
    glutton = Glutton(soak.control)
    operator, reloader, asker = (Client(soak.control) for _ in range(3))
    rekeys = Every(REKEY_SECONDS, lambda: operator.ask("rekey", group=GROUP))
    threads = [
        rekeys,
        Every(RELOAD_SECONDS, lambda: soak.rotate_and_reload(reloader)),
        Every(SCRAPE_SECONDS, soak.scrape),
        Every(SCRAPE_SECONDS, soak.measure),
        Every(SCRAPE_SECONDS, glutton.look),
        Every(ASK_SECONDS, lambda: soak.ask(asker)),
    ]
    time.sleep(SECONDS)
    for thread in threads:
        thread.end()
    print(f"{rekeys.times} rekeys, reloads took {[round(one, 3) for one in soak.reloads]} s")
    soak.check_lag()
    soak.check_memory()
    time.sleep(6.0)  # the last copies, and the first reminder is still to come
    soak.scrape()
    soak.check_rekeys(rekeys.times)
    assert glutton.thrown_out >= SECONDS // CUT_SECONDS
    deaf.close()
    assert soak.server.stop() == 0
    assert "Traceback" not in soak.server.text
    assert soak.server.text.count('"event": "reloaded"') == len(soak.reloads)
    files = sorted(site.directory.glob("audit.[0-9]*"))
    assert len(files) == len(soak.reloads)
    assert "unbroken" in site.gcks("audit", *map(str, files), str(site.directory / "audit.log"))
