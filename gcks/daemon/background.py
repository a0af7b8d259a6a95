"""Long work beside the event loop: in a thread, and without the garbage collector's stops."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def beside_the_loop(work: Callable[..., T], *arguments: object) -> T:
    """Return what is done in a thread; raises what it raises."""
    return await asyncio.to_thread(_without_collector, work, *arguments)


def _without_collector(work: Callable[..., T], *arguments: object) -> T:
    """A collection stops all threads, and what reads files makes many objects and no cycles."""
    gc.disable()
    try:
        return work(*arguments)
    finally:
        gc.enable()
