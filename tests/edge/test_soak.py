"""Three real minutes: 500 members, rekeys, reloads, a reader that doesn't read; nothing grows."""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from gcks.cli.client import Client
from tests.edge.test_dev import Daemon, wait_for
from tests.edge.test_operator import GROUP, JOIN, Site
from tests.edge.test_serve_config import free_ports

SECONDS = float(os.environ.get("GCKS_SOAK_SECONDS", "180"))
MEMBERS, PROCESSES = 500, 5
REKEY_SECONDS, RELOAD_SECONDS = 4.0, 15.0
LAG_SECONDS = 0.05
GROWTH_OCTETS = 8 << 20
HELPER = Path(__file__).with_name("many_members.py")


def resident_octets(pid: int) -> int:
    """Return the memory of a process that is in RAM."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def site(tmp_path: Path):  # type: ignore[no-untyped-def]
    site = Site(tmp_path)
    yield site
    for daemon in site.daemons:
        daemon.stop(9)


def lag(client: Client) -> float:
    """Return how long the event loop takes to get to us: a small question, there and back."""
    began = time.monotonic()
    client.ask("show", what="server")
    return time.monotonic() - began


def test_five_hundred_members_for_three_minutes(site: Site) -> None:
    (metrics,) = free_ports(1)
    extra = f"metrics: {{listen: '127.0.0.1:{metrics}'}}\n"
    site.write()
    site.config.write_text(site.config.read_text() + extra)
    server = site.serve()
    file = site.directory / "member.yaml"
    text = JOIN.format(name="x", local="", **vars(site))
    file.write_text(text.replace("control: {path: 'x.sock'}\n", ""))
    share = MEMBERS // PROCESSES
    crowd = [
        Daemon(
            [sys.executable, str(HELPER), str(file), str(number * share), str(share)],
            site.directory / f"crowd{number}.log",
        )
        for number in range(PROCESSES)
    ]
    site.daemons += crowd
    client = Client(site.directory / "control.sock")
    wait_for(
        lambda: client.ask("show", what="server")["members"] == MEMBERS, "all members", seconds=60
    )
    deaf = socket.socket(socket.AF_UNIX)  # follows the events and never reads one
    deaf.connect(str(site.directory / "control.sock"))
    deaf.sendall(b'{"do": "events"}\n')

    lags: list[float] = []
    sizes: list[int] = []
    begin = time.monotonic()
    rekey_at = reload_at = scrape_at = begin
    reloads = rekeys = 0
    while (now := time.monotonic()) < begin + SECONDS:
        lags.append(lag(client))
        if now >= rekey_at:
            rekey_at, rekeys = now + REKEY_SECONDS, rekeys + 1
            client.ask("rekey", group=GROUP)
        if now >= reload_at:  # and the audit log is rotated away
            reload_at, reloads = now + RELOAD_SECONDS, reloads + 1
            (site.directory / "audit.log").rename(site.directory / f"audit.{reloads:03}")
            client.ask("reload")
        if now >= scrape_at:
            scrape_at = now + 1.0
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5) as page:
                assert b"gcks_members{" in page.read()
            sizes.append(resident_octets(server.process.pid))
        time.sleep(0.05)
    time.sleep(6.0)  # the last copies, and the first reminder is still to come
    sas = client.ask("show", what="sas")["sas"]
    spis = {sa["name"]: sa["spi"] for sa in sas if sa["state"] == "current"}
    members = [one for process in crowd for one in results(process)]
    assert len(members) == MEMBERS
    assert {one["state"] for one in members} == {"registered"}
    assert {one["rekey_spi"] for one in members} == {spis["rekey"]}
    assert all(spis["one"] in one["data_spis"] for one in members)
    assert {one["registrations"] for one in members} == {1}, "nobody lost a rekey"
    quarter = len(sizes) // 4
    growth = statistics.mean(sizes[-quarter:]) - statistics.mean(sizes[quarter : 2 * quarter])
    percentile = statistics.quantiles(lags, n=100)[98]
    print(f"{rekeys} rekeys, {reloads} reloads, {growth:+.0f} octets")
    print(f"lag p99 {percentile * 1e3:.1f} ms")
    assert growth < GROWTH_OCTETS
    assert percentile < LAG_SECONDS
    deaf.close()
    assert server.stop() == 0
    assert "Traceback" not in server.text
    files = sorted(site.directory.glob("audit.[0-9]*"))
    assert "unbroken" in site.gcks("audit", *map(str, files), str(site.directory / "audit.log"))


def results(process: Daemon) -> list[dict[str, object]]:
    """End a process of members; return what it says of each."""
    assert process.stop() == 0, process.text[-2000:]
    return [json.loads(line) for line in process.text.splitlines() if line.startswith('{"state"')]
