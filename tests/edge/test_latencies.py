"""What the running server measures: the disk is in it, and nothing that it didn't wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import uvloop

from gcks.daemon.config.member_file import load_member
from gcks.daemon.config.server_file import load_server
from gcks.daemon.member_runtime import MemberRuntime
from gcks.daemon.server_runtime import ServerRuntime
from gcks.journal import JournalEntry
from gcks.keyserver.commands import RekeyGroup
from gcks.store.sqlite import SqliteStore
from tests.support.site import JOIN, Site

COMMIT_SECONDS = 0.25
PATIENCE_SECONDS = 30.0
GROUPS = ("keyid:ops", "keyid:other")
EXCHANGES = ("gsa_auth", "gsa_registration")


class SlowStore(SqliteStore):
    """The real store, on a disk that takes its time."""

    def apply(self, entries: Sequence[JournalEntry]) -> None:
        time.sleep(COMMIT_SECONDS)
        super().apply(entries)


def server(site: Site) -> ServerRuntime:
    head, groups = site.text().split("groups:\n")
    other = groups.replace("keyid:ops", "keyid:other").replace("239.255.84.7", "239.255.84.17")
    site.config.write_text(f"{head}groups:\n{groups}{other}")
    return ServerRuntime(load_server(site.config))


def member(site: Site) -> MemberRuntime:
    both = ", ".join(f"{{id: '{group}', send: true}}" for group in GROUPS)
    text = JOIN.format(name="gm1", local="", **vars(site))
    file = site.directory / "gm1.yaml"
    file.write_text(text.replace("{id: 'keyid:ops', send: true}", both))
    return MemberRuntime(load_member(file))


def measured(gcks: ServerRuntime, name: str, **labels: str) -> tuple[float, float]:
    """Return how often something was measured, and the seconds in all."""
    count, total = (
        gcks.metrics.registry.get_sample_value(f"gcks_{name}_{one}", labels)
        for one in ("count", "sum")
    )
    assert count is not None and total is not None
    return count, total


async def check_registrations(gcks: ServerRuntime, gm: MemberRuntime) -> asyncio.Future[None]:
    """Let the member register to both groups; return its run."""
    assert {measured(gcks, "registration_seconds", exchange=one) for one in EXCHANGES} == {(0, 0)}
    before, began = measured(gcks, "store_commit_seconds"), time.monotonic()
    joins = asyncio.Event()
    running = asyncio.ensure_future(gm.run(joins.set))
    await joins.wait()
    while any(group.state != "registered" for group in gm.status().groups):
        await asyncio.sleep(0.01)
    await gcks.pipeline.drain()
    elapsed = time.monotonic() - began
    for exchange in EXCHANGES:
        count, seconds = measured(gcks, "registration_seconds", exchange=exchange)
        assert count == 1
        assert COMMIT_SECONDS <= seconds <= elapsed
    after = measured(gcks, "store_commit_seconds")
    commits, seconds = after[0] - before[0], after[1] - before[1]
    assert commits >= len(EXCHANGES)
    assert commits * COMMIT_SECONDS <= seconds <= elapsed
    return running


async def check_rekey(gcks: ServerRuntime) -> None:
    assert measured(gcks, "rekey_seconds") == (0, 0)
    began = time.monotonic()
    gcks.command(RekeyGroup("keyid:ops"))
    await gcks.pipeline.drain()
    count, seconds = measured(gcks, "rekey_seconds")
    assert count == 1
    assert COMMIT_SECONDS <= seconds <= time.monotonic() - began
    assert [measured(gcks, "registration_seconds", exchange=one)[0] for one in EXCHANGES] == [1, 1]


def test_answers_and_rekeys_are_measured_until_they_have_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcks.daemon.server_runtime.SqliteStore", SlowStore)
    site = Site(tmp_path)
    gcks, gm = server(site), member(site)

    async def main() -> None:
        serves = asyncio.Event()
        running = [asyncio.ensure_future(gcks.run(lambda _: serves.set()))]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await serves.wait()
                running.append(await check_registrations(gcks, gm))
                await check_rekey(gcks)
        finally:
            for one in (gm, gcks):
                one.stop()
            await asyncio.gather(*running)

    uvloop.run(main())
