"""What is decided is carried out in order: durable, sent, then what it waits for is done.

The engine is made for the test; loop, pipeline, sockets, store and threads are the real ones.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gcks.change import Change, LoadGroup, MakeKey, Waiting
from gcks.crypto.signature import SigningKey
from gcks.daemon import commit, waits
from gcks.daemon.carrier import Carrier
from gcks.daemon.config.loaded import Listener
from gcks.daemon.engine_loop import EngineLoop
from gcks.daemon.metrics import ServerMetrics
from gcks.daemon.server_sockets import ServerSockets
from gcks.datagrams import Endpoint, Transmit
from gcks.datagrams import Path as Way
from gcks.errors import LocalError
from gcks.events import Event, GroupDelayed, GroupStarted
from gcks.journal import JournalEntry, SenderIdsReserved
from gcks.keyserver.status import ServerStatus
from gcks.store.sqlite import SqliteStore

SECONDS = 20.0
GROUP = "keyid:ops"
KEY = bytes(range(32))
SOON = MakeKey("ed25519")
BEGUN, OVER = GroupStarted(GROUP, restored=False, members=0), GroupDelayed(GROUP, "no key")


class GatedStore(SqliteStore):
    """The real store, on a disk that writes when it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, KEY)
        self.may_write = threading.Semaphore(0)
        self.error: LocalError | None = None

    def apply(self, entries: Sequence[JournalEntry]) -> None:
        assert self.may_write.acquire(timeout=SECONDS)
        if self.error is not None:
            raise self.error
        super().apply(entries)


class SmallEngine:
    """Decides what the test says, and keeps what came of what it waited for."""

    def __init__(self) -> None:
        self.then: Callable[[int], Change] = lambda _: Change()
        self.results: dict[int, object] = {}
        self.threads: set[int] = set()
        self.heard: list[bytes] = []
        self.came = asyncio.Event()

    def receive(self, datagram: bytes, path: Way, now: float) -> Change:
        self.heard.append(datagram)
        return Change()

    def handle_timeout(self, now: float) -> Change:
        return Change()

    def resume(self, token: int, result: object, now: float) -> Change:
        self.results[token] = result
        self.threads.add(threading.get_ident())
        self.came.set()
        return self.then(token)


class Edge:
    """The server's edge around a small engine."""

    def __init__(self, directory: Path) -> None:
        self.engine, self.store = SmallEngine(), GatedStore(directory / "gcks.sqlite")
        self.failed: list[LocalError] = []
        self.told: list[Event] = []
        tell = self.told.extend
        self.sockets = ServerSockets((Listener("127.0.0.1", (0,), (), ()),), (), tell)
        self.loop: EngineLoop[Change] = EngineLoop(self.engine, self._carry, self.failed.append)
        self.sockets.open(self.loop.receive, lambda _: None)
        self.carrier = Carrier(
            self.store,
            self.sockets,
            ServerMetrics(lambda: ServerStatus(0, 0, ()), lambda: ()),
            resume=self._resume,
            fail=self.loop.break_down,
            key_log=None,
            tell=self.told.extend,
        )
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.peer.bind(("127.0.0.1", 0))
        (self.local,) = self.sockets._ports

    def _carry(self, change: Change) -> None:
        self.carrier.carry(change)

    def _resume(self, token: int, result: object) -> None:
        self.loop.decide(partial(self.engine.resume, token, result))

    def datagram(self, octets: bytes) -> Transmit:
        return Transmit(octets, Way(self.local, Endpoint(*self.peer.getsockname())))

    def decide(self, change: Change) -> None:
        self.loop.decide(lambda _: change)

    def said(self) -> list[bytes]:
        """Return what has left."""
        datagrams = []
        while True:
            try:
                datagrams.append(self.peer.recv(100))
            except BlockingIOError:
                return datagrams

    async def results(self, count: int) -> dict[int, object]:
        """Wait until so many waits are over."""
        async with asyncio.timeout(SECONDS):
            while len(self.engine.results) < count:
                self.engine.came.clear()
                await self.engine.came.wait()
        return self.engine.results

    async def settled(self) -> None:
        """Let the loop and the threads do what they can without the disk."""
        await asyncio.sleep(0.1)

    def close(self) -> None:
        self.carrier.stop()
        self.store.may_write.release(100)
        self.carrier.close()
        self.sockets.close()
        self.peer.close()


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    edge = Edge(tmp_path)
    yield edge
    edge.close()


