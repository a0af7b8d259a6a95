"""Patterns for identities, many of them as one regular expression.

The patterns are those of `fnmatch`, compared with care for case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from typing import Final

_SPECIAL: Final = frozenset("*?[")
_MAX_LOOKED_FOR: Final = 4
"""Patterns whose fixed parts are worth looking for before all identities are compared."""


class Globs:
    """Names, those that are patterns apart from those that stand for themselves."""

    __slots__ = ("_fixed", "globs", "names")

    def __init__(self, names: Iterable[str]) -> None:
        ordered = dict.fromkeys(names)
        self.names = {name: None for name in ordered if not is_glob(name)}
        self.globs = tuple(name for name in ordered if is_glob(name))
        self._fixed = [_fixed_part(glob).encode() for glob in self.globs]

    def begins(self, end: str) -> str:
        """Return the expression of what begins with a name that a pattern fits, then `end`."""
        expressions = [_expression(glob, end) for glob in self.globs]
        return "|".join(expressions or ["(?!)"])

    def may_be_in(self, octets: bytes | bytearray) -> bool:
        """Tell whether a name in these octets can fit; a cheap look that spares a dear one."""
        many = len(self._fixed) > _MAX_LOOKED_FOR
        return many or any(part in octets for part in self._fixed)


def is_glob(name: str) -> bool:
    """Tell whether a name stands for several identities."""
    return not _SPECIAL.isdisjoint(name)


def _expression(glob: str, end: str) -> str:
    """Return the expression for one; `translate` puts `(?s:` before it and `)\\Z` behind."""
    if glob.endswith("*") and _SPECIAL.isdisjoint(glob[:-1]):
        return re.escape(glob[:-1])  # what comes then need not be looked at
    return translate(glob)[4:-3] + end


def _fixed_part(glob: str) -> str:
    """Return the longest part that every match has, as far as that is easy to see."""
    return max(re.split(r"[*?]", glob.partition("[")[0]), key=len)
