"""Meets what decisions wait for, as the edge does, but at once."""

from __future__ import annotations

from collections.abc import Sequence

from gcks.change import MakeKey, Need
from gcks.crypto.signature import SigningKey
from gcks.journal import JournalEntry


def met(need: Need, journal: Sequence[JournalEntry]) -> object:
    """Return what `resume` is given."""
    if isinstance(need, MakeKey):
        return SigningKey.generate(need.algorithm).to_pkcs8()
    return [entry for entry in journal if entry.group == need.group]