def reserved(number: int, group: str = GROUP) -> JournalEntry:
    return SenderIdsReserved(group, number)


# --- what is waited for -------------------------------------------------------------------


@pytest.mark.parametrize(("algorithm", "kind"), [("rsa-pss", "rsa"), ("ed25519", "ed25519")])
async def test_a_key_is_made_beside_the_loop(edge: Edge, algorithm: str, kind: str) -> None:
    edge.decide(Change(waits=[Waiting(7, MakeKey(algorithm))]))
    assert edge.engine.results == {}, "the loop goes on"
    result = (await edge.results(1))[7]
    assert isinstance(result, bytes)
    assert SigningKey.from_pkcs8(result).kind == kind
    assert edge.engine.threads == {threading.get_ident()}, "the engine is asked on the loop"


async def test_a_group_is_read_with_all_that_was_decided_before(edge: Edge) -> None:
    edge.decide(Change(journal=[reserved(4)]))
    edge.decide(Change(journal=[reserved(5)], waits=[Waiting(1, LoadGroup(GROUP))]))
    edge.decide(Change(waits=[Waiting(2, LoadGroup("keyid:unknown"))]))
    edge.store.may_write.release(2)
    results = await edge.results(2)
    assert results == {1: edge.store.load_group(GROUP), 2: ()}
    assert reserved(5) in edge.store.load() and reserved(4) not in edge.store.load()


async def test_what_cant_be_met_says_why(edge: Edge) -> None:
    store = edge.store
    store.may_write.release()
    edge.decide(Change(journal=[reserved(1)]))
    await edge.carrier.pipeline.drain()
    store._db.execute("UPDATE groups SET auth_algorithm = 'x', auth_private_key = x'00'")
    needs = [MakeKey("nothing that there is"), LoadGroup(GROUP)]
    edge.decide(Change(waits=[Waiting(token, need) for token, need in enumerate(needs)]))
    unknown, broken = (await edge.results(2)).values()
    assert isinstance(unknown, LocalError) and "KeyError" in str(unknown)
    assert isinstance(broken, LocalError) and "move it away" in str(broken)


async def test_no_more_wait_than_there_is_room_for(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "MAX_WAITS", 2)
    edge.decide(Change(waits=[Waiting(token, SOON) for token in range(4)]))
    results = await edge.results(4)
    assert [isinstance(results[token], bytes) for token in range(4)] == [True, True, False, False]
    assert "2 decisions wait already" in str(results[3])
    edge.decide(Change(waits=[Waiting(9, SOON)]))
    assert isinstance((await edge.results(5))[9], bytes)


# --- in order -----------------------------------------------------------------------------


async def test_nothing_is_begun_before_its_change_is_durable_and_sent(edge: Edge) -> None:
    def answer(token: int) -> Change:
        assert edge.said() == [b"first"], "sent before the wait began"
        return Change(journal=[reserved(8)], transmits=[edge.datagram(b"second")])

    edge.engine.then = answer
    change = Change([reserved(7)], [edge.datagram(b"first")], waits=[Waiting(1, SOON)])
    edge.decide(change)
    await edge.settled()
    assert edge.engine.results == {} and edge.said() == []
    edge.store.may_write.release()
    await edge.results(1)
    await edge.settled()
    assert edge.said() == [], "what is decided then is durable first, too"
    edge.store.may_write.release()
    await edge.carrier.pipeline.drain()
    assert edge.said() == [b"second"] and not edge.failed
    (group,) = edge.store.load()
    assert group.next_sender_id == 8


async def test_nothing_is_begun_where_the_disk_fails(edge: Edge) -> None:
    edge.store.error = LocalError("the disk is full")
    edge.decide(Change(journal=[reserved(1)], waits=[Waiting(1, SOON)]))
    edge.store.may_write.release()
    await edge.carrier.pipeline.drain()
    await edge.settled()
    assert edge.engine.results == {}
    assert [str(error) for error in edge.failed] == ["the disk is full"]
    with pytest.raises(LocalError, match="the disk is full"):
        edge.decide(Change())


