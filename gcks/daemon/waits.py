"""What decisions wait for is done beside the loop, and the engine is told what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from gcks.change import LoadGroup, MakeKey, Need, Waiting
from gcks.crypto.signature import SigningKey
from gcks.daemon.internal_error import InternalErrors
from gcks.errors import LocalError, origin
from gcks.events import Tell
from gcks.journal import JournalEntry

MAX_WAITS: Final = 16_384
"""Needs that are not met yet; every group of a big server may want a key at its start."""

Load = Callable[[str], Awaitable[Sequence[JournalEntry]]]
Resume = Callable[[int, object], None]


class Waits:
    """Meets needs, one key at a time: the loop keeps the other core.

    OpenSSL lets go of Python's lock while it makes a key: the loop was never later than
    by 5 ms while 3072-bit RSA keys were made in the thread (cryptography 46 and 50).
    """

    def __init__(self, load: Load, resume: Resume, tell: Tell) -> None:
        """`load` reads a group from the store, `resume` tells the engine a token's result."""
        self._load, self._resume = load, resume
        self._errors = InternalErrors(tell)
        self._keys = ThreadPoolExecutor(1, thread_name_prefix="gcks-keys")
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def meet(self, waits: Sequence[Waiting]) -> None:
        """Begin; one that is too many is told so in its turn."""
        if self._closed:
            return
        for waiting in waits:
            full = len(self._tasks) >= MAX_WAITS
            task = asyncio.create_task(self._refuse(waiting) if full else self._meet(waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _refuse(self, waiting: Waiting) -> None:
        self._tell(waiting.token, LocalError(f"{MAX_WAITS} decisions wait already"))

    async def _meet(self, waiting: Waiting) -> None:
        result: object
        try:
            result = await self._met(waiting.need)
        except LocalError as error:
            result = error
        except Exception as error:
            result = LocalError(f"internal error: {origin(error)}")
        self._tell(waiting.token, result)

    async def _met(self, need: Need) -> object:
        if isinstance(need, MakeKey):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._keys, _make_key, need.algorithm)
        if isinstance(need, LoadGroup):
            return await self._load(need.group)
        raise LocalError(f"nobody knows how to meet a {type(need).__name__}")

    def _tell(self, token: int, result: object) -> None:
        try:
            self._resume(token, result)
        except LocalError as error:  # whatever waited isn't there any more
            self._errors.tell("a decision that waited", error)

    def close(self) -> None:
        """Wait for nothing more, and tell nobody."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        self._keys.shutdown(wait=False, cancel_futures=True)


def _make_key(algorithm: str) -> bytes:
    """Return a new private key as PKCS#8 DER."""
    return SigningKey.generate(algorithm).to_pkcs8()
