"""Errors that nobody expects, at every place where one could strike."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from inspect import CO_GENERATOR
from pathlib import Path
from types import FrameType

import gcks

PACKAGE = Path(gcks.__file__).parent


class Fault(RuntimeError):
    """Nobody expects it."""


@contextmanager
def fault_at(number: int, *packages: str, within: str = "") -> Iterator[list[str]]:
    """Raise `Fault` at the `number`-th call of a function of these packages of gcks.

    `within`: only while that function runs, by its qualified name.  Yield the names of those
    called, which grow; the last one is where it struck.
    """
    called: list[str] = []
    places = tuple(str(PACKAGE / package) for package in packages)
    counts = not within

    def strike(frame: FrameType, event: str, arg: object) -> None:
        nonlocal counts
        code = frame.f_code
        if code.co_qualname == within:
            counts = event == "call"
        elif counts and event == "call" and code.co_filename.startswith(places):
            if code.co_flags & CO_GENERATOR:
                return  # it is called once more when it is thrown away
            called.append(code.co_qualname)
            if len(called) == number:
                raise Fault(code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(strike)
    try:
        with suppress(Fault):
            yield called
    finally:
        sys.setprofile(before)