async def test_nobody_is_told_what_is_not_durable(edge: Edge) -> None:
    """A disk that fails makes it undone: no registration in a log, no order that is done."""
    edge.decide(Change(journal=[reserved(1)], events=[BEGUN]))
    asked = asyncio.ensure_future(edge.carrier.pipeline.committed())
    await edge.settled()
    assert edge.told == [] and not asked.done()
    edge.store.may_write.release()
    await asked
    assert edge.told == [BEGUN]
    edge.store.error = LocalError("the disk is full")
    edge.decide(Change(journal=[reserved(2)], events=[BEGUN]))
    asked = asyncio.ensure_future(edge.carrier.pipeline.committed())
    edge.store.may_write.release()
    for _ in range(2):
        with pytest.raises(LocalError, match="the disk is full"):
            await asked
        asked = asyncio.ensure_future(edge.carrier.pipeline.committed())
    asked.cancel()
    assert edge.told == [BEGUN]


async def test_what_happened_is_told_in_order(edge: Edge) -> None:
    """Also what needs no disk, behind what waits for it."""
    edge.decide(Change(journal=[reserved(1)], events=[BEGUN]))
    edge.decide(Change(events=[OVER]))
    await edge.settled()
    assert edge.told == []
    edge.store.may_write.release()
    await edge.carrier.pipeline.committed()
    assert edge.told == [BEGUN, OVER]


async def test_what_follows_a_commit_and_fails_is_a_breakdown(edge: Edge) -> None:
    """Else what waits behind it is never met, and the server looks alive."""

    def break_down(_: object) -> None:
        raise RuntimeError("with a secret")

    edge.sockets.send = break_down
    edge.decide(Change([reserved(1)], [edge.datagram(b"lost")], waits=[Waiting(1, SOON)]))
    edge.store.may_write.release()
    await edge.carrier.pipeline.drain()
    (failure,) = edge.failed
    assert "RuntimeError" in str(failure) and "secret" not in str(failure)
    with pytest.raises(LocalError, match="RuntimeError"):
        await edge.carrier.pipeline.committed()


async def test_what_waits_at_the_end_is_told_to_nobody(edge: Edge) -> None:
    edge.decide(Change(waits=[Waiting(token, MakeKey("rsa-pss")) for token in range(3)]))
    await asyncio.sleep(0)
    edge.decide(Change(journal=[reserved(1)], waits=[Waiting(4, SOON)]))
    edge.loop.stop()
    edge.carrier.stop()
    with capture_logs() as logs:
        edge.store.may_write.release()
        await edge.carrier.pipeline.drain()
        await asyncio.sleep(0.5)
    assert edge.engine.results == {} and logs == [] and not edge.failed


# --- an engine that fails -----------------------------------------------------------------


@pytest.mark.parametrize("kind", [RuntimeError, LocalError])
async def test_an_engine_that_breaks_down_over_a_result_ends_the_daemon(
    edge: Edge, kind: type[Exception]
) -> None:
    """Whatever it raises: what it has decided is lost, and its memory has changed."""

    def break_down(token: int) -> Change:
        raise kind("RuntimeError, a mistake of ours")

    edge.engine.then = break_down
    edge.decide(Change(waits=[Waiting(3, SOON)]))
    await edge.results(1)
    assert len(edge.failed) == 1 and "RuntimeError" in str(edge.failed[0])


# --- a disk that is behind ------------------------------------------------------------------


async def fill(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let as much wait for the disk as may, and a peer say something."""
    monkeypatch.setattr(commit, "MAX_WAITING", 2)
    for number in range(2):
        edge.decide(Change(journal=[reserved(number)]))
    edge.peer.sendto(b"hello", tuple(edge.local))
    await edge.settled()


async def test_datagrams_stay_in_the_kernel_while_the_disk_is_behind(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(edge, monkeypatch)
    assert edge.engine.heard == []
    edge.store.may_write.release(2)
    await edge.carrier.pipeline.drain()
    await edge.settled()
    assert edge.engine.heard == [b"hello"]


async def test_a_server_that_ends_reads_no_more_when_the_disk_has_caught_up(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(edge, monkeypatch)
    edge.carrier.stop()
    edge.store.may_write.release(2)
    await edge.carrier.pipeline.drain()
    await edge.settled()
    assert edge.engine.heard == []
    (group,) = edge.store.load()
    assert group.next_sender_id == 1, "what was decided is written all the same"
