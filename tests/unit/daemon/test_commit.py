"""The commit pipeline: nothing leaves before its journal is durable, nothing overtakes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from gcks.daemon.commit import MAX_WAITING, CommitPipeline
from gcks.datagrams import Endpoint, Path, Transmit
from gcks.errors import LocalError
from gcks.journal import GroupRemoved, JournalEntry

SECONDS = 10.0
HERE = Endpoint("127.0.0.1", 1)


class SlowDisk:
    """A store that writes when it is let, and can break."""

    def __init__(self) -> None:
        self.may_write = threading.Semaphore(0)
        self.written: list[tuple[JournalEntry, ...]] = []
        self.error: Exception | None = None

    def load(self) -> Iterator[JournalEntry]:
        return iter(())

    def load_group(self, name: str) -> tuple[JournalEntry, ...]:
        return tuple(e for entries in self.written for e in entries if e.group == name)

    def apply(self, entries: Sequence[JournalEntry]) -> None:
        if not self.may_write.acquire(timeout=SECONDS):
            raise LocalError("the test never let the disk write")
        if self.error is not None:
            raise self.error
        self.written.append(tuple(entries))

    def close(self) -> None: ...


class Watched:
    """A pipeline on a slow disk, with all that came out of it."""

    def __init__(self) -> None:
        self.disk = SlowDisk()
        self.sent: list[bytes] = []
        self.failed: list[LocalError] = []
        self.pipeline = CommitPipeline(self.disk, self._send, self.failed.append)

    def _send(self, transmits: Sequence[Transmit]) -> None:
        self.sent += [transmit.octets for transmit in transmits]

    def submit(
        self,
        octets: bytes,
        journal: Sequence[JournalEntry] = (),
        then: Callable[[], object] | None = None,
    ) -> None:
        self.pipeline.submit(journal, [Transmit(octets, Path(HERE, HERE))], then)

    async def drained(self) -> None:
        async with asyncio.timeout(SECONDS):
            await self.pipeline.drain()


def entry(number: int) -> JournalEntry:
    return GroupRemoved(f"keyid:{number}")


async def turns() -> None:
    """Let the loop do all that doesn't wait for the disk."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def watched() -> Watched:
    return Watched()


async def test_what_has_no_journal_leaves_at_once(watched: Watched) -> None:
    watched.submit(b"one")
    assert watched.sent == [b"one"]


async def test_a_datagram_waits_for_its_journal(watched: Watched) -> None:
    watched.submit(b"one", [entry(1)])
    await turns()
    assert watched.sent == []
    watched.disk.may_write.release()
    await watched.drained()
    assert watched.sent == [b"one"]
    assert watched.disk.written == [(entry(1),)]


async def test_nothing_overtakes_a_journal_that_is_being_written(watched: Watched) -> None:
    watched.submit(b"one", [entry(1)])
    await turns()
    watched.submit(b"two")
    watched.submit(b"three", [entry(3)])
    await turns()
    assert watched.sent == []
    watched.disk.may_write.release(2)
    await watched.drained()
    assert watched.sent == [b"one", b"two", b"three"]


async def test_outcomes_of_one_turn_share_a_commit(watched: Watched) -> None:
    for number in range(20):
        watched.submit(bytes((number,)), [entry(number)])
    watched.disk.may_write.release()
    await watched.drained()
    assert watched.disk.written == [tuple(map(entry, range(20)))]
    assert watched.pipeline.commits == 1


@pytest.mark.parametrize("error", [LocalError("the disk is full"), RuntimeError("broken")])
async def test_after_a_failed_commit_nothing_leaves_any_more(
    watched: Watched, error: Exception
) -> None:
    watched.disk.error = error
    watched.submit(b"one", [entry(1)])
    await turns()
    watched.submit(b"two")
    watched.disk.may_write.release(2)
    await watched.drained()
    watched.submit(b"three")
    watched.submit(b"four", [entry(4)])
    await turns()
    assert watched.sent == []
    assert len(watched.failed) == 1
    assert str(error) in str(watched.failed[0])


async def test_what_follows_is_done_when_all_is_durable_and_sent(watched: Watched) -> None:
    done: list[list[bytes]] = []
    watched.submit(b"at once", then=lambda: done.append(list(watched.sent)))
    assert done == [[b"at once"]]
    watched.submit(b"one", [entry(1)], then=lambda: done.append(list(watched.sent)))
    watched.submit(b"two", then=lambda: done.append(list(watched.sent)))
    await turns()
    assert done == [[b"at once"]]
    watched.disk.may_write.release()
    await watched.drained()
    assert done == [[b"at once"], [b"at once", b"one", b"two"], [b"at once", b"one", b"two"]]


async def test_what_follows_a_failed_commit_is_not_done(watched: Watched) -> None:
    done: list[str] = []
    watched.disk.error = LocalError("the disk is full")
    watched.submit(b"one", [entry(1)], then=lambda: done.append("never"))
    watched.disk.may_write.release()
    await watched.drained()
    await turns()
    assert watched.failed and not done


async def test_the_store_is_read_behind_all_that_was_written(watched: Watched) -> None:
    watched.submit(b"one", [entry(1)])
    await turns()
    reading = asyncio.create_task(watched.pipeline.read(watched.disk.load_group, "keyid:1"))
    await turns()
    assert not reading.done()
    watched.disk.may_write.release()
    assert await asyncio.wait_for(reading, SECONDS) == (entry(1),)


async def test_nothing_leaves_a_closed_pipeline(watched: Watched) -> None:
    watched.submit(b"one", [entry(1)])
    await turns()
    watched.disk.may_write.release()
    watched.pipeline.close()
    await turns()
    assert watched.disk.written == [(entry(1),)]
    assert watched.sent == []


async def test_full_once_too_much_waits_and_not_after(watched: Watched) -> None:
    for _ in range(MAX_WAITING - 1):
        watched.submit(b"", [entry(1)])
    assert not watched.pipeline.full
    watched.submit(b"", [entry(1)])
    assert watched.pipeline.full
    watched.disk.may_write.release(2)
    await watched.drained()
    assert not watched.pipeline.full
